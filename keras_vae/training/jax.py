"""JAX: imperative steps run as pure functions of the state."""

import contextlib
import functools

import jax
import keras

from keras_vae.training import keras_private


@contextlib.contextmanager
def weights_kept(model):
    """Gives back the arrays that an error in a step would destroy.

    Keras takes them out of the variables before the first step.
    """
    optimizer = getattr(model, "optimizer", None)
    slots = optimizer.variables if optimizer else []
    # Models with a second optimizer list its slots under `non_trainable_variables`.
    variables = (*_unique_variables(model), *model.non_trainable_variables, *slots)
    before = [(v, keras_private.array_of(v)) for v in variables]
    try:
        yield
    except BaseException:
        # The state after the last good step; where there was none, the state before the first.
        keras_private.end_jax_steps(model)
        for variable, array in before:
            gone = keras_private.array_of(variable) is None
            if gone and array is not None and not array.is_deleted():
                keras_private.put_back(variable, array)
        raise


@contextlib.contextmanager
def traced_anew(model, name):
    """Has Keras compile a step that JAX takes for another than before, and so traces again.

    A bound method equals itself: what JAX has once traced of it, it keeps for ever.
    """
    model.__dict__[name] = functools.partial(getattr(type(model), name), model)
    try:
        yield
    finally:
        del model.__dict__[name]


class TrainStep:
    """See `keras_vae.training`."""

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

        return lambda *arrays: pure([v.value for v in self.variables], arrays)


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
