"""VAE/GAN and adversarial autoencoder: a discriminator of pictures, or of codes."""

import threading

import keras
from keras import ops

from keras_vae import _checks, objectives
from keras_vae._registry import register
from keras_vae.models.second_optimizer import SecondOptimizer
from keras_vae.models.vae import PARTS, VAE, _mean, _one_each

# The decoder's outputs of the last `evidence` of each thread, which need not be computed again.
_last = threading.local()


class Rivalled(SecondOptimizer, VAE):
    """Base class: a discriminator that takes a step of its own after each step of the model.

    Args:
        discriminator: see the subclass.
        discriminator_learning_rate: of its Adam, β₁ = 0.5, β₂ = 0.9.
        gradient_penalty: γ of γ/2 · ‖∂ logit / ∂ real‖², which the discriminator minimises too (R1,
            Mescheder, Geiger & Nowozin 2018); 0 for none.
        *args, **parts: as `VAE`.

    Raises:
        ValueError: a part does not fit another.
    """

    def __init__(
        self,
        *args,
        discriminator,
        discriminator_learning_rate=1e-4,
        gradient_penalty=0.0,
        **parts,
    ):
        super().__init__(*args, **parts)
        self._check_discriminator(discriminator)
        self.discriminator = discriminator
        self.discriminator_learning_rate = discriminator_learning_rate
        self.gradient_penalty = _checks.at_least_0("gradient_penalty", gradient_penalty)
        # Made when training begins, so that a preset holds none of its moments.
        self.discriminator_optimizer = None

    def plain(self):
        """A `VAE` of the same parts, with the same weights and without discriminator."""
        parts = {name: self._part(name) for name in PARTS}
        parts["objective"] = (
            objectives.ELBO() if self.posterior_layer.has_density else objectives.Reconstruction()
        )
        return VAE(**parts, seed=self.seed, name="vae")

    def evidence(self, x, condition=None, training=False, noise=None, **options):
        found = super().evidence(x, condition, training, noise, **options)
        outputs = _last.__dict__.pop("outputs", None)

        def judge(evidence):
            return self.judge(evidence, condition, outputs)

        return found._replace(discriminator=judge)

    def _log_px(self, x, z, condition, training, **weigh):
        outputs = self._outputs(z, condition, training)
        _last.outputs = outputs
        return self.likelihood.log_prob(x, outputs, training=training, **weigh)

    def update(self, x, y=None, sample_weight=None):
        """One training step of the model, then one of the discriminator; runs inside `fit`."""
        sample_weight = _one_each(sample_weight)
        self._measure(x, y, sample_weight)
        x, target = self._observed(x, y)

        def loss_and_more():
            evidence = self.evidence(
                x, self._condition_of(y), training=True, **self._fitted_by(sample_weight), **target
            )
            kept = []

            def judge(evidence, judge=evidence.discriminator):
                kept.append(judge(evidence))
                return kept[-1]

            losses, terms = self.objective(evidence._replace(discriminator=judge))
            return _mean(losses, sample_weight) + sum(self.losses), (terms, kept[-1].seen)

        loss, (terms, seen) = self.minimize(loss_and_more, self.optimizer, self.trainable_variables)
        real, generated = map(ops.stop_gradient, seen)
        self.minimize(
            lambda: (self.discriminator_loss(real, generated, sample_weight), ()),
            self.discriminator_optimizer,
            self.discriminator.trainable_variables,
        )
        self.step.assign(self.step + self._stepped())
        return self._log(loss, terms, x, sample_weight)

    def discriminator_loss(self, real, generated, sample_weight=None):
        """What the discriminator minimises: see `objectives.discriminator_losses`, and R1.

        Args:
            real: what is real, `(n, ...)`.
            generated: what is not, one or more batches of n after another.
            sample_weight: `(n,)` or None.
        """
        n = ops.shape(real)[0]
        logits = self.logits(ops.concatenate([real, generated]), training=True)
        # Batches of n after another: `(k, n)`.
        logits = ops.reshape(logits, (-1, n))
        fakes = [logits[i] for i in range(1, 1 + self.fakes)]
        loss = _mean(
            objectives.discriminator_losses(logits[0], fakes, self.objective.loss), sample_weight
        )
        if self.gradient_penalty:

            def one_logit(x):
                return self.logits(x)

            slope = self.vector_jacobian(one_logit, real, ops.ones((n,), "float32"))
            squared = ops.sum(ops.square(slope), axis=tuple(range(1, len(slope.shape))))
            loss = loss + 0.5 * self.gradient_penalty * _mean(squared, sample_weight)
        return loss

    def _own_arguments(self):
        return {**super()._own_arguments(), "gradient_penalty": self.gradient_penalty}


