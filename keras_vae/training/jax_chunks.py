"""JAX: many training steps as one program. See `keras_vae.training`."""

import jax
import jax.numpy as jnp
import keras
import numpy as np


def compile_chunk(model, loop=True):
    # Of the metrics themselves: in the middle of `fit` they have no values to ask.
    dtypes = {metric.name: metric.dtype for metric in model.metrics}

    def step(state, arrays, rows):
        return model.train_step(state, tuple(a[rows] for a in arrays))

    def steps(state, arrays, rows, number):
        empty = {k: jnp.zeros(len(rows), dtype) for k, dtype in dtypes.items()}

        def body(i, carry):
            state, logs = carry
            new, state = step(state, arrays, rows[i])
            return state, {k: logs[k].at[i].set(new[k]) for k in logs}

        state, logs = jax.lax.fori_loop(0, number, body, (state, empty))
        return logs, state

    one, many = (model.kept_step(jax.jit(f, donate_argnums=0)) for f in (step, steps))

    def run(resident, rows, whole, state):
        size, logs = resident.batch_size, []
        rows = np.asarray(rows)
        single = range(0 if loop else whole)
        if loop and whole:
            # The number of steps is an argument, not a shape: one program for all chunks.
            table = np.zeros((resident.steps, size), "int32")
            table[:whole] = rows[: whole * size].reshape(whole, size)
            new, state = many(state, resident.arrays, table, whole)
            logs.append({k: v[:whole] for k, v in new.items()})
        batches = [rows[i * size : (i + 1) * size] for i in single]
        if len(rows) > whole * size:
            batches.append(rows[whole * size :])
        for batch in batches:
            new, state = one(state, resident.arrays, batch)
            logs.append({k: v[None] for k, v in new.items()})
        return {k: np.concatenate([log[k] for log in logs]) for k in logs[0]}, state

    return run


def rows_of_chunks(n, size, shuffle):
    return {"x": np.arange(n, dtype="int32"), "batch_size": size, "shuffle": shuffle}


def why_no_chunks(model):
    if keras.distribution.distribution() is not None:
        return "a `keras.distribution` is set"
    if not model.jit_compile:
        return "the model is compiled without `jit_compile`"


def on_accelerator():
    return jax.default_backend() != "cpu"
