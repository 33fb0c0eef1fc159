"""Training a conditional VAE so that a changed condition changes the picture.

A conditional VAE may hide in z what the condition says, and then ignore the condition; and what
it decodes is blurred, as a pixel likelihood alone forgives that. Beside the ELBO stands a critic
of real pictures here, which

* tells them from decodings, with the condition of the data and with a wanted one;
* learns their attributes, and must read the wanted ones in a decoding.

What comes out is an ordinary conditional model (`plain`); the rest is scaffolding.
"""

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, initializers, layers, objectives
from keras_vae.models.checks import parts_fit, spatial_parts_fit
from keras_vae.models.second_optimizer import SecondOptimizer
from keras_vae.models.vae import PARTS, VAE, _mean, _one_each
from keras_vae.networks import LAST

TERMS = ("control_loss", "realism_loss", "similarity_loss", "asked_and_read", "told_apart")
WEIGHTS = {"control": 400.0, "realism": 400.0, "similarity": 1.0}


class AttributeGAN(SecondOptimizer, VAE):
    """Trains the parts of a conditional VAE to obey their attributes.

    He et al., "AttGAN: Facial Attribute Editing by Only Changing What You Want", 2019: a critic
    with a second head that reads attributes, trained on real pictures. Half of the wanted
    conditions differ from the example's own in one attribute, half are those of another
    example, so that they occur together as in the data. The similarity of a picture and its
    reconstruction in the critic's features is that of Larsen et al., "Autoencoding beyond
    pixels using a learned similarity metric", 2016.

    Logged besides the ELBO's terms, before their weights: `control_loss`, nats by which the
    critic misses wanted attributes, summed over them; `realism_loss` in nats; `similarity_loss`;
    `asked_and_read`, the part of changed attributes that the critic reads as wanted;
    `told_apart`, the part of pictures that it rightly calls real or decoded.

    Args:
        vae: the `VAE` or `SpatialVAE` whose parts are trained; its condition are `Attributes`.
        frequencies: `(c,)`, how often each attribute is present in the data.
        focus: weights `(c,)` of how often an attribute is changed alone; both of its
            directions are changed equally often. All alike by default.
        weights: of the terms, those of `WEIGHTS`. Without `control` nothing is edited: what is
            left is a VAE-GAN whose critic reads attributes too, for a model that is edited by
            its prior.
        readers: frozen models from pictures to logits of attributes `(n, c)`, which must read the
            wanted ones too, each as much as the critic. Readers that were trained as
            `robustness` says teach from the first step.
        critic: model from pictures `(n, h, w, 3)` to `[features (n, f), logits (n, p), attributes
            (n, c)]`; by default one of `width`.
        width: of the first stage of the critic.
        augmentation: layer that pictures and decodings go through before the critic; by default
            `layers.DifferentiableAugmentation("translation")`. False for none.
        gradient_penalty: γ of γ/2 · ‖∂ logit / ∂x‖² at real pictures (R1, Mescheder, Geiger &
            Nowozin 2018), which the critic minimises too.
        robustness: ε, the length of the step, in the norm ‖·‖₂ of a picture, by which real
            pictures are moved to where the critic reads them worst before it learns to read them
            (Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks",
            2018, with one step). What pleases such a critic looks like the attribute
            (Santurkar et al., "Image Synthesis with a Single (Robust) Classifier", 2019). 0 for
            none.
        critic_learning_rate: of its Adam, β₁ = 0.5, β₂ = 0.9.

    Raises:
        ValueError: no attributes, an unknown or negative weight, or frequencies that do not fit.
    """

    def __init__(
        self,
        vae,
        frequencies,
        focus=None,
        weights=None,
        readers=(),
        critic=None,
        width=64,
        augmentation=None,
        gradient_penalty=0.1,
        robustness=1.0,
        critic_learning_rate=4e-4,
        seed=None,
    ):
        weights = {**WEIGHTS, **(weights or {})}
        frequencies = np.asarray(frequencies, "float32")
        c = 0 if vae.condition is None else vae.condition.dim
        if frequencies.shape != (c,) or not c:
            raise ValueError(
                f"`frequencies` must hold one number for each of {c} attributes. "
                f"Received: shape {frequencies.shape}"
            )
        if set(weights) != set(WEIGHTS) or min(weights.values()) < 0:
            raise ValueError(
                f"`weights` must be numbers of at least 0 for {', '.join(WEIGHTS)}. "
                f"Received: {weights}"
            )
        # Behind a function: its parts are tracked, and saved, once.
        self._plain = lambda: vae
        super().__init__(
            **{name: vae._part(name) for name in PARTS}, seed=seed, name="attribute_gan"
        )
        self.frequencies = np.clip(frequencies, 0.01, 0.99)
        self.focus = np.ones(c, "float32") if focus is None else np.asarray(focus, "float32")
        self.term_weights = weights
        # Without control nothing is edited, and each example is judged as it is.
        self.edits = weights["control"] > 0
        self.stride = 2 if self.edits else 1
        self.readers = list(readers)
        for reader in self.readers:
            reader.trainable = False
        self.discriminator = critic or picture_critic(self.data_shape, c, width, seed)
        if augmentation is None:
            augmentation = layers.DifferentiableAugmentation("translation", seed=seed)
        self.augmentation = augmentation or None
        self.gradient_penalty = _checks.at_least_0("gradient_penalty", gradient_penalty)
        self.robustness = _checks.at_least_0("robustness", robustness)
        self.discriminator_learning_rate = critic_learning_rate
        self.discriminator_optimizer = None
        shown = [t for t in TERMS if self.edits or t not in ("control_loss", "asked_and_read")]
        self.trackers += [keras.metrics.Mean(name=t) for t in shown]

    def _networks(self, encoder, decoder, *parts):
        return encoder, decoder

    def _check_parts(self):
        (spatial_parts_fit if self._of_maps else parts_fit)(self)

    @property
    def _of_maps(self):
        return getattr(self.posterior_layer, "codes_are_maps", False)

    @property
    def code_shape(self):
        """Shape of one code."""
        return getattr(self._plain(), "code_shape", (self.latent_dim,))

    def plain(self):
        """The model whose parts were trained."""
        return self._plain()

    def _with(self, **changed):
        return self._plain()._with(**changed)

    def update(self, x, y=None, sample_weight=None):
        sample_weight = _one_each(sample_weight)
        self._measure(x, y, sample_weight)
        x = self.likelihood.observe(ops.cast(x, "float32"), self.seed_generator)
        y = self.condition.encode(y)
        wanted = self.wanted(y)
        (loss, (terms, seen)) = self.minimize(
            lambda: self._judged(x, y, wanted, sample_weight, training=True),
            self.optimizer,
            self.trainable_variables,
        )
        real, decoded = map(ops.stop_gradient, seen)
        self.minimize(
            lambda: (self.critic_loss(real, decoded, y, sample_weight), ()),
            self.discriminator_optimizer,
            self.discriminator.trainable_variables,
        )
        self.step.assign(self.step + self._stepped())
        return self._log(loss, terms, x, None)

    def assess(self, x, y=None, sample_weight=None):
        sample_weight = _one_each(sample_weight)
        self._measure(x, y, sample_weight)
        x = self.likelihood.observe(ops.cast(x, "float32"), self.seed_generator)
        y = self.condition.encode(y)
        loss, (terms, _) = self._judged(x, y, self.wanted(y), sample_weight, training=False)
        return self._log(loss, terms, x, None)

    def wanted(self, y):
        """Wanted conditions `(⌈n/2⌉, c)` of every second example of y `(n, c)`.

        By turns y with one attribute changed, and the y of the example before. An attribute is
        chosen the more often the rarer its present value is, so that taking glasses off is
        trained as often as putting them on.
        """
        own = y[::2]
        frequencies = ops.convert_to_tensor(self.frequencies)
        rarity = own / frequencies + (1.0 - own) / (1.0 - frequencies)
        logits = ops.log(ops.minimum(rarity, 30.0) * ops.convert_to_tensor(self.focus) + 1e-9)
        chosen = keras.random.categorical(logits, 1, seed=self.seed_generator)[:, 0]
        changed = ops.abs(own - ops.one_hot(chosen, self.condition.dim, dtype="float32"))
        other = ops.roll(y, 1, axis=0)[::2]
        turn = ops.cast(ops.expand_dims(ops.arange(ops.shape(own)[0]) % 2, -1), "float32")
        return turn * other + (1.0 - turn) * changed

    def _judged(self, x, y, wanted, sample_weight, training):
        """Loss, its terms, and what the critic is to see."""
        q = self.posterior_layer.distribution(*self.infer(x, y, training))
        z, log_qz = q.sample_and_log_prob(1, self.seed_generator)
        n = ops.shape(x)[0]
        codes, known = z[0], y
        if self.edits:
            # Every second example is decoded twice: as it is and with what is wanted.
            codes = ops.concatenate([codes, codes[::2]])
            known = ops.concatenate([known, wanted])
        outputs = self.generate(codes, known, training)
        evidence = objectives.Evidence(
            x=x,
            q=q,
            p=self._prior_distribution(y, training or self._prior_is_fitted_alone),
            z=z,
            log_qz=log_qz,
            log_px=self.likelihood.log_prob(x, ops.expand_dims(outputs[:n], 0), training=training),
            step=self.step,
            training=training,
            normal=self._normal,
        )
        losses, terms = self.objective(evidence)
        loss = _mean(losses, sample_weight) + sum(self.losses)
        pictures = self.likelihood.mean(outputs)
        plain = pictures[:n][:: self.stride]
        made = [plain, pictures[n:]] if self.edits else [plain]
        real, *decoded = self._augmented(x, made, training)
        decoded, count = ops.concatenate(decoded), ops.shape(plain)[0]
        target, told_real, _ = self._criticised(ops.stop_gradient(real[:: self.stride]), training)
        features, told, read = self._criticised(decoded, training)
        distance = ops.square(features[:count] - ops.stop_gradient(target))
        added = {
            "realism": ops.mean(ops.softplus(-told), axis=-1),
            "similarity": 0.5 * ops.sum(distance, axis=-1),
        }
        if self.edits:
            read = read[count:]
            flipped = ops.abs(wanted - y[::2])
            right = flipped * ops.cast((read > 0) == (wanted > 0.5), "float32")
            added["control"] = self._disobeyed(read, decoded[count:], wanted)
            terms["asked_and_read"] = ops.sum(right) / ops.maximum(ops.sum(flipped), 1.0)
        weights = {"realism": self._of_decoded(sample_weight)}
        few = None if sample_weight is None else sample_weight[:: self.stride]
        for name, value in added.items():
            loss = loss + self.term_weights[name] * _mean(value, weights.get(name, few))
            terms[f"{name}_loss"] = value
        apart = [ops.cast(each, "float32") for each in (told_real > 0, told < 0)]
        terms["told_apart"] = 0.5 * (ops.mean(apart[0]) + ops.mean(apart[1]))
        return loss, (terms, (real, decoded))

    def _disobeyed(self, read, edited, wanted):
        """Nats by which critic and readers miss what is wanted, their mean `(n,)`."""
        found = [_missed(read, wanted)]
        for reader in self.readers:
            logits = ops.cast(reader(edited, training=False), "float32")
            found.append(_missed(logits, wanted))
        return sum(found) / len(found)

    def _augmented(self, x, made, training):
        """Pictures and the lists of what was made of them, moved alike."""
        if self.augmentation is None or not training:
            return x, *made
        amounts = self.augmentation.draw(ops.shape(x)[0], self.seed_generator)
        few = amounts[:: self.stride]
        return (
            self.augmentation.augmented(x, amounts),
            *(self.augmentation.augmented(each, few) for each in made),
        )

    def _of_decoded(self, sample_weight):
        """Weights of what is decoded: with edits every second example, plain and edited."""
        if sample_weight is None or not self.edits:
            return sample_weight
        return ops.concatenate([sample_weight[::2], sample_weight[::2]])

    def _criticised(self, pictures, training=False):
        """Features, logits of being real and logits of attributes, float32."""
        return [
            ops.cast(found, "float32") for found in self.discriminator(pictures, training=training)
        ]

    def critic_loss(self, real, decoded, y, sample_weight=None):
        """What the critic minimises: it tells pictures apart and reads those that are real."""
        n = ops.shape(real)[0]
        _, told, read = self._criticised(ops.concatenate([real, decoded]), training=True)
        apart = _mean(ops.mean(ops.softplus(-told[:n]), axis=-1), sample_weight)
        of_decoded = self._of_decoded(sample_weight)
        apart = apart + _mean(ops.mean(ops.softplus(told[n:]), axis=-1), of_decoded)
        read = read[:n]
        if self.robustness:
            _, _, read = self._criticised(self._attacked(real, y), training=True)
        loss = apart + _mean(_missed(read, y), sample_weight)
        if self.gradient_penalty:
            # Of a quarter of the pictures: its second derivative takes half of a step else.
            few = real[::4]

            def logit(x):
                return ops.mean(self._criticised(x, training=True)[1], axis=-1)

            slope = self.vector_jacobian(logit, few, ops.ones((ops.shape(few)[0],), "float32"))
            squared = ops.sum(ops.square(slope), axis=tuple(range(1, len(slope.shape))))
            few = None if sample_weight is None else sample_weight[::4]
            loss = loss + 0.5 * self.gradient_penalty * _mean(squared, few)
        return loss

    def _attacked(self, real, y):
        """Pictures a step of length ε further to where their attributes are misread."""

        def missed(x):
            return _missed(self._criticised(x)[2], y)

        slope = self.vector_jacobian(missed, real, ops.ones((ops.shape(real)[0],), "float32"))
        slope = ops.stop_gradient(slope)
        axes = tuple(range(1, len(slope.shape)))
        norm = ops.sqrt(ops.sum(ops.square(slope), axis=axes, keepdims=True))
        return real + self.robustness * slope / ops.maximum(norm, 1e-9)


