"""TensorFlow: gradient tape and tf.function."""

import collections
import functools

import keras
import numpy as np
import tensorflow as tf

from keras_vae.training import adam

# Compiling takes XLA seconds, which a short training would not save.
XLA_EARNED_BACK = 3000
# What `keras_vae.training.random` draws with, the same by XLA and without.
SAME_BY_XLA = "StatelessRandomUniformFullIntV2"


class TrainStep:
    """See `keras_vae.training`."""

    def train_step(self, data):
        # Without it whatever does not depend on the data, such as counting the step,
        # would also be done for the batch that is not there at the end of a generator.
        with tf.control_dependencies(tf.nest.flatten(data)):
            return self._rows(self.update(*keras.utils.unpack_x_y_sample_weight(data)))

    def compile_chunk(self, loop=True):
        # An optimizer cannot make its slots inside a loop.
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        dtypes = {k: v.dtype for k, v in self.get_metrics_result().items()}

        def step(arrays, rows):
            return self.train_step(tuple(tf.gather(a, rows) for a in arrays))

        def steps(arrays, rows, number):
            logs = {k: tf.zeros(rows.shape[:1], dtype) for k, dtype in dtypes.items()}

            def body(i, logs):
                new = step(arrays, rows[i])
                at = tf.reshape(i, (1, 1))
                return i + 1, {
                    k: tf.tensor_scatter_nd_update(v, at, new[k][None]) for k, v in logs.items()
                }

            return tf.while_loop(lambda i, _: i < number, body, (0, logs))[1]

        # Whole batches have a known size, which is worth a tenth of the time; what remains of
        # an epoch has a program of its own.
        compiled = functools.partial(tf.function, autograph=False, jit_compile=self.jit_compile)
        one, many = compiled(step), compiled(steps)
        # Keras keeps no "auto" but what it makes of it, which is no XLA on a CPU.
        if loop and not self.jit_compile and not self._resolve_auto_jit_compile():
            many = _by_xla_in_the_long_run(steps, many)

        def run(resident, rows, whole):
            size, logs = resident.batch_size, []
            rows = tf.cast(rows, "int32")
            if whole:
                # The number of steps is no part of the shape: one program for all chunks.
                table = tf.reshape(rows[: whole * size], (whole, size))
                table = tf.pad(table, ((0, resident.steps - whole), (0, 0)))
                new = many(resident.arrays, table, tf.constant(whole))
                logs.append({k: v.numpy()[:whole] for k, v in new.items()})
            if len(rows) > whole * size:
                new = one(resident.arrays, rows[whole * size :])
                logs.append({k: v.numpy()[None] for k, v in new.items()})
            return ({k: np.concatenate([log[k] for log in logs]) for k in logs[0]},)

        return run

    def rows_of_chunks(self, n, size, shuffle):
        """Rows in the order that Keras would shuffle them in, without autotuning.

        What tunes a pipeline sleeps ever longer, and the end of `fit` waits for it to wake:
        up to half of the time that was trained.
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

    def why_no_chunks(self):
        default = tf.distribute.get_strategy()
        if tf.distribute.has_strategy() or self.distribute_strategy is not default:
            return "a `tf.distribute` strategy is used"

    def on_accelerator(self):
        return bool(tf.config.list_logical_devices("GPU"))

    def test_step(self, data):
        return self._rows(self.assess(*keras.utils.unpack_x_y_sample_weight(data)))

    def _rows(self, logs):
        """Over several machines Keras takes means along the first axis of what a step gives."""
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return {name: tf.reshape(value, (1,)) for name, value in logs.items()}
        return logs

    def minimize(self, fn, optimizer, variables):
        with tf.GradientTape() as tape:
            loss, aux = fn()
            # Optimizers sum gradients over replicas; a loss is a mean over them.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled = optimizer.scale_loss(loss / replicas)
        gradients = tape.gradient(scaled, [v.value for v in variables])
        # Of rows that were gathered it gives each by itself, and Keras' Adam squares each.
        gradients = [g if g is None else tf.convert_to_tensor(g) for g in gradients]
        if _is_plain_adam(optimizer, gradients, variables):
            _fused_adam(optimizer, gradients, variables)
        else:
            optimizer.apply(gradients, variables)
        return loss, aux

    def vector_jacobian(self, fn, x, vectors):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = fn(x)
        return tape.gradient(y, x, output_gradients=vectors)

    def compile_function(self, fn):
        graph, found = tf.function(lambda arrays: fn(*arrays), autograph=False), {}

        def call(*arrays):
            arrays = tuple(map(tf.convert_to_tensor, arrays))
            # Finding the graph of these shapes takes TensorFlow longer than a small one runs.
            kind = tuple((a.dtype, tuple(a.shape)) for a in arrays)
            if kind not in found:
                found[kind] = graph.get_concrete_function(arrays)
            return found[kind](arrays)

        return call


def _by_xla_in_the_long_run(steps, plain):
    """`plain`, and after `XLA_EARNED_BACK` steps what XLA makes of `steps`.

    It stays `plain` where XLA would draw other random numbers, or cannot do it.
    """
    done, chosen = collections.Counter(), {}

    def run(*arguments):
        arrays, table, number = arguments
        # Each is a program of its own.
        shapes = (*(a.shape for a in arrays), table.shape)
        done[shapes] += int(number)
        if shapes not in chosen and done[shapes] > XLA_EARNED_BACK:
            compiled = tf.function(steps, autograph=False, jit_compile=True)
            otherwise = _draws_otherwise_by_xla(compiled.get_concrete_function(*arguments))
            chosen[shapes] = plain if otherwise else compiled
            try:
                return chosen[shapes](*arguments)
            except tf.errors.OpError:
                # Nothing has changed, and what is no matter of XLA will be raised again.
                chosen[shapes] = plain
        return chosen.get(shapes, plain)(*arguments)

    return run


def _draws_otherwise_by_xla(graph):
    """Whether an operation may draw other random numbers in a program of XLA."""
    definition = graph.graph.as_graph_def()
    bodies = [definition.node, *(f.node_def for f in definition.library.function)]
    kinds = {node.op for body in bodies for node in body} - {SAME_BY_XLA}
    return any("Random" in kind or "Multinomial" in kind for kind in kinds)


def _is_plain_adam(optimizer, gradients, variables):
    """Whether TensorFlow's own Adam does the same; with anything more Keras' does it."""
    return (
        not tf.distribute.has_strategy()
        and adam.is_plain(optimizer, variables)
        and all(g is not None for g in gradients)
    )


def _fused_adam(optimizer, gradients, variables):
    """Keras' Adam on its slots, in one pass over each variable."""
    step = tf.cast(optimizer.iterations.value + 1, "float32")
    rate = tf.cast(optimizer.learning_rate, "float32")
    for slots in zip(variables, gradients, *adam.slots(optimizer, variables), strict=True):
        variable, gradient, first, second = slots
        tf.raw_ops.ResourceApplyAdam(
            var=variable.value.handle,
            m=first.value.handle,
            v=second.value.handle,
            beta1_power=tf.pow(optimizer.beta_1, step),
            beta2_power=tf.pow(optimizer.beta_2, step),
            lr=rate,
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            grad=gradient,
        )
    optimizer.iterations.assign_add(1)
