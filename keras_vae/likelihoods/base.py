"""Likelihoods p(x|z): what the decoder's output means, and what data may be.

A likelihood is a layer. `log_prob(x, outputs)` is log p(x|z) in nats, summed
over pixels; `mean(outputs)` the picture that is shown; `observe(x, seed)` what
the model takes as data when it is given x; `data_range` what x may hold.
"""

import keras
from keras import ops


class Likelihood(keras.layers.Layer):
    """Base class of the likelihoods.

    Attributes:
        data_range: `(low, high)` that data must lie in, or None.
        is_density: whether `log_prob` is the logarithm of a density or a mass of x;
            no bound on log p(x) can be had otherwise.
        depends_on_batch: whether the likelihood of one example depends on the others of
            its batch.
        missing: whether data may have missing values, marked NaN.
    """

    data_range = None
    is_density = True
    depends_on_batch = False
    missing = False

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", "name": "likelihood", **kwargs})
        self.built = True

    def log_prob(self, x, outputs, training=False):
        """log p(x|z) in nats.

        Args:
            x: data `(n, ...)`.
            outputs: decoder outputs `(k, n, ...)` for k codes of each example.
            training: whether statistics may be updated.

        Returns:
            Tensor `(k, n)`, float32.
        """
        # Flat: on a CPU, XLA takes several times as long for pictures of one channel.
        # TensorFlow does not know the size once batches of different shapes have come.
        k, n = ops.shape(outputs)[:2]
        outputs = ops.reshape(outputs, (k, n, -1))
        each = self.log_prob_each(ops.reshape(x, (n, -1)), outputs, training)
        return ops.sum(each, axis=-1)

    def log_prob_each(self, x, outputs, training=False):
        """The terms of `log_prob`, one for each pixel of flattened data.

        Args:
            x: data `(n, ...)`.
            outputs: `(k, n, ...)`.
            training: see `log_prob`.

        Returns:
            Tensor `(k, n, ...)`.
        """
        raise NotImplementedError

    def mean(self, outputs):
        """E[x|z], in data space, the shape of `outputs`."""
        raise NotImplementedError

    def observe(self, x, seed):
        """What counts as data in one training step; x itself by default."""
        return x

    def observe_numpy(self, x, rng):
        """`observe` with NumPy's generator, for evaluation alike everywhere."""
        return x