def _missed(read, y):
    """Nats by which logits of attributes miss them, `(n,)`."""
    return ops.sum(ops.softplus(read) - y * read, axis=-1)


def picture_critic(shape, attributes, width=64, seed=None):
    """The critic of `AttributeGAN`: strided convolutions with three outputs.

    Args:
        shape: of one picture.
        attributes: number c of attributes.
        width: channels of the first stage; each next one has twice as many, at most four times.
        seed: int for the initial weights, or None.

    Returns:
        A model from pictures to features `(n, f)` of the third stage, logits `(n, p)` of its
        positions, and `(n, c)` logits of attributes.
    """
    seeds = initializers.seeds(seed)

    def convolution(channels, kernel=4, stride=2):
        return keras.layers.Conv2D(
            channels,
            kernel,
            stride,
            padding="same",
            kernel_initializer=initializers.HeUniform(next(seeds)),
            **LAST,
        )

    inputs = keras.Input(shape)
    x = 4.0 * (inputs - 0.5)
    for factor in (1, 2, 4):
        x = keras.layers.LeakyReLU(0.2)(convolution(factor * width)(x))
    features = keras.layers.Flatten(**LAST)(x)
    # Judged position by position: a smear is small, and a mean over the picture hides it.
    told = keras.layers.LeakyReLU(0.2)(convolution(4 * width, 3, 1)(x))
    told = keras.layers.Flatten(**LAST)(convolution(1, 1, 1)(told))
    x = keras.layers.LeakyReLU(0.2)(convolution(4 * width)(x))
    x = keras.layers.Dropout(0.3, seed=seed)(keras.layers.Flatten(**LAST)(x))
    x = keras.layers.Dense(4 * width, kernel_initializer=initializers.HeUniform(next(seeds)))(x)
    x = keras.layers.LeakyReLU(0.2)(x)
    read = keras.layers.Dense(attributes, kernel_initializer=initializers.HeUniform(next(seeds)))(x)
    return keras.Model(inputs, [features, told, read], name="critic")
