"""Training a conditional VAE so that a changed condition changes the picture.

A conditional VAE may hide in z what the condition says, and then ignore the
condition. Three things are added to the ELBO here:

* counterfactuals: examples are also decoded with another condition. Frozen
  classifiers must read in it what was asked, and everything else as before;
  pixels that have no reason to change must stay;
* an adversary that reads the condition from z, and an encoder that leaves it
  nothing to read;
* a critic that tells decodings with another condition from plain ones, so that
  a classifier cannot be pleased by a smear. It also learns to read attributes
  from plain decodings, and so is one more classifier, never twice the same.

What comes out is an ordinary `VAE` (`plain`); the rest is scaffolding.
"""

import keras
import numpy as np
from keras import ops

from keras_vae import layers, objectives
from keras_vae.models.vae import PARTS, VAE, accumulation
from keras_vae.networks import LAST

TERMS = (
    "control_loss",
    "others_loss",
    "change_loss",
    "hiding_loss",
    "realism_loss",
    "asked_and_read",
)

WEIGHTS = {"control": 1.0, "others": 1.0, "change": 1.0, "hiding": 1.0, "realism": 1.0}


class ControlledVAE(VAE):
    """Trains the parts of a conditional VAE to obey their attributes.

    The idea of counterfactual decodings read by a classifier is that of
    He et al., "AttGAN: Facial Attribute Editing by Only Changing What You
    Want", 2019; the adversary on z that of Lample et al., "Fader Networks:
    Manipulating Images by Sliding Attributes", 2017.

    Logged besides the ELBO's terms, before their weights: `control_loss`,
    `change_loss`, `hiding_loss`, `realism_loss` in nats, `others_loss`, about how
    many other attributes are read differently, and `asked_and_read`, the part of
    changed attributes that the classifiers read as asked.

    Args:
        vae: the `VAE` whose parts are trained; its condition are `Attributes`.
        classifiers: frozen models from pictures to logits `(n, c)`; each reads
            its share of every batch.
        frequencies: `(c,)`, how often each attribute is present in the data.
        scales: for each classifier `(c,)`, the standard deviation of its logits on
            data: the unit in which others' moves are measured. A classifier is
            never sure of a chin's shape, and yet reads it one way or the other.
            All 4 by default, where moved probabilities are what is summed.
        costs: `(c,)`, how much others' moves cost where that attribute is asked for,
            beside `weights`; all 1 by default. Some take more of others with them.
        focus: weights `(c,)` of how often an attribute is changed; both of its
            directions are changed equally often. All alike by default.
        weights: of the terms, those of `WEIGHTS`; all 1 by default.
        border: pixels at the edge whose change costs `border_cost` times as much.
        border_cost: see `border`.
        colours: covariance `(channels, channels)` of the pixels of the data; a
            change then costs the more, the rarer pixels differ in that way, as
            from brown to green: by the ratio of the largest standard deviation to
            that way's. Without it every change of colour costs alike.
        rivals_learning_rate: of adversary and critic.

    Raises:
        ValueError: no attributes, no classifier, an unknown or negative weight,
            or frequencies that do not fit.
    """

    def __init__(
        self,
        vae,
        classifiers,
        frequencies,
        scales=None,
        costs=None,
        focus=None,
        weights=None,
        border=8,
        border_cost=10.0,
        colours=None,
        rivals_learning_rate=5e-4,
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
        if not classifiers:
            raise ValueError("At least one classifier is needed. Received: classifiers=[]")
        if set(weights) != set(WEIGHTS) or min(weights.values()) < 0:
            raise ValueError(
                f"`weights` must be numbers of at least 0 for {', '.join(WEIGHTS)}. "
                f"Received: {weights}"
            )
        parts = {name: vae._part(name) for name in PARTS}
        super().__init__(**parts, seed=seed, name="controlled_vae")
        self.classifiers = list(classifiers)
        for classifier in self.classifiers:
            classifier.trainable = False
        self.frequencies = np.clip(frequencies, 0.01, 0.99)
        self.costs = np.ones(c, "float32") if costs is None else np.asarray(costs, "float32")
        self.slopes = _slopes(scales, len(self.classifiers), c)
        self.focus = np.ones(c, "float32") if focus is None else np.asarray(focus, "float32")
        self.term_weights = weights
        self.change_costs = _change_costs(self.data_shape, border, border_cost)
        self.colour_costs = _colour_costs(self.data_shape[-1], colours)
        # Decodings are soft already, and softening would cost most of a step.
        self.augment = layers.Augment(blur=0.0, seed=seed)
        self.adversary = _adversary(self.latent_dim, c)
        self.critic = _critic(self.data_shape, c)
        self.rivals_learning_rate = rivals_learning_rate
        self.rivals_optimizer = None
        self._make_optimizer()
        self.trackers += [keras.metrics.Mean(name=t) for t in TERMS]

    def _ready_to_train(self):
        super()._ready_to_train()
        self._make_optimizer(accumulation(self.optimizer))

    def _make_optimizer(self, together=None):
        """Makes the rivals' optimizer, which takes a step when the model's takes one."""
        if self.rivals_optimizer is None or accumulation(self.rivals_optimizer) != together:
            optimizer = keras.optimizers.Adam(
                self.rivals_learning_rate, beta_1=0.5, gradient_accumulation_steps=together
            )
            optimizer.build(self.rivals)
            self.rivals_optimizer = optimizer

    @property
    def rivals(self):
        """Variables of adversary and critic."""
        return [*self.adversary.trainable_variables, *self.critic.trainable_variables]

    @property
    def trainable_variables(self):
        # The optimizer of `compile` must not touch the rivals, which have their own.
        rivals = {id(v) for v in self.rivals}
        return [v for v in super().trainable_variables if id(v) not in rivals]

    @property
    def trainable_weights(self):
        return self.trainable_variables

    @property
    def non_trainable_variables(self):
        # What a step may change besides: JAX hands it over and takes it back.
        mine = super().non_trainable_variables
        return [*mine, *self.rivals, *self.rivals_optimizer.variables]

    def plain(self):
        """A `VAE` of the same parts, with the same weights."""
        return VAE(**{name: self._part(name) for name in PARTS}, seed=self.seed, name="cvae")

    def _with(self, **changed):
        return self.plain()._with(**changed)

    def update(self, x, y=None, sample_weight=None):
        self._measure(x, y, sample_weight)
        x = self.likelihood.observe(ops.cast(x, "float32"), self.seed_generator)
        y = self.condition.encode(y)
        asked = self.asked(y[::2])
        (loss, (terms, seen)) = self.minimize(
            lambda: self._judged(x, y, asked, training=True),
            self.optimizer,
            self.trainable_variables,
        )
        self.minimize(lambda: (self._rivalry(y, *seen), ()), self.rivals_optimizer, self.rivals)
        self.step.assign(self.step + self._stepped())
        return self._log(loss, terms, x, None)

    def assess(self, x, y=None, sample_weight=None):
        self._measure(x, y, sample_weight)
        x = self.likelihood.observe(ops.cast(x, "float32"), self.seed_generator)
        y = self.condition.encode(y)
        loss, (terms, _) = self._judged(x, y, self.asked(y[::2]), training=False)
        return self._log(loss, terms, x, None)

    def asked(self, y):
        """Conditions `(n, c)` that differ from y in one attribute each.

        An attribute is chosen the more often the rarer its present value is, so
        that taking glasses off is trained as often as putting them on.
        """
        rarity = ops.minimum(self._rarity(y), 30.0)
        logits = ops.log(rarity * ops.convert_to_tensor(self.focus) + 1e-9)
        chosen = keras.random.categorical(logits, 1, seed=self.seed_generator)[:, 0]
        return ops.abs(y - ops.one_hot(chosen, self.condition.dim, dtype="float32"))

    def _rarity(self, y):
        """One over the frequency of each attribute's present value, `(n, c)`."""
        frequencies = ops.convert_to_tensor(self.frequencies)
        return y / frequencies + (1.0 - y) / (1.0 - frequencies)

    def _judged(self, x, y, asked, training):
        """Loss, its terms, and what the rivals are to see."""
        q = self.posterior_layer.distribution(*self.infer(x, y, training))
        z, log_qz = q.sample_and_log_prob(1, self.seed_generator)
        # Every second example is decoded twice: as it is and with what was asked.
        n, own = ops.shape(x)[0], y[::2]
        decoded = self.generate(
            ops.concatenate([z[0], z[0][::2]]), ops.concatenate([y, asked]), training
        )
        plain, edited = decoded[:n], decoded[n:]
        evidence = objectives.Evidence(
            x=x,
            q=q,
            p=self.prior.distribution(y),
            z=z,
            log_qz=log_qz,
            log_px=self.likelihood.log_prob(x, ops.expand_dims(plain, 0), training=training),
            step=self.step,
            training=training,
            normal=self._normal,
        )
        losses, terms = self.objective(evidence)
        loss = ops.mean(losses)
        plain = ops.stop_gradient(self.likelihood.mean(plain[::2]))
        edited = self.likelihood.mean(edited)
        # Both are turned, moved and softened alike: only what was edited differs.
        pair = self.augment(ops.concatenate([plain, edited], axis=-1), training=training)
        seen_plain, seen_edited = ops.split(pair, 2, axis=-1)
        realism, learned = self._criticised(seen_edited)
        control, others, read = self._obeyed(own, asked, seen_plain, seen_edited, learned)
        changed = ops.matmul(edited - plain, ops.convert_to_tensor(self.colour_costs))
        changed = ops.convert_to_tensor(self.change_costs) * ops.square(changed)
        costs = ops.convert_to_tensor(self.costs)
        others = others * ops.sum(ops.abs(asked - own) * costs, axis=-1)
        added = {
            "control": control,
            "others": others,
            "change": ops.sum(changed, axis=(1, 2, 3)),
            "hiding": _undecided(self.adversary(q.mean)),
            "realism": ops.sum(ops.softplus(-realism), axis=-1),
        }
        for name, value in added.items():
            loss = loss + self.term_weights[name] * ops.mean(value)
            terms[f"{name}_loss"] = value
        terms["asked_and_read"] = read
        return loss, (terms, (q.mean, seen_plain, seen_edited))

    def _obeyed(self, y, asked, plain, edited, learned):
        """Nats by which readings miss what was asked, how far others moved, and who obeyed."""
        k = len(self.classifiers)
        flipped = ops.abs(asked - y)
        sign = 2.0 * asked - 1.0
        # Every classifier reads its share; concatenated, rows are in another order.
        rows = ops.concatenate([ops.arange(ops.shape(y)[0])[i::k] for i in range(k)])
        moved, after = [], []
        for i, (classifier, slopes) in enumerate(zip(self.classifiers, self.slopes, strict=True)):
            slopes = ops.convert_to_tensor(slopes)
            before = ops.stop_gradient(classifier(plain[i::k], training=False))
            after.append(classifier(edited[i::k], training=False))
            # Not a divergence, which forgives small moves: there are many of them, and
            # near the threshold each is another reading.
            moved.append(ops.abs(ops.sigmoid(slopes * after[-1]) - ops.sigmoid(slopes * before)))
        order = ops.argsort(rows)
        after = ops.take(ops.concatenate(after), order, axis=0)
        moved = ops.take(ops.concatenate(moved), order, axis=0)
        missed = ops.softplus(-sign * after) + 0.5 * ops.softplus(-sign * learned)
        control = ops.sum(flipped * missed, axis=-1)
        others = ops.sum((1.0 - flipped) * moved, axis=-1)
        read = ops.sum(flipped * ops.cast(sign * after > 0, "float32"), axis=-1)
        return control, others, read

    def _criticised(self, pictures):
        """The critic's logits: plain rather than edited `(n, p)`, a number for each
        patch of a picture, and attributes `(n, c)`."""
        outputs, c = self.critic(pictures), self.condition.dim
        return outputs[:, :-c], outputs[:, -c:]

    def _rivalry(self, y, codes, plain, edited):
        """What adversary and critic minimise; nothing of it reaches the VAE."""
        codes, plain, edited = map(ops.stop_gradient, (codes, plain, edited))
        # As if present and absent were equally common.
        balance = ops.minimum(0.5 * self._rarity(y), 10.0)

        def missed(logits, y, balance):
            each = ops.softplus(logits) - y * logits
            return ops.mean(ops.sum(balance * each, axis=-1))

        n = ops.shape(plain)[0]
        real, read = self._criticised(ops.concatenate([plain, edited]))
        told = ops.sum(ops.softplus(-real[:n]) + ops.softplus(real[n:]), axis=-1)
        found = missed(self.adversary(codes), y, balance)
        return found + missed(read[:n], y[::2], balance[::2]) + ops.mean(told)


def _slopes(scales, k, c):
    """What logits are multiplied by before others' moves are measured, `(k, c)`."""
    if scales is None:
        return np.ones((k, c), "float32")
    scales = np.asarray(scales, "float32")
    if scales.shape != (k, c) or not (scales > 0).all():
        raise ValueError(
            f"`scales` must hold {c} positive numbers for each of {k} classifiers. "
            f"Received: shape {scales.shape}"
        )
    # At a slope of 4 standard deviations half of the readings of one classifier are
    # about as sharp as another classifier would tell them apart.
    return 4.0 / scales


def _undecided(logits):
    """Cross-entropy of a fair coin with what an adversary believes, summed."""
    return ops.sum(ops.softplus(logits) - 0.5 * logits - np.float32(np.log(2.0)), axis=-1)


def _change_costs(shape, border, border_cost):
    """Nats for each squared change: those of a normal pixel with σ² = 0.005."""
    costs = np.full(shape, 100.0 * border_cost, "float32")
    if 2 * border < min(shape[:2]):
        costs[border : shape[0] - border, border : shape[1] - border] = 100.0
    return costs / border_cost


def _colour_costs(channels, colours):
    """Matrix that takes changes to where rare ones are long and the commonest is kept."""
    if colours is None:
        return np.eye(channels, dtype="float32")
    variances, directions = np.linalg.eigh(np.asarray(colours, "float64"))
    if not variances[0] > 0:
        raise ValueError(
            "`colours` must be a covariance of full rank: give None for data of one colour. "
            f"Received: variances {variances}"
        )
    # Costs by the ratio of variances would be steeper than the likelihood, and diverge.
    return (directions * (variances[-1] / variances) ** 0.25).astype("float32")


def _adversary(latent_dim, attributes):
    inputs = keras.Input((latent_dim,))
    x = keras.layers.Dense(256, activation="relu")(inputs)
    x = keras.layers.Dense(256, activation="relu")(x)
    return keras.Model(inputs, keras.layers.Dense(attributes)(x), name="adversary")


def _critic(shape, attributes):
    inputs = keras.Input(shape)
    x = inputs - 0.5
    for width in (24, 48, 96):
        x = keras.layers.Conv2D(width, 4, 2, padding="same", **LAST)(x)
        x = keras.layers.LeakyReLU(0.2)(x)
    # Judged patch by patch: a smear is small, and a mean over the picture hides it.
    real = keras.layers.Flatten(**LAST)(keras.layers.Conv2D(1, 1, **LAST)(x))
    x = keras.layers.Conv2D(128, 4, 2, padding="same", **LAST)(x)
    x = keras.layers.Flatten(**LAST)(keras.layers.LeakyReLU(0.2)(x))
    read = keras.layers.Dense(attributes)(x)
    return keras.Model(inputs, keras.layers.Concatenate()([real, read]), name="critic")
