"""FactorVAE: a second network that tells codes from ones whose dimensions are shuffled."""

import keras
from keras import ops

from keras_vae import initializers, objectives
from keras_vae._registry import register
from keras_vae.models.second_optimizer import SecondOptimizer
from keras_vae.models.vae import PARTS, VAE, _mean, _one_each


def permuted(z, noise):
    """Codes whose every dimension is shuffled over the batch by itself.

    They are drawn from the product of the marginals of q(z): each dimension's values are
    those that were there, the dimensions have nothing to do with each other.

    Args:
        z: codes `(n, d)`.
        noise: numbers `(n, d)`, whose order in each column is the shuffle.
    """
    return ops.take_along_axis(z, ops.argsort(noise, axis=0), axis=0)


@register
class FactorVAE(SecondOptimizer, VAE):
    """A VAE and a discriminator that is trained in turn with it.

    Kim & Mnih, "Disentangling by Factorising", 2018. After each step of the VAE the
    discriminator takes one of its own, with its own Adam: it tells codes of one half of
    the batch from codes of the other half whose dimensions are shuffled. (The paper
    draws two batches; here the VAE learns from both halves.) No gradient of either
    reaches the other's weights. Where the optimizer accumulates gradients over batches, the
    discriminator's does as well.

    Args:
        discriminator: model from codes `(n, d)` to a logit `(n, 1)` of being a code and
            not shuffled.
        discriminator_learning_rate: of its Adam, β₁ = 0.5, β₂ = 0.9.
        *args, **parts: as `VAE`, with the objective `objectives.DensityRatio()` by default.

    Raises:
        ValueError: a part does not fit another.
    """

    def __init__(
        self, *args, objective=None, discriminator, discriminator_learning_rate=1e-4, **parts
    ):
        super().__init__(*args, objective=objective or objectives.DensityRatio(), **parts)
        shapes = discriminator.input_shape[1:], discriminator.output_shape[1:]
        if shapes != ((self.latent_dim,), (1,)):
            raise ValueError(
                f"The discriminator must take codes ({self.latent_dim},) and give one logit. "
                f"Received: shapes {shapes[0]} and {shapes[1]}"
            )
        self.discriminator = discriminator
        self.discriminator_learning_rate = discriminator_learning_rate
        # Made when training begins, so that a preset holds none of its moments.
        self.discriminator_optimizer = None

    def plain(self):
        """A `VAE` of the same parts, with the same weights and without discriminator."""
        parts = {name: self._part(name) for name in PARTS}
        return VAE(**{**parts, "objective": objectives.ELBO()}, seed=self.seed, name="vae")

    def evidence(self, x, condition=None, training=False, noise=None, **options):
        found = super().evidence(x, condition, training, noise, **options)
        return found._replace(discriminator=self.logits)

    def logits(self, z):
        """log D(z) - log(1 - D(z)) of codes `(..., d)`: tensors `(...)`, nats."""
        flat = self.discriminator(ops.reshape(z, (-1, self.latent_dim)))
        return ops.reshape(ops.cast(flat, "float32"), ops.shape(z)[:-1])

    def update(self, x, y=None, sample_weight=None):
        sample_weight = _one_each(sample_weight)
        self._measure(x, y, sample_weight)
        x, target = self._observed(x, y)

        def loss_and_codes():
            evidence = self.evidence(
                x, self._condition_of(y), training=True, **self._fitted_by(sample_weight), **target
            )
            losses, terms = self.objective(evidence)
            return _mean(losses, sample_weight) + sum(self.losses), (terms, evidence.z[0])

        loss, (terms, z) = self.minimize(loss_and_codes, self.optimizer, self.trainable_variables)
        z = ops.stop_gradient(z)
        noise = self._normal(ops.shape(z), rows=0)
        self.minimize(
            lambda: (self.discriminator_loss(z, noise), ()),
            self.discriminator_optimizer,
            self.discriminator.trainable_variables,
        )
        self.step.assign(self.step + self._stepped())
        return self._log(loss, terms, x, sample_weight)

    def discriminator_loss(self, z, noise):
        """Cross-entropy of telling the first half of codes from the shuffled second.

        -½ (mean log D(z) + mean log(1 - D(shuffled z'))); of an odd number the one in
        the middle is in both halves.

        Args:
            z: codes `(n, d)`.
            noise: `(n, d)`, see `permuted`.

        Returns:
            A scalar, nats.
        """
        n = ops.shape(z)[0]
        codes, others = z[: n - n // 2], z[n // 2 :]
        shuffled = permuted(others, noise[n // 2 :])
        told = ops.mean(ops.softplus(-self.logits(codes)))
        return 0.5 * (told + ops.mean(ops.softplus(self.logits(shuffled))))


def discriminator_network(latent_dim, units, seed=None):
    """Dense layers of leaky ReLUs from codes to one logit, float32 under every policy."""
    seeds = initializers.seeds(seed)

    def dense(width):
        initializer = initializers.GlorotUniform(next(seeds))
        return keras.layers.Dense(width, kernel_initializer=initializer, dtype="float32")

    inputs = keras.Input((latent_dim,), name="code")
    x = inputs
    for width in units:
        x = keras.layers.LeakyReLU(0.2, dtype="float32")(dense(width)(x))
    return keras.Model(inputs, dense(1)(x), name="discriminator")
