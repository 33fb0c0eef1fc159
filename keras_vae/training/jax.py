"""JAX: imperative steps run as pure functions of the state."""

import contextlib
import threading

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
            if _is_gone(keras_private.array_of(variable)) and not _is_gone(array):
                keras_private.put_back(variable, array)
        raise


def _is_gone(array):
    return array is None or array.is_deleted()


class TrainStep(keras_private.StepHook):
    """See `keras_vae.training`."""

    def kept_step(self, step):
        """A step `(state, ...) -> (logs, state)` whose result no exception can take along.

        JAX deletes the arrays of the state that the step is given. An exception that comes from
        outside (a notebook's stop button) would find them gone, and the new ones not yet held
        by anything. It is raised between two operations of Python: `extend` and `map` call the
        step and keep its result in one.
        """

        def kept(*arguments):
            results = []
            try:
                results.extend(map(step, *((a,) for a in arguments)))
            finally:
                if results:
                    keras_private.hand_over(self, results[0][1])
            return results[0]

        return kept

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
            if getattr(self, "_trained_by", None) not in (None, threading.get_ident()):
                raise RuntimeError(
                    "Another thread trains this model, and JAX lends its weights to the steps: "
                    "wait until its `fit` ends, or use a copy "
                    "(`keras.models.clone_model` and `set_weights`)."
                )
            if keras_private.is_lent(self):
                # Inference in a callback, between two steps: Keras hands the state out again.
                self.jax_state_sync()
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