@register
class AdversarialAutoencoder(Rivalled):
    """An autoencoder whose codes a discriminator compares with draws from the prior.

    Makhzani et al., "Adversarial Autoencoders", 2016. In place of a divergence the encoder
    learns to have its codes taken for draws from the prior. The discriminator takes a step of
    its own, with its own Adam, after each step of the autoencoder (the paper takes the encoder's
    adversarial step after it). No gradient of either reaches the other's weights.

    Args:
        discriminator: model from codes `(n, d)` to a logit `(n, 1)` of being drawn from the
            prior.
        discriminator_learning_rate: of its Adam, β₁ = 0.5, β₂ = 0.9.
        gradient_penalty: γ of R1, see `VAEGAN`; 0 for none.
        *args, **parts: as `VAE`, with the objective `objectives.AdversarialMatching()` by
            default.

    Raises:
        ValueError: a part does not fit another.
    """

    # Batches that are not real in a step of the discriminator.
    fakes = 1

    def __init__(self, *args, objective=None, **parts):
        super().__init__(*args, objective=objective or objectives.AdversarialMatching(), **parts)

    def _check_discriminator(self, discriminator):
        shapes = discriminator.input_shape[1:], discriminator.output_shape[1:]
        if shapes != ((self.latent_dim,), (1,)):
            raise ValueError(
                f"The discriminator must take codes ({self.latent_dim},) and give one logit. "
                f"Received: shapes {shapes[0]} and {shapes[1]}"
            )

    def logits(self, z, training=False):
        """Log-odds `(n,)` that codes `(n, d)` are drawn from the prior, nats."""
        return ops.cast(self.discriminator(z, training=training), "float32")[:, 0]

    def judge(self, evidence, condition=None, outputs=None):
        """`objectives.Judged` of the codes of a batch and as many draws from the prior."""
        z = evidence.z[0]
        p = evidence.p
        drawn = ops.stop_gradient(p.transform(evidence.normal((ops.shape(z)[0], p.noise_dim))))
        return objectives.Judged(self.logits(drawn), (self.logits(z),), (drawn, z))


