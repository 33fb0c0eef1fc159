"""TensorFlow: gradient tape and tf.function."""

import keras
import tensorflow as tf


class TrainStep:
    """See `keras_vae.training`."""

    def train_step(self, data):
        # Without it whatever does not depend on the data, such as counting the step,
        # would also be done for the batch that is not there at the end of a generator.
        with tf.control_dependencies(tf.nest.flatten(data)):
            return self._rows(self.update(*keras.utils.unpack_x_y_sample_weight(data)))

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
        optimizer.apply(gradients, variables)
        return loss, aux

    def vector_jacobian(self, fn, x, vectors):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = fn(x)
        return tape.gradient(y, x, output_gradients=vectors)

    def compile_function(self, fn):
        graph = tf.function(fn, autograph=False)
        return lambda *arrays: graph(*map(tf.convert_to_tensor, arrays))
