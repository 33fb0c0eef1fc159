"""JAX: imperative steps run as pure functions of the state."""

import contextlib

import jax
import keras


class TrainStep:
    """See `keras_vae.training`."""

    def fit(self, *args, **kwargs):
        # Built inside the first step, its variables would be lost with that step.
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        with self._kept():
            return super().fit(*args, **kwargs)

    def evaluate(self, *args, **kwargs):
        with self._kept():
            return super().evaluate(*args, **kwargs)

    def predict(self, *args, **kwargs):
        with self._kept():
            return super().predict(*args, **kwargs)

    @contextlib.contextmanager
    def _kept(self):
        """Gives back the arrays that an error in a step would take with it.

        Keras takes them out of the variables before the first step.
        """
        optimizer = getattr(self, "optimizer", None)
        slots = optimizer.variables if optimizer else []
        # A model with a second optimizer names its slots among what is not trained.
        kept = (*self._unique_variables(), *self.non_trainable_variables, *slots)
        saved = [(v, v._value) for v in kept]
        try:
            yield
        except BaseException:
            # What the last good step gave, or else what was there before the first.
            self.jax_state_sync()
            self._jax_state = None
            for variable, value in saved:
                if variable._value is None and value is not None and not value.is_deleted():
                    variable._value = value
            raise

    def train_step(self, state, data):
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        return self._stateless(self.update, groups, state, data)

    def test_step(self, state, data):
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.metrics_variables,
        )
        return self._stateless(self.assess, groups, state, data)

    def _stateless(self, step, groups, state, data):
        pairs = [
            pair
            for variables, values in zip(groups, state, strict=True)
            for pair in zip(variables, values, strict=True)
        ]
        with keras.StatelessScope(pairs) as scope:
            logs = step(*keras.utils.unpack_x_y_sample_weight(data))
        new = tuple([scope.get_current_value(v) for v in group] for group in groups)
        return logs, new

    def minimize(self, fn, optimizer, variables):
        chosen = {id(v) for v in variables}
        others = [v for v in self._unique_variables() if id(v) not in chosen]

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

    def _unique_variables(self):
        return list({id(v): v for v in self.variables + self.metrics_variables}.values())

    def compile_function(self, fn):
        @jax.jit
        def pure(values, arrays):
            pairs = zip(self.variables, values, strict=True)
            with keras.StatelessScope(list(pairs)):
                return fn(*arrays)

        return lambda *arrays: pure([v.value for v in self.variables], arrays)
