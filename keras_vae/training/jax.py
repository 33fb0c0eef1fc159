"""JAX: imperative steps run as pure functions of the state."""

import contextlib

import jax
import keras

from keras_vae.training import jax_state, keras_private


class TrainStep(keras_private.StepHook):
    """See `keras_vae.training`."""

    variable_scope = staticmethod(contextlib.nullcontext)

    def kept_step(self, step):
        return jax_state.kept(self, step)

    def train_step(self, state, data):
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        return _stateless(self.update, groups, state, data)

    def test_step(self, state, data):
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.metrics_variables,
        )
        return _stateless(self.assess, groups, state, data)

    def minimize(self, fn, optimizer, variables):
        chosen = {id(v) for v in variables}
        others = [v for v in _unique_variables(self) if id(v) not in chosen]

        def pure(values):
            pairs = [
                *zip(variables, values, strict=True),
                *((v, v.value) for v in others),
                *((v, v.value) for v in optimizer.variables),
            ]
            with keras.StatelessScope(pairs, collect_losses=True) as scope:
                loss, aux = fn()
                scaled = optimizer.scale_loss(loss)
            return scaled, (loss, aux, [scope.get_current_value(v) for v in others])

        gradient = jax.value_and_grad(pure, has_aux=True)
        (_, (loss, aux, new)), gradients = gradient([v.value for v in variables])
        for variable, value in zip(others, new, strict=True):
            variable.assign(value)
        values, slots = optimizer.stateless_apply(
            [v.value for v in optimizer.variables],
            gradients,
            [v.value for v in variables],
        )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        for variable, value in zip(optimizer.variables, slots, strict=True):
            variable.assign(value)
        return loss, aux

    def vector_jacobian(self, fn, x, vectors):
        _, pull_back = jax.vjp(fn, x)
        return pull_back(vectors)[0]

    def compile_function(self, fn):
        @jax.jit
        def pure(values, arrays):
            pairs = zip(self.variables, values, strict=True)
            with keras.StatelessScope(list(pairs)):
                return fn(*arrays)

        def call(*arrays):
            jax_state.lend_back(self)
            return pure([v.value for v in self.variables], arrays)

        return call


def _stateless(step, groups, state, data):
    """Runs a step on the state; it may read the layers' own losses, which a scope collects."""
    pairs = [
        pair
        for variables, values in zip(groups, state, strict=True)
        for pair in zip(variables, values, strict=True)
    ]
    with keras.StatelessScope(pairs, collect_losses=True) as scope:
        logs = step(*keras.utils.unpack_x_y_sample_weight(data))
    new = tuple([scope.get_current_value(v) for v in group] for group in groups)
    return logs, new


def _unique_variables(model):
    return list({id(v): v for v in model.variables + model.metrics_variables}.values())
