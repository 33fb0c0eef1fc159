"""JAX: imperative steps run as pure functions of the state."""

import contextlib

import jax
import jax.numpy as jnp
import keras
import numpy as np


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

    def compile_chunk(self, loop=True):
        dtypes = {k: v.dtype for k, v in self.get_metrics_result().items()}

        def step(state, arrays, rows):
            return self.train_step(state, tuple(a[rows] for a in arrays))

        def steps(state, arrays, rows, number):
            empty = {k: jnp.zeros(len(rows), dtype) for k, dtype in dtypes.items()}

            def body(i, carry):
                state, logs = carry
                new, state = step(state, arrays, rows[i])
                return state, {k: logs[k].at[i].set(new[k]) for k in logs}

            return jax.lax.fori_loop(0, number, body, (state, empty))

        one, many = jax.jit(step, donate_argnums=0), jax.jit(steps, donate_argnums=0)

        def run(resident, rows, whole, state):
            size, logs = resident.batch_size, []
            rows = np.asarray(rows)
            single = range(0 if loop else whole)
            if loop and whole:
                # The number of steps is no part of the shape: one program for all chunks.
                table = np.zeros((resident.steps, size), "int32")
                table[:whole] = rows[: whole * size].reshape(whole, size)
                state, new = many(state, resident.arrays, table, whole)
                logs.append({k: v[:whole] for k, v in new.items()})
            batches = [rows[i * size : (i + 1) * size] for i in single]
            if len(rows) > whole * size:
                batches.append(rows[whole * size :])
            for batch in batches:
                new, state = one(state, resident.arrays, batch)
                logs.append({k: v[None] for k, v in new.items()})
            return {k: np.concatenate([log[k] for log in logs]) for k in logs[0]}, state

        return run

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

    def rows_of_chunks(self, n, size, shuffle):
        return {"x": np.arange(n, dtype="int32"), "batch_size": size, "shuffle": shuffle}

    def why_no_chunks(self):
        if keras.distribution.distribution() is not None:
            return "a `keras.distribution` is set"
        if not self.jit_compile:
            return "the model is compiled without `jit_compile`"

    def on_accelerator(self):
        return jax.default_backend() != "cpu"

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
