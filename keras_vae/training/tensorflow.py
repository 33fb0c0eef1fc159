"""TensorFlow: gradient tape and tf.function."""

import contextlib

import keras
import tensorflow as tf

from keras_vae.training import adam, keras_private

# Nothing destroys a variable of TensorFlow.
weights_kept = contextlib.nullcontext


@contextlib.contextmanager
def traced_anew(model, name):
    """Nothing to do: a new function is traced again here."""
    yield


class TrainStep(keras_private.BuiltHook):
    """See `keras_vae.training`."""

    def variable_scope(self):
        return self.distribute_strategy.scope()

    def train_step(self, data):
        # At the end of a generator TensorFlow runs the step without a batch, up to the first
        # operator that needs one: counting the step, which needs none, has to wait for it.
        parts = [part for part in tf.nest.flatten(data) if part is not None]
        with tf.control_dependencies(parts):
            return self._rows(self.update(*keras.utils.unpack_x_y_sample_weight(data)))

    def test_step(self, data):
        return self._rows(self.assess(*keras.utils.unpack_x_y_sample_weight(data)))

    def _rows(self, logs):
        """Over several machines Keras averages logs along their first axis: gives them one."""
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
        # The gradient of `tf.gather` is sparse with repeated rows; Keras' Adam would square
        # each repeat by itself.
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
        function, graphs = tf.function(lambda arrays: fn(*arrays), autograph=False), {}

        def call(*arrays):
            arrays = tuple(map(tf.convert_to_tensor, arrays))
            # `tf.function` takes longer to find the graph of these shapes than a small graph runs.
            kind = tuple((a.dtype, tuple(a.shape)) for a in arrays)
            if kind not in graphs:
                graphs[kind] = function.get_concrete_function(arrays)
            return graphs[kind](arrays)

        return call


def _is_plain_adam(optimizer, gradients, variables):
    """Whether TensorFlow's own Adam does the same; with any option more Keras' Adam runs."""
    return (
        not tf.distribute.has_strategy()
        and adam.is_plain(optimizer, variables)
        and all(g is not None for g in gradients)
    )


def _fused_adam(optimizer, gradients, variables):
    """Keras' Adam on its slots, in one pass over each variable."""
    step = tf.cast(optimizer.iterations.value + 1, "float32")
    rate = tf.cast(optimizer.learning_rate, "float32")
    moments = keras_private.adam_moments(optimizer, variables)
    for variable, gradient, first, second in zip(variables, gradients, *moments, strict=True):
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
