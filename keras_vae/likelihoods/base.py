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
        takes_logits: whether outputs are logits or logarithms, so that a decoder must end
            without a sigmoid or any other activation with bounds.
        takes: what the outputs are and what becomes of them, for the message that refuses
            such an activation.
        per_value: outputs of the decoder per value of data. Those of one value stand side by
            side in the last axis; `parameters` takes them apart.
        counts: whether data must be counts: integers from 0 on.
        needs_outputs: whether draws take all parameters, and not the mean alone: such a
            likelihood has `sample_outputs`.
        in_order: whether draws take one row of pixels after the other: `sample_outputs` then
            takes `row` too, the compiled method `row`.
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
    takes = "logits, any real numbers, and makes probabilities of them by a sigmoid of its own"
    per_value = 1
    counts = False
    needs_outputs = False
    in_order = False
    tables = False
    blocks: tuple[int, ...] | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "name": "likelihood", **kwargs})
        self.built = True

    def data_shape(self, output_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one example of data whose decoder outputs have that shape.

        The last axis holds `per_value` outputs per value. A likelihood of other outputs, such
        as of logits of classes in an axis of their own, has its own `data_shape`, `log_prob`
        and `mean`.

        Raises:
            ValueError: the last axis does not hold `per_value` outputs for each value.
        """
        if self.per_value == 1:
            return output_shape
        *others, last = output_shape
        if last % self.per_value:
            raise ValueError(
                f"{type(self).__name__} takes {self.per_value} outputs of the decoder per value, "
                "side by side in the last axis: end the decoder with "
                f"{self.per_value} times the channels of the data. Received: outputs of shape "
                f"{tuple(output_shape)}"
            )
        return (*others, last // self.per_value)

    def parameters(self, outputs):
        """The parameters of each value, float32, from outputs `(..., per_value · c)`.

        Returns:
            Tuple of `per_value` tensors `(..., c)`.
        """
        outputs = ops.cast(outputs, "float32")
        if self.per_value == 1:
            return (outputs,)
        return tuple(outputs[..., i :: self.per_value] for i in range(self.per_value))

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
            ValueError: there is no density to draw from, or draws take all parameters.
        """
        if self.needs_outputs:
            raise ValueError(
                "Draws take all parameters of p(x|z), and not its mean alone: call "
                "`sample_outputs(outputs, rng)`, or `sample(n, noise=True)` of the model. "
                f"Received: {type(self).__name__}"
            )
        raise ValueError(
            "This likelihood has no draws: take its means, `sample(n)` without `noise`; a class "
            f"of one's own needs `sample(mean, rng)`. Received: {type(self).__name__}"
        )

    def sample_outputs(self, outputs, rng):
        """As `sample`, from the decoder's outputs, a NumPy array `(n, *output shape)`."""
        mean = self.mean(ops.convert_to_tensor(outputs))
        return self.sample(ops.convert_to_numpy(mean), rng)

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


def summed(each):
    """Sums over all but the first axis of an array."""
    return each.reshape(len(each), -1).sum(axis=1)
