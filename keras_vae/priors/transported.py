"""Codes that a velocity field carries from normal noise, as a distribution."""

import math

from keras import ops

from keras_vae import distributions
from keras_vae.distributions.base import LOG_2PI
from keras_vae.training import noise as noises


class Transported(distributions.Distribution):
    """Codes that a velocity field carries from normal noise: samples and densities.

    log p(z) = log N(u(0); 0, I) - ∫ div v(u(t), t) dt - Σ log σ, with u(1) = (z - μ) / σ, Chen et
    al., "Neural Ordinary Differential Equations", 2018. The mean has no closed form; `center` is
    where the mean of the noise goes.

    Args:
        prior: `FlowMatching`.
        condition: encoded conditions `(n, c)`, or None.
        steps, guidance: see `FlowMatching.sample`.
    """

    def __init__(self, prior, condition=None, steps=None, guidance=1.0):
        super().__init__(len(prior.code_shape))
        self.prior, self.condition = prior, condition
        self.steps, self.guidance = steps, guidance

    @property
    def _batch(self):
        return () if self.condition is None else (ops.shape(self.condition)[0],)

    @property
    def center(self):
        return self.transform(ops.zeros((*self._batch, *self.prior.code_shape), "float32"))

    @property
    def noise_dim(self):
        return self.prior.noise_dim

    def noise(self, samples, seed):
        shape = (samples, *self._batch, *self.prior.code_shape)
        return noises.normal(shape, seed)

    def transform(self, noise):
        (u,), lead = self._carried((noise,), 0.0, 1.0, density=False)
        return ops.reshape(self.prior.from_standard(u), (*lead, *self.prior.code_shape))

    def log_prob(self, x):
        """Log-density of `x` in nats: exact up to the steps of the integration for codes of few
        numbers, with an unbiased estimate of the divergence for larger ones.

        Its gradient by x is exact on JAX and PyTorch. On TensorFlow it is some percent off, as
        is the second derivative of Keras' `LayerNormalization` there.
        """
        standard = self.prior.to_standard(ops.convert_to_tensor(x))
        (u, total), lead = self._carried((standard,), 1.0, 0.0, density=True)
        axes = tuple(range(1, 1 + self.event_ndim))
        log_noise = -0.5 * ops.sum(ops.square(u) + LOG_2PI, axis=axes)
        # The integral runs from the code back to the noise.
        return ops.reshape(log_noise + total, lead) - self.prior.log_scale()

    def kl(self, other):
        return self._unknown_kl(other)

    def _carried(self, state, start, stop, density):
        """The state carried in time, in rows, and the leading axes of what was given."""
        shape = ops.shape(state[0])
        lead = tuple(shape)[: len(shape) - self.event_ndim]
        u = ops.reshape(state[0], (-1, *self.prior.code_shape))
        condition = self.condition
        if condition is not None and len(lead) > 1:
            condition = ops.tile(condition, (math.prod(lead[:-1]), 1))
        return self.prior.integrate(
            u, start, stop, condition, self.steps, self.guidance, density
        ), lead
