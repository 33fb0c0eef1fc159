"""The one class that every variational autoencoder here is an instance of."""

import functools

import keras
from keras import ops

from keras_vae import _checks, _registry, objectives, priors
from keras_vae._registry import register
from keras_vae.directions import Directions
from keras_vae.models import parts, probes
from keras_vae.models.as_keras import AsKeras
from keras_vae.models.capabilities import Capabilities
from keras_vae.models.checks import parts_fit
from keras_vae.models.fitting import Fitting
from keras_vae.models.hub_names import HubNames
from keras_vae.models.inference import Inference
from keras_vae.models.replacing import Replacing
from keras_vae.models.sampler import Sampling
from keras_vae.models.saving import Saving
from keras_vae.training import TrainStep, keras_private, noise
from keras_vae.training.keras_private import loss_tracker

PARTS = (
    "encoder",
    "decoder",
    "posterior",
    "prior",
    "likelihood",
    "objective",
    "condition",
    "directions",
)


@register
class VAE(
    Inference,
    Fitting,
    Sampling,
    Saving,
    AsKeras,
    Capabilities,
    Replacing,
    HubNames,
    TrainStep,
    keras.Model,
):
    """A variational autoencoder, composed of parts.

        encoder -> posterior -> latent sample -> decoder -> likelihood

    judged by an objective against a prior. Follow one batch: `fit` calls
    `update`, which calls `evidence`, the objective, and the backend's
    `minimize`.

    Losses are nats, summed over pixels and latent dimensions and averaged over
    the batch. Logged: `loss` and the objective's terms (`reconstruction_loss`
    and `kl_loss`).

    Another part can be set at any time, `model.decoder = other`, and so can a number of a
    part, `model.objective.beta = 4.0`: from then on it is used everywhere. What changes at
    each step is better a `schedules.Schedule`, as each new number is compiled anew. A part
    that has other trainable variables needs another `compile`.

    Args:
        encoder: model or layer from data (or `[data, condition]`) to features `(n, f)`;
            features of more axes are flattened. It may be functional, sequential or
            subclassed, built or not: what is not functional becomes so.
        decoder: the same from codes (or `[codes, condition]`) to outputs in data shape, or in
            the one that `data_shape` of the likelihood makes data shape of.
            Under a likelihood that takes logits it ends without an activation.
        posterior: layer from features to q(z|x), such as
            `posteriors.DiagonalNormal(latent_dim)`; or its latent_dim; or "normal",
            "full_covariance", "point" or a class, with the dimensions of the decoder's input.
        prior: layer that gives p(z); N(0, I) by default.
        likelihood: a likelihood layer or its name; "bernoulli" by default.
        objective: what is minimised; `objectives.ELBO()` by default.
        condition: `conditions.Labels` or `conditions.Attributes` for a
            conditional model, which fits on `(x, y)`; None otherwise.
        seed: int for the noise of training, or None. The order of the data is that of
            `keras.utils.set_random_seed`.
        directions: `directions.Directions` of attributes in the latent space of
            an unconditional model, along which `edit` goes; or None.
        name: model name.

    Raises:
        ValueError: a part is of no kind that is known, or does not fit another.
    """

    def __init__(
        self,
        encoder,
        decoder,
        posterior,
        prior=None,
        likelihood="bernoulli",
        objective=None,
        condition=None,
        seed=None,
        directions=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        condition = parts.checked("condition", condition)
        posterior = parts.posterior(posterior, decoder, seed)
        prior = parts.checked("prior", prior) or priors.StandardNormal(posterior.latent_dim)
        likelihood = parts.likelihood(likelihood)
        encoder, decoder = self._networks(encoder, decoder, posterior, prior, condition, likelihood)
        self.encoder = encoder
        self.decoder = decoder
        # `posterior(x)` is the method that users call; this is the part.
        self.posterior_layer = posterior
        self.prior = prior
        self.likelihood = likelihood
        self.objective = parts.checked("objective", objective) or objectives.ELBO()
        self.condition = condition
        self.directions = directions
        self.seed = seed
        self._check_parts()
        parts.check_outputs(self.decoder, self.likelihood)
        self.prior.attach(self)
        # A loaded part is built already.
        if not posterior.built:
            posterior.build(self.encoder.output_shape)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
        )
        self.trackers = [keras.metrics.Mean(name=t) for t in self.objective.terms]
        keras_private.know_input_shape(self, self.input_shape)
        self.built = True

    # What `probes.watched` keeps of a pass through the encoder, while it does.
    _hidden_values = None

    def _check_parts(self):
        parts_fit(self)

    @property
    def latent_dim(self):
        """Number of latent dimensions."""
        return self.posterior_layer.latent_dim

    @property
    def takes_pairs(self) -> bool:
        """Whether it can be trained to give y for x: see `fit`."""
        return self.condition is None

    def plain(self):
        """The model without what only its training needs: itself, if there is nothing."""
        return self

    @property
    def noise_dim(self):
        """Standard normal numbers that one sample of everything latent is made of."""
        return self.latent_dim

    @property
    def data_shape(self):
        """Shape of one example, without the batch axis."""
        return tuple(self.likelihood.data_shape(tuple(self.decoder.output_shape[1:])))

    def infer(self, x, condition=None, training=False):
        """Parameters of q(z|x), tensors in and out."""
        return self.posterior_layer(self._features(self._with_condition(x, condition), training))

    def _features(self, inputs, training):
        if self._hidden_values is None:
            return self.encoder(inputs, training=training)
        features, values = probes.features_and_hidden(self, inputs, training)
        self._hidden_values.append(values)
        return features

    def generate(self, z, condition=None, training=False):
        """Decoder outputs of codes, tensors in and out."""
        return self.decoder(self._with_condition(z, condition), training=training)

    def _with_condition(self, tensor, condition):
        if self.condition is None:
            return tensor
        return [tensor, self.condition.encode(condition)]

    def evidence(
        self, x, condition=None, training=False, noise=None, sample_weight=None, target=None
    ):
        """One forward pass: everything that an objective may ask for.

        Args:
            x: data `(n, ...)`.
            condition: `(n,)` labels or `(n, c)` attributes, or None.
            training: passed to the networks, the likelihood and schedules.
            noise: standard normal, `(K, n, d)`, to use in place of random draws, or
                None.
            sample_weight: `(n,)`, what each example counts in what a likelihood fits to its
                batch; None where all are alike.
            target: data that the likelihood scores in place of x, or None.

        Returns:
            `objectives.Evidence`.
        """
        scored = x if target is None else target
        # First: a second pass through the encoder drops the losses that the first has added.
        p = self._prior_distribution(condition, training)
        parameters, seen = self._infer_and_keep(x, condition, training)
        distribution = self.posterior_layer.distribution
        if training:
            distribution = functools.partial(self.posterior_layer.training_distribution, self.step)
        q = distribution(*parameters)
        if noise is None:
            noise = q.noise(self.objective.samples, self.seed_generator)
        z, log_qz = q.transform_and_log_prob(ops.convert_to_tensor(noise))
        evidence = objectives.Evidence(
            x=scored,
            q=q,
            p=p,
            z=z,
            log_qz=log_qz,
            log_px=None,
            step=self.step,
            training=training,
            normal=self._normal,
            squared_jacobian=functools.partial(probes.squared_jacobian, self, x, condition),
            hidden=functools.partial(probes.hidden, self, x, condition, training, seen),
            squared_output_jacobian=functools.partial(
                probes.squared_output_jacobian, self, condition=condition
            ),
            squared_weights=functools.partial(probes.squared_weights, self.decoder),
        )
        log_px = functools.partial(self._log_px, scored, condition=condition, training=training)
        weigh = self._weigh(evidence, sample_weight)
        if weigh is not None:
            log_px = functools.partial(log_px, weigh=weigh)
        probe = functools.partial(probes.Probe, self, parameters, distribution, log_px)
        evidence = self.objective.draw(evidence, probe)
        return evidence._replace(log_px=log_px(evidence.z))

    def _infer_and_keep(self, x, condition, training):
        """Parameters of q(z|x), and the hidden layers of that pass for an objective that asks."""
        if not self.objective.reads_hidden:
            return self.infer(x, condition, training), None
        with probes.watched(self) as seen:
            return self.infer(x, condition, training), seen

    def _prior_distribution(self, condition, training):
        prior = self.prior.training_distribution if training else self.prior.distribution
        return prior(self._encoded(condition))

    @property
    def _prior_is_fitted_alone(self):
        # Priors of integer codes have no such mark, and are in the loss.
        return getattr(self.prior, "fitted_alone", False)

    def prior_of(self, condition=None, n=1):
        """p(z), or p(z|y) of `n` conditions: a distribution of tensors.

        Raises:
            ValueError: a condition that `encode` would refuse.
        """
        return self.prior.distribution(self._encoded(_checks.condition(self, condition, n)))

    def _normal(self, shape, rows=None):
        return noise.normal(shape, self.seed_generator, rows)

    def _encoded(self, condition):
        return None if self.condition is None else self.condition.encode(condition)

    def _log_px(self, x, z, condition, training, **weigh):
        outputs = self._outputs(z, condition, training)
        return self.likelihood.log_prob(x, outputs, training=training, **weigh)

    def _fitted_by(self, sample_weight):
        """The argument of `evidence` with which a likelihood is fitted to weighted examples."""
        used = sample_weight is not None and self.likelihood.takes_weights
        return {"sample_weight": sample_weight} if used else {}

    def _weigh(self, evidence, sample_weight):
        """What samples count where a likelihood is fitted to them, see `Likelihood`; or None."""
        if not evidence.training or not self.likelihood.takes_weights or evidence.log_qz is None:
            return _weights_of(sample_weight)
        ratio = ops.stop_gradient(evidence.log_ratio)
        if self.objective.sample_shares(ratio) is None:
            return _weights_of(sample_weight)

        def weigh(log_px):
            shares = self.objective.sample_shares(log_px - ratio)
            return shares if sample_weight is None else shares * ops.cast(sample_weight, "float32")

        return weigh

    def _outputs(self, z, condition=None, training=False):
        """Decoder outputs `(K, n, ...)` of K codes `(K, n, d)` of each example."""
        samples = z.shape[0]
        if condition is not None:
            condition = ops.tile(condition, (samples,) + (1,) * (len(condition.shape) - 1))
        flat = ops.reshape(z, (-1, self.latent_dim))
        outputs = self.generate(flat, condition, training)
        return ops.reshape(outputs, (samples, -1, *self.decoder.output_shape[1:]))

    def update(self, x, y=None, sample_weight=None):
        """One training step on a batch; runs inside `fit`."""
        sample_weight = _one_each(sample_weight)
        self._measure(x, y, sample_weight)
        x, target = self._observed(x, y)

        def loss_and_terms():
            evidence = self.evidence(
                x, self._condition_of(y), training=True, **self._fitted_by(sample_weight), **target
            )
            losses, terms = self.objective(evidence)
            loss = _mean(losses, sample_weight)
            return loss + sum(self.losses), terms

        loss, terms = self.minimize(loss_and_terms, self.optimizer, self.trainable_variables)
        self.step.assign(self.step + self._stepped())
        return self._log(loss, terms, x, sample_weight)

    def _stepped(self):
        """1 where the batch has ended an optimizer step, 0 where its gradient waits for others."""
        if accumulation(self.optimizer) is None:
            return 1
        return keras_private.ended_a_step(self.optimizer)

    def assess(self, x, y=None, sample_weight=None):
        """The losses of a batch, nothing changed; runs inside `evaluate`."""
        sample_weight = _one_each(sample_weight)
        self._measure(x, y, sample_weight)
        x, target = self._observed(x, y)
        condition = self._condition_of(y)
        evidence = self.evidence(x, condition, training=False, **target)
        if self._prior_is_fitted_alone:
            evidence = evidence._replace(p=self._prior_distribution(condition, training=True))
        losses, terms = self.objective(evidence)
        loss = _mean(losses, sample_weight) + sum(self.losses)
        return self._log(loss, terms, x, sample_weight)

    def _is_target(self, y):
        """Whether y is data that the model shall give for x: it has its shape."""
        if y is None or self.condition is not None:
            return False
        known = getattr(y.shape, "rank", 0) is not None
        return known and tuple(y.shape[1:]) == self.data_shape

    def _target_of(self, y):
        return y if self.takes_pairs and self._is_target(y) else None

    def _observed(self, x, y):
        """x as the likelihood observes it; and y too, as an argument of `evidence`, if it is data.

        Both are observed with the same noise, so that `fit(x, x)` is `fit(x)`.
        """
        target = self._target_of(y)
        if target is None:
            return self.likelihood.observe(ops.cast(x, "float32"), self.seed_generator), {}
        state = self.seed_generator.state
        before = ops.copy(ops.convert_to_tensor(state))
        observed = self.likelihood.observe(ops.cast(x, "float32"), self.seed_generator)
        state.assign(before)
        target = self.likelihood.observe(ops.cast(target, "float32"), self.seed_generator)
        return observed, {"target": target}

    def _measure(self, x, y, sample_weight):
        """Updates the metrics of `compile`, which compare data with its reconstruction."""
        if not self._measured:
            return
        target, condition = self._target_of(y), self._condition_of(y)
        x = ops.cast(x, "float32")
        predicted = self.call(x if condition is None else (x, condition))
        scored = x if target is None else ops.cast(target, "float32")
        self.compute_metrics(x, scored, ops.stop_gradient(predicted), sample_weight)

    def _condition_of(self, y):
        # An unconditional model ignores labels, so that a data set with labels fits it.
        return None if self.condition is None else y

    def _log(self, loss, terms, x, sample_weight):
        loss_tracker(self).update_state(loss, sample_weight=ops.shape(x)[0])
        for tracker in self.trackers:
            term, weights = terms[tracker.name], sample_weight
            if weights is not None and tracker.name not in self.objective.averages:
                # Divided by n, as the loss is, and not by the sum of the weights.
                term, weights = term * ops.cast(weights, term.dtype), None
            tracker.update_state(term, sample_weight=weights)
        return self.get_metrics_result()

    def with_fitted_prior(self, x, y=None, batch_size=256):
        """The same parts with a normal prior fitted to the codes of data.

        The prior is `priors.LinearNormal`: its mean depends linearly on the
        condition, if there is one; its covariance is full. Nothing is trained. Of a
        posterior without moments in closed form (flows, chains) one sample of each example
        is fitted.

        Args:
            x: data `(n, ...)`; thousands, as the covariance has d² numbers.
            y: conditions of a conditional model.
            batch_size: rows a compiled call.

        Returns:
            A new model that shares encoder, decoder, posterior and likelihood.

        Raises:
            ValueError: too few data; codes that are a choice, such as one-hot vectors; or
                what `encode` refuses.
        """
        return self._with(prior=self._fitted_normal(x, y, batch_size))

    def with_directions(self, x, y, names):
        """The same parts with directions of attributes in the latent space.

        Args:
            x: data `(n, ...)`.
            y: attributes of 0 and 1, `(n, k)`.
            names: the k attributes' names.

        Returns:
            A new model whose `edit` goes along them.

        Raises:
            ValueError: a conditional model, or what `Directions.fit` refuses.
        """
        if self.condition is not None:
            raise ValueError(
                "A conditional model is edited by its condition. "
                f"Received: condition={type(self.condition).__name__}"
            )
        found = Directions(self.latent_dim, names)
        found.fit(self.encode(x), y)
        return self._with(directions=found)

    def _with(self, **changed):
        """A model of the same kind and parts but those that are given."""
        own = {name: self._part(name) for name in PARTS}
        arguments = {**own, **self._own_arguments(), **changed}
        return type(self)(**arguments, seed=self.seed, name=self.name)

    def _own_arguments(self):
        """What the constructor takes besides the parts."""
        return {}

    def call(self, inputs, training=False):
        """Reconstruction of x, or of `(x, condition)`: its code, decoded."""
        x, condition = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        q = self.posterior_layer.distribution(*self.infer(x, condition, training))
        return self.likelihood.mean(self.generate(q.center, condition, training))

    def compute_output_shape(self, input_shape):
        return (None, *self.data_shape)

    def build(self, input_shape=None):
        self.built = True

    def get_build_config(self):
        # The constructor has built everything.
        return None

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        own = {name: self._part(name) for name in PARTS}
        return {
            **super().get_config(),
            # Parts that came later are left out where there are none.
            **{
                name: serialize(part)
                for name, part in own.items()
                if part is not None or name != "directions"
            },
            "seed": self.seed,
        }

    def _part(self, name):
        return getattr(self, "posterior_layer" if name == "posterior" else name)

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        own = {n: _registry.deserialize(config.pop(n)) for n in PARTS if n in config}
        return cls(**own, **config)


def accumulation(optimizer):
    """Batches per optimizer step, or None for one."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return getattr(optimizer, "gradient_accumulation_steps", None)


def _one_each(sample_weight):
    # Keras hands over columns (n, 1), which would broadcast against losses (n,).
    return None if sample_weight is None else ops.reshape(sample_weight, (-1,))


def _weights_of(sample_weight):
    """The `weigh` of a likelihood by which samples count as their examples do, or None."""
    if sample_weight is None:
        return None
    return lambda log_px: ops.cast(sample_weight, "float32") + ops.zeros_like(log_px)


def _mean(losses, sample_weight):
    if sample_weight is not None:
        losses = losses * ops.cast(sample_weight, losses.dtype)
    return ops.mean(losses)
