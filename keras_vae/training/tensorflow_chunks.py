"""TensorFlow: many training steps as one program. See `keras_vae.training`."""

import collections
import functools

import numpy as np
import tensorflow as tf

from keras_vae.training import keras_private

# XLA takes two seconds to compile a small model; below this many steps, that costs more than it
# saves.
XLA_EARNED_BACK = 700
# `keras_vae.training.noise` draws by this operator: the same numbers with and without XLA.
SAME_BY_XLA = "StatelessRandomUniformFullIntV2"


def compile_chunk(model, loop=True):
    dtypes = {k: v.dtype for k, v in model.get_metrics_result().items()}

    def step(arrays, rows):
        return model.train_step(tuple(tf.gather(a, rows) for a in arrays))

    def steps(arrays, rows, number):
        logs = {k: tf.zeros(rows.shape[:1], dtype) for k, dtype in dtypes.items()}

        def body(i, logs):
            new = step(arrays, rows[i])
            at = tf.reshape(i, (1, 1))
            return i + 1, {
                k: tf.tensor_scatter_nd_update(v, at, new[k][None]) for k, v in logs.items()
            }

        return tf.while_loop(lambda i, _: i < number, body, (0, logs))[1]

    # Whole batches have a known size, which saves a tenth of the time; the rest of an epoch has
    # a program of its own.
    compiled = functools.partial(tf.function, autograph=False, jit_compile=model.jit_compile)
    one, many = compiled(step), compiled(steps)
    # On a CPU "auto" means no XLA, and Keras stores that meaning: a model that was compiled
    # with `jit_compile=False` looks the same here.
    if loop and not model.jit_compile and not keras_private.compiles_by_default(model):
        many = _by_xla_in_the_long_run(steps, many, model)

    def run(resident, rows, whole):
        size, logs = resident.batch_size, []
        rows = tf.cast(rows, "int32")
        if whole:
            # The number of steps is an argument, not a shape: one program for all chunks.
            table = tf.reshape(rows[: whole * size], (whole, size))
            table = tf.pad(table, ((0, resident.steps - whole), (0, 0)))
            new = many(resident.arrays, table, tf.constant(whole))
            logs.append({k: v.numpy()[:whole] for k, v in new.items()})
        if len(rows) > whole * size:
            new = one(resident.arrays, rows[whole * size :])
            logs.append({k: v.numpy()[None] for k, v in new.items()})
        return ({k: np.concatenate([log[k] for log in logs]) for k in logs[0]},)

    return run


def rows_of_chunks(n, size, shuffle):
    """Row numbers in the order that Keras would shuffle them in, without autotuning.

    The thread that tunes a pipeline sleeps for longer and longer, and the end of `fit` waits
    until it wakes: for up to half of the training time.
    """

    def order(_):
        rows = tf.range(n, dtype="int64")
        return tf.random.shuffle(rows) if shuffle else rows

    def chunks(rows):
        starts = tf.data.Dataset.range(0, n, size)
        return starts.map(lambda start: rows[start : start + size])

    rows = tf.data.Dataset.range(1).map(order).flat_map(chunks)
    options = tf.data.Options()
    options.autotune.enabled = False
    known = tf.data.experimental.assert_cardinality(-(-n // size))
    return {"x": rows.apply(known).with_options(options), "shuffle": False}


def why_no_chunks(model):
    default = tf.distribute.get_strategy()
    if tf.distribute.has_strategy() or model.distribute_strategy is not default:
        return "a `tf.distribute` strategy is used"


def on_accelerator():
    return bool(tf.config.list_logical_devices("GPU"))


def _by_xla_in_the_long_run(steps, plain, model):
    """`plain`, and in long training the program that XLA compiles from `steps`.

    XLA takes over after the first epoch, or `XLA_EARNED_BACK` steps of a longer one, if `fit`
    was asked for more steps than that, or has made more. So the first epoch ends no later. It
    stays `plain` where XLA would draw other random numbers, or cannot compile.
    """
    done, chosen = collections.Counter(), {}

    def run(*arguments):
        arrays, table, number = arguments
        # Other shapes are another program.
        shapes = (*(a.shape for a in arrays), table.shape)
        resident = model._resident
        pays = max(done[shapes], resident.planned) > XLA_EARNED_BACK
        later = done[shapes] >= min(resident.whole_steps, XLA_EARNED_BACK)
        done[shapes] += int(number)
        if shapes not in chosen and pays and later:
            compiled = tf.function(steps, autograph=False, jit_compile=True)
            otherwise = _draws_otherwise_by_xla(compiled.get_concrete_function(*arguments))
            chosen[shapes] = plain if otherwise else compiled
            try:
                return chosen[shapes](*arguments)
            except tf.errors.OpError:
                # No step has run; an error that is not XLA's will be raised again.
                chosen[shapes] = plain
        return chosen.get(shapes, plain)(*arguments)

    return run


def _draws_otherwise_by_xla(graph):
    """Whether an operator may draw other random numbers in a program of XLA."""
    definition = graph.graph.as_graph_def()
    bodies = [definition.node, *(f.node_def for f in definition.library.function)]
    kinds = {node.op for body in bodies for node in body} - {SAME_BY_XLA}
    return any("Random" in kind or "Multinomial" in kind for kind in kinds)