@register
class VAEGAN(Rivalled):
    """A VAE whose decodings a discriminator of pictures judges, and compares with data.

    Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", 2016. The
    reconstruction error is that of the discriminator's hidden features; the decoder also learns
    to have decodings of codes and of draws from the prior taken for data. The encoder has no
    gradient of that, the model none of the discriminator's loss, and the discriminator none
    of the model's. It takes its step, with its own Adam, after each step of the model.

    Args:
        discriminator: model from data `(n, ...)` to `[features (n, f), logit (n, 1)]`;
            see `models.discriminators.picture_discriminator`.
        discriminator_learning_rate: of its Adam, β₁ = 0.5, β₂ = 0.9.
        gradient_penalty: γ of γ/2 · ‖∂ logit / ∂x‖² at the data, which the discriminator
            minimises too (R1, Mescheder, Geiger & Nowozin 2018); 0 for none.
        augmentation: a layer that both data and decodings go through before the discriminator,
            such as `layers.DifferentiableAugmentation()`, by the same random amounts; or None.
        *args, **parts: as `VAE`, with the objective `objectives.FeatureMatching()` by default.

    Raises:
        ValueError: a part does not fit another.
    """

    fakes = 2

    def __init__(self, *args, objective=None, augmentation=None, **parts):
        super().__init__(*args, objective=objective or objectives.FeatureMatching(), **parts)
        if augmentation is not None and not hasattr(augmentation, "augmented"):
            raise ValueError(
                "`augmentation` must draw once for several batches, as "
                "`layers.DifferentiableAugmentation()` does. "
                f"Received: {type(augmentation).__name__}"
            )
        self.augmentation = augmentation

    def _check_discriminator(self, discriminator):
        given = tuple(discriminator.inputs[0].shape[1:])
        outputs = [tuple(output.shape[1:]) for output in discriminator.outputs]
        if given != self.data_shape or len(outputs) != 2 or outputs[1] != (1,):
            raise ValueError(
                f"The discriminator must take data {self.data_shape} and give features and one "
                f"logit. Received: input {given}, outputs {outputs}"
            )

    def logits(self, x, training=False):
        """Log-odds `(n,)` that data `(n, ...)` is real, nats."""
        return ops.cast(self.discriminator(x, training=training)[1], "float32")[:, 0]

    def judge(self, evidence, condition=None, outputs=None):
        """`objectives.Judged` of a batch, its reconstructions and draws from the prior."""
        x, z, p = ops.cast(evidence.x, "float32"), evidence.z[0], evidence.p
        n = ops.shape(z)[0]
        drawn = p.transform(evidence.normal((n, p.noise_dim)))
        # Decoded again: from here no gradient goes to the encoder, nor to the prior.
        codes = ops.stop_gradient(ops.concatenate([z, drawn + ops.zeros_like(z)]))
        twice = condition
        if condition is not None:
            twice = ops.tile(condition, (2,) + (1,) * (len(condition.shape) - 1))
        generated = self.likelihood.mean(self.generate(codes, twice, evidence.training))
        decoded = self.likelihood.mean(outputs[0])
        amounts = None
        if self.augmentation is not None and evidence.training:
            amounts = self.augmentation.draw(n, self.seed_generator)

        def told(x, decoded, generated):
            """Features of x and of its reconstruction, logits of x and of what is generated."""
            batches = [x, decoded, generated]
            if amounts is not None:
                twice = ops.concatenate([amounts, amounts])
                batches = [
                    self.augmentation.augmented(batch, own)
                    for batch, own in zip(batches, (amounts, amounts, twice), strict=True)
                ]
            features, logits = self.discriminator(ops.concatenate(batches))
            features, logits = (ops.cast(found, "float32") for found in (features, logits))
            features = ops.reshape(features, (ops.shape(features)[0], -1))
            distance = 0.5 * ops.sum(ops.square(features[:n] - features[n : 2 * n]), axis=-1)
            return distance, logits[:, 0], (batches[0], batches[2])

        distance, logits, seen = told(x, decoded, generated)
        ratio = None
        if self.objective.adaptive:
            ratio = self._ratio(evidence, told, x, decoded, generated)
        fakes = (logits[2 * n : 3 * n], logits[3 * n :])
        return objectives.Judged(logits[:n], fakes, seen, distance, ratio)

    def _ratio(self, evidence, told, x, decoded, generated):
        """‖∂ reconstruction error / ∂x̂‖ over ‖∂ generator's loss / ∂x̂‖, without a gradient."""
        decoded, generated = ops.stop_gradient(decoded), ops.stop_gradient(generated)
        n = ops.shape(x)[0]

        def norm(fn, inputs):
            slope = self.vector_jacobian(fn, inputs, ops.ones((n,), "float32"))
            return ops.sqrt(ops.sum(ops.square(ops.stop_gradient(slope))))

        def generator(batch):
            logits = told(x, decoded, batch)[1]
            both = objectives.generator_losses(logits[2 * n :], self.objective.loss)
            return both[:n] + both[n:]

        error = norm(lambda batch: told(x, batch, generated)[0], decoded)
        return ops.clip(error / (norm(generator, generated) + 1e-6), 0.0, 1e4)

    def _own_arguments(self):
        return {**super()._own_arguments(), "augmentation": self.augmentation}

    def get_config(self):
        config = super().get_config()
        layer = config["augmentation"]
        if layer is not None:
            config["augmentation"] = keras.saving.serialize_keras_object(layer)
        return config

    @classmethod
    def from_config(cls, config):
        layer = config.get("augmentation")
        if isinstance(layer, dict):
            layer = keras.saving.deserialize_keras_object(layer)
        return super().from_config({**config, "augmentation": layer})
