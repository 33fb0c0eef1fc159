"""Auxiliary deep generative models: another latent variable, and labels for a few."""

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, _registry, distributions, objectives
from keras_vae._registry import register
from keras_vae.models import sources
from keras_vae.models.checks import auxiliary_parts_fit
from keras_vae.models.vae import VAE, _weights_of

OTHERS = (
    "auxiliary_encoder",
    "auxiliary_posterior",
    "auxiliary_decoder",
    "auxiliary_prior",
    "classifier",
)


@register
class AuxiliaryVAE(VAE):
    """A VAE with an auxiliary variable a and, if it has labels, a classifier.

        q(a|x) q(y|a,x) q(z|a,x,y)   against   p(y) p(z) p(x|y,z) p(a|x,y,z)

    Maaløe et al., "Auxiliary Deep Generative Models", 2016. a makes q(z|x) a mixture of
    normals and changes nothing of p(x, y, z). Labels are conditions that may be missing:
    an example with -1 in `fit(x, y)`, or without y, is a sum over its labels. p(y) is
    uniform. Codes are those of the mean of a and, without a label, of its most probable
    class.

    Every example passes through as each class, so that a step costs as much as one
    without labels of C times the batch.

    Args:
        encoder: model from `[data, a and y]` to features; `a and y` is one vector
            `(auxiliary_dim + C)`.
        decoder: model from `[z, y]` to outputs in data shape; from z without labels.
        posterior: `posteriors.DiagonalNormal` of z.
        auxiliary_encoder: model from data to features.
        auxiliary_posterior: `posteriors.DiagonalNormal` of a.
        auxiliary_decoder: model from `[data, z and y]` to features.
        auxiliary_prior: `posteriors.DiagonalNormal`, p(a|x,y,z).
        classifier: model from `[data, a]` to logits `(n, C)`; None without labels.
        condition: `conditions.OptionalLabels`; None without labels.
        *args, **parts: as `VAE`, with the objective `objectives.Auxiliary()` by default.

    Raises:
        ValueError: a part does not fit another.
    """

    def __init__(
        self,
        *args,
        objective=None,
        condition=None,
        auxiliary_encoder,
        auxiliary_posterior,
        auxiliary_decoder,
        auxiliary_prior,
        classifier=None,
        **parts,
    ):
        super().__init__(
            *args,
            objective=objective or objectives.Auxiliary(labels=condition is not None),
            condition=condition,
            **parts,
        )
        self.auxiliary_encoder = auxiliary_encoder
        self.auxiliary_posterior = auxiliary_posterior
        self.auxiliary_decoder = auxiliary_decoder
        self.auxiliary_prior = auxiliary_prior
        self.classifier = classifier
        self._check_parts()
        for layer, network in (
            (auxiliary_posterior, auxiliary_encoder),
            (auxiliary_prior, auxiliary_decoder),
        ):
            if not layer.built:
                layer.build(network.output_shape)

    _plain_codes = False

    def _networks(self, encoder, decoder, posterior, prior, condition, likelihood):
        # What they take besides is checked when all parts are there.
        return encoder, decoder

    def _replaceable(self):
        return {*super()._replaceable(), *OTHERS}

    def _check_parts(self):
        # First called before all parts are there.
        if hasattr(self, "classifier"):
            auxiliary_parts_fit(self)

    @property
    def auxiliary_dim(self):
        """Number of dimensions of a."""
        return self.auxiliary_posterior.latent_dim

    @property
    def has_auxiliary(self) -> bool:
        return True

    @property
    def takes_pairs(self) -> bool:
        # p(a|x,y,z) sees the data that is scored.
        return False

    @property
    def classifies(self) -> bool:
        return self.classifier is not None

    @property
    def noise_dim(self):
        return self.auxiliary_dim + self.latent_dim

    def classify(self, x, batch_size=256):
        """Class probabilities q(y|a,x) at the mean of a.

        Args:
            x: data `(n, ...)`.
            batch_size: rows a compiled call.

        Returns:
            `(n, C)` float32, the same at every call.

        Raises:
            ValueError: a model without labels, or what `encode` refuses.
        """
        if not self.classifies:
            raise ValueError(
                "Only a model with labels classifies: build it with `num_classes=`. "
                "Received: classifier=None"
            )
        return self._batched("classify", batch_size, _checks.data(self, sources.arrays(self, x)[0]))

    def all_labels(self, x, condition=None):
        """The labels with which `encode` and `reconstruct` take x.

        Args:
            x: data `(n, ...)`.
            condition: labels `(n,)`, -1 where there is none; None for none at all.

        Returns:
            `(n,)` int32: as given, elsewhere the most probable class.
        """
        x, condition = self._checked(x, condition)
        return np.where(condition < 0, self.classify(x).argmax(axis=-1), condition)

    def decode(self, z, condition=None, batch_size=256):
        """Means of p(x|y,z), as `VAE.decode`; every code needs its label.

        Raises:
            ValueError: labels that are missing.
        """
        return super().decode(z, self._with_labels(z, condition), batch_size)

    def log_px(self, x, z, condition=None, batch_size=256):
        """log p(x|y,z), as `VAE.log_px`; every code needs its label.

        Raises:
            ValueError: labels that are missing.
        """
        return super().log_px(x, z, self._with_labels(z, condition), batch_size)

    def _with_labels(self, z, condition):
        if self.condition is None:
            return condition
        n = len(_checks.codes(self, z))
        condition = _checks.condition(self, condition, n)
        missing = int((condition < 0).sum())
        if missing:
            raise ValueError(
                "A code is decoded with a label: give `condition`, integers from 0 to "
                f"{self.condition.dim - 1}. Received: {missing} of {n} without"
            )
        return condition

    def sample(self, n, condition=None, seed=None, batch_size=256, noise=False):
        """New data, as `VAE.sample`; a label that is not given is drawn like the code."""
        n, seed = _checks.count(n), _checks.seed(seed)
        if self.condition is not None:
            condition = _checks.condition(self, condition, n)
            # A stream of its own, or labels would go with codes.
            rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
            drawn = rng.integers(0, self.condition.dim, n, "int32")
            condition = np.where(condition < 0, drawn, condition)
        return super().sample(n, condition, seed, batch_size, noise)

    def infer(self, x, condition=None, training=False):
        """Parameters of q(z|a,x,y) at the mean of a, tensors in and out."""
        return self._inferred(x, condition, training)[0]

    def call(self, inputs, training=False):
        """Reconstruction of x, or of `(x, labels)`: its code, decoded."""
        x, condition = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        parameters, y = self._inferred(x, condition, training)
        center = self.posterior_layer.distribution(*parameters).center
        return self.likelihood.mean(self._decoded(center, y, training))

    def _inferred(self, x, condition, training):
        """Parameters of q(z|a,x,y), and y `(n, C)`: as given, or the most probable class."""
        a = self._auxiliary(x, training).mean
        y = self._known(x, condition)
        if y is not None:
            unknown = 1.0 - ops.sum(y, axis=-1, keepdims=True)
            y = y + unknown * distributions.categorical.one_hot_of_largest(
                self._log_qy(x, a, training)
            )
        return self._encoded_with(x, a, y, training), y

    def _known(self, x, condition):
        """Labels as one-hot rows, those that are missing as zeros: `(n, C)`; or None."""
        if self.condition is None:
            return None
        if condition is None:
            return ops.zeros((ops.shape(x)[0], self.condition.dim), "float32")
        return self.condition.encode(condition)

    def _auxiliary(self, x, training):
        """The distribution q(a|x)."""
        features = self.auxiliary_encoder(x, training=training)
        return self.auxiliary_posterior.distribution(*self.auxiliary_posterior(features))

    def _log_qy(self, x, a, training):
        logits = self.classifier([x, a], training=training)
        return ops.log_softmax(ops.cast(logits, "float32"), axis=-1)

    def _encoded_with(self, x, a, y, training):
        """Parameters of q(z|a,x,y)."""
        return self.posterior_layer(self.encoder([x, _beside(a, y)], training=training))

    def _decoded(self, z, y, training):
        return self.decoder(z if y is None else [z, y], training=training)

    def evidence(self, x, condition=None, training=False, noise=None, sample_weight=None):
        """One forward pass: everything that the objective may ask for.

        Args: as `VAE.evidence`, with
            noise: standard normal, `(K, n, auxiliary_dim + d)`: first of a, then of z,
                the same for each class.

        Returns:
            `objectives.AuxiliaryEvidence`.
        """
        n = ops.shape(x)[0]
        if noise is None:
            noise = self._normal((self.objective.samples, n, self.noise_dim), rows=1)
        noise = ops.convert_to_tensor(noise)
        count, classes = noise.shape[0], 1 if self.condition is None else self.condition.dim
        shape = (count, -1, classes)
        a, log_qa = self._auxiliary(x, training).transform_and_log_prob(
            noise[..., : self.auxiliary_dim]
        )
        rows = ops.tile(x, (count,) + (1,) * (len(x.shape) - 1))
        a = ops.reshape(a, (-1, self.auxiliary_dim))
        known = self._known(x, condition)
        if known is None:
            known, y, log_qy = ops.zeros((n, 1), "float32"), None, ops.zeros((count, n, 1))
        else:
            log_qy = ops.reshape(self._log_qy(rows, a, training), shape)
            y = ops.tile(ops.eye(classes, dtype="float32"), (count * n, 1))
        # Rows of each sample of each example, class by class.
        rows, a = ops.repeat(rows, classes, axis=0), ops.repeat(a, classes, axis=0)
        noise_z = ops.reshape(noise[..., self.auxiliary_dim :], (-1, self.latent_dim))
        q = self.posterior_layer.distribution(*self._encoded_with(rows, a, y, training))
        z, log_qz = q.transform_and_log_prob(ops.repeat(noise_z, classes, axis=0))
        p = self.prior.distribution(y)
        log_ratio_z = log_qz - p.log_prob(z)
        try:
            kl = q.kl(p)
        except NotImplementedError:
            kl = log_ratio_z
        features = self.auxiliary_decoder([rows, _beside(z, y)], training=training)
        log_pa = self.auxiliary_prior.distribution(*self.auxiliary_prior(features)).log_prob(a)
        outputs = ops.expand_dims(self._decoded(z, y, training), 0)
        weigh = {}
        if sample_weight is not None:
            # Only a likelihood of a model without labels is fitted to its batch.
            weigh = {"weigh": _weights_of(ops.tile(sample_weight, (count,)))}
        log_px = self.likelihood.log_prob(rows, outputs, training=training, **weigh)
        return objectives.AuxiliaryEvidence(
            x=x,
            z=ops.reshape(z, (*shape, self.latent_dim)),
            known=known,
            log_qy=log_qy,
            log_px=ops.reshape(log_px, shape),
            kl_z=ops.reshape(kl, shape),
            log_ratio_z=ops.reshape(log_ratio_z, shape),
            log_ratio_a=ops.expand_dims(log_qa, -1) - ops.reshape(log_pa, shape),
            step=self.step,
            training=training,
        )

    def bound_terms(self, x, condition=None, seed=0, batch_size=1000):
        """The two terms of the lower bound on log p(x), or of a known label log p(x, y).

        Args:
            x: data `(n, ...)`.
            condition: labels `(n,)`, -1 where there is none; None for none at all.
            seed: int; the same noise on every backend.
            batch_size: rows a compiled call.

        Returns:
            E_q[log p(x|y,z)] and the divergence of everything else from its prior,
            each `(n,)` float64, nats: their difference is the bound.
        """
        x, condition = self._checked(x, condition)
        found = np.zeros((2, len(x)))
        for rows, parts in self._scored("bound_terms", x, 1, condition, seed, batch_size, False):
            found[:, rows] = parts
        return found[0], found[1]

    def _tensor_function(self, name):
        own = {"classify": _classify, "bound_terms": _bound_terms}
        return own[name] if name in own else super()._tensor_function(name)

    def _own_arguments(self):
        return {name: getattr(self, name) for name in OTHERS}

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        others = {name: serialize(part) for name, part in self._own_arguments().items()}
        return {**super().get_config(), **others}

    @classmethod
    def from_config(cls, config):
        others = {name: _registry.deserialize(config[name]) for name in OTHERS}
        return super().from_config({**config, **others})


def _beside(first, second):
    return first if second is None else ops.concatenate([first, second], axis=-1)


def _classify(model, x):
    return ops.exp(model._log_qy(x, model._auxiliary(x, False).mean, False))


def _bound_terms(model, noise, x, condition=None):
    evidence = model.evidence(x, condition, noise=noise)
    divergence = evidence.expected(evidence.kl_z + evidence.log_ratio_a) + evidence.label
    return evidence.expected(evidence.log_px), divergence
