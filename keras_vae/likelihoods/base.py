"""Base class of the likelihoods p(x|z): the meaning of decoder outputs, the range of data.

A likelihood is a layer. `log_prob(x, outputs)` is log p(x|z) in nats, summed
over pixels; `mean(outputs)` is E[x|z]; `observe(x, seed)` draws the data of a training
step from x; `data_range` is the range of x.
"""

from typing import Any

import keras
from keras import ops


class Likelihood(keras.layers.Layer):
    """Base class of the likelihoods.

    Attributes:
        data_range: `(low, high)` that data must lie in, or None.
        is_density: whether `log_prob` is the logarithm of a density or a mass of x;
            bounds on log p(x) need one.
        depends_on_batch: whether the likelihood of one example depends on the others of
            its batch.
        takes_weights: whether `log_prob` takes `weigh`: a function from log p(x|z) `(k, n)`
            to what each counts in what is fitted to the batch, `(k, n)`; None where all are
            alike.
        missing: whether data may have missing values, marked NaN.
        takes_logits: whether outputs are logits, so that a decoder must end without a
            sigmoid or any other activation with bounds.
        tables: whether data may be tables, which `encode` makes numbers of and `decode` tables
            again.
        blocks: how many values of flattened data belong together, one after the other, such as
            the one-hot values of a category; None for each by itself.
    """

    data_range: tuple[float, ...] | None = None
    is_density = True
    depends_on_batch = False
    takes_weights = False
    missing = False
    takes_logits = False
    tables = False
    blocks: tuple[int, ...] | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "name": "likelihood", **kwargs})
        self.built = True

    def data_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one example of data whose decoder outputs have that shape.

        The same by default. A likelihood of several parameters per value, such as a mean
        and a variance, or the logits of its classes, has its own `data_shape`, `log_prob`
        and `mean`.
        """
        return output_shape

    def log_prob(self, x, outputs, training=False, **weigh):
        """log p(x|z) in nats.

        Args:
            x: data `(n, ...)`.
            outputs: decoder outputs `(k, n, ...)` for k codes per example.
            training: whether running statistics are updated.
            **weigh: `weigh=`, see `takes_weights`.

        Returns:
            Tensor `(k, n)`, float32.
        """
        # Flattened: on a CPU, XLA is several times slower for pictures of one channel.
        # TensorFlow does not know the static size after batches of different shapes.
        k, n = ops.shape(outputs)[:2]
        outputs = ops.reshape(outputs, (k, n, -1))
        each = self.log_prob_each(ops.reshape(x, (n, -1)), outputs, training, **weigh)
        return ops.sum(each, axis=-1)

    def log_prob_each(self, x, outputs, training=False):
        """The terms of `log_prob`, one per pixel of flattened data.

        Args:
            x: data `(n, ...)`.
            outputs: `(k, n, ...)`.
            training: see `log_prob`.

        Returns:
            Tensor `(k, n, ...)`.
        """
        raise NotImplementedError

    def best_log_prob(self, x):
        """The largest log p(x|z) that any decoder outputs could give, of NumPy data.

        Returns:
            `(n,)` float64, nats; None where it is not known.
        """
        return None

    def mean(self, outputs):
        """E[x|z] of outputs `(..., *output shape)`, in data space `(..., *data shape)`."""
        raise NotImplementedError

    def sample(self, mean, rng):
        """Draws x from p(x|z) with NumPy's generator: the same on every backend.

        Args:
            mean: E[x|z] as `mean` gives it, a NumPy array `(n, ...)`.
            rng: a `numpy.random.Generator`.

        Returns:
            NumPy array of the same shape, float32.

        Raises:
            ValueError: there is no density to draw from.
        """
        raise ValueError(
            "This likelihood has no draws: take its means, `sample(n)` without `noise`; a class "
            f"of one's own needs `sample(mean, rng)`. Received: {type(self).__name__}"
        )

    def encode(self, x, name="x"):
        """Data as users have it, as numbers: x itself, unless `tables`."""
        return x

    def decode(self, x, like=None, keep=False):
        """Numbers as users have their data: x itself, unless `tables`."""
        return x

    def observe(self, x, seed):
        """The data of one training step; x by default."""
        return x

    def observe_numpy(self, x, rng):
        """`observe` with NumPy's generator: evaluation is the same on every backend."""
        return x
