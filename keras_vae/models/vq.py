"""VQ-VAE: a model whose codes are maps of integers, with a prior learned over them."""

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, objectives
from keras_vae._registry import register
from keras_vae.models import fitting, sources
from keras_vae.models import parts as parts_of_users
from keras_vae.models.checks import quantized_parts_fit
from keras_vae.models.vae import VAE, _mean, _one_each, _weights_of, accumulation
from keras_vae.models.vq_inference import CodeInference
from keras_vae.priors import guidance
from keras_vae.training import TrainStep, keras_private


@register
class VQVAE(CodeInference, VAE):
    """A vector-quantized autoencoder and the prior of its codes.

        encoder -> codes -> their vectors -> decoder -> likelihood

    van den Oord, Vinyals & Kavukcuoglu, "Neural Discrete Representation
    Learning", 2017. Everything is as in `VAE` but that a code is a map of integers
    `(h, w)`, and that a condition steers the prior only: the encoder and the decoder
    do without, so `encode`, `decode` and `reconstruct` need none.

    `fit` trains the autoencoder and, on the codes as they are at that step, the
    prior: one loss, whose reconstruction and prior terms together bound -log p(x).
    `fit_prior` trains the prior alone, on the codes as they are by then.

    Args:
        encoder: model from data to features `(n, h, w, d)`.
        decoder: model from such features to outputs in data shape.
        posterior: one of `quantizers`. Where it gives q codes per position, they lie beside
            each other: features `(h, w, d)` have codes `(h, w * q)`.
        prior: of the maps of codes: a `priors.GatedPixelCNN`, `priors.CodeTransformer` or
            `priors.MaskedTransformer`.
        likelihood: a likelihood layer or its name; "optimal_normal" by default.
        objective: `objectives.Quantized()` by default.
        condition: `conditions.Labels` or `conditions.Attributes` that the prior is
            given, so that the model fits on `(x, y)`; None otherwise.
        seed: int for the noise of training, or None.
        name: model name.

    Raises:
        ValueError: a part does not fit another.
    """

    def __init__(
        self,
        encoder,
        decoder,
        posterior,
        prior,
        likelihood="optimal_normal",
        objective=None,
        **parts,
    ):
        objective = objective or objectives.Quantized()
        super().__init__(encoder, decoder, posterior, prior, likelihood, objective, **parts)

    def _networks(self, encoder, decoder, posterior, prior, condition, likelihood):
        if not hasattr(posterior, "discretize"):
            raise ValueError(
                "`posterior` of a VQ-VAE must be one of `keras_vae.quantizers`, such as "
                "`quantizers.VectorQuantizer(512, 64)`. "
                f"Received: {type(posterior).__name__}"
            )
        # The prior alone sees a condition, and codes are maps.
        taken = (*posterior.feature_map_shape(prior.map_shape), posterior.latent_dim)
        decoder = parts_of_users.decoder(decoder, taken)
        shape = likelihood.data_shape(tuple(decoder.output_shape[1:]))
        return parts_of_users.encoder(encoder, shape, flat=False), decoder

    # Sums over the batches of one optimizer step, where gradients are accumulated.
    _pending = None

    def _check_parts(self):
        quantized_parts_fit(self)

    def _ready_to_train(self):
        super()._ready_to_train()
        if accumulation(self.optimizer) is None:
            self.__dict__.pop("_pending", None)
        elif self._pending is None:
            # In `__dict__`, because Keras would save what it tracks.
            self.__dict__["_pending"] = self.quantizer.pending_sums()

    @property
    def non_trainable_variables(self):
        # What a step may change besides: JAX hands it over and takes it back.
        pending = [v for v in keras.tree.flatten(self._pending or ()) if v is not None]
        return [*super().non_trainable_variables, *pending]

    @property
    def codes_are_integers(self) -> bool:
        return True

    @property
    def has_bound(self) -> bool:
        return self.likelihood.is_density

    @property
    def quantizer(self):
        """The quantizer, which stands where other models have their posterior."""
        return self.posterior_layer

    @property
    def num_codes(self):
        """Number of codes K: codes are from 0 to K - 1."""
        return self.posterior_layer.num_codes

    @property
    def codebook(self):
        """The codes' vectors, a NumPy array `(num_codes, latent_dim)`.

        Raises:
            ValueError: a quantizer of several codes per position, which have no vectors alone.
        """
        if self.quantizer.codes_per_position > 1:
            raise ValueError(
                "A vector is that of several codes together: use `model.quantizer.lookup(codes)`. "
                f"Received: {self.quantizer.codes_per_position} codes per position"
            )
        codes = np.arange(self.num_codes, dtype="int32")
        return ops.convert_to_numpy(self.quantizer.lookup(codes))

    @property
    def code_shape(self):
        """Shape `(h, w)` of the codes of one example."""
        return self.prior.map_shape

    def infer(self, x, condition=None, training=False):
        """Codes `(n, h, w)` int32, alone in a tuple; tensors in and out."""
        return (self.quantizer(self.encoder(x, training=training)),)

    def generate(self, z, condition=None, training=False):
        """Decoder outputs of codes `(n, h, w)`, tensors in and out."""
        return self.decoder(self.quantizer.lookup(z), training=training)

    def evidence(
        self, x, condition=None, training=False, noise=None, sample_weight=None, target=None
    ):
        """One forward pass: everything that the objective may ask for.

        Args: as `VAE.evidence`; there is no noise.

        Returns:
            `objectives.QuantizedEvidence`.
        """
        scored = x if target is None else target
        features = ops.cast(self.encoder(x, training=training), "float32")
        found = self.quantizer.discretize(features, training, self.seed_generator)
        outputs = ops.expand_dims(self.decoder(found.vectors, training=training), 0)
        weigh = {} if sample_weight is None else {"weigh": _weights_of(sample_weight)}
        return objectives.QuantizedEvidence(
            x=scored,
            discretized=found,
            perplexity=self.quantizer.perplexity(found.codes),
            log_px=self.likelihood.log_prob(scored, outputs, training=training, **weigh)[0],
            log_pc=self._log_pc(found.codes, condition, training),
            step=self.step,
            training=training,
        )

    def _log_pc(self, codes, condition, training):
        encoded = self._encoded(condition)
        if training:
            return guidance.training_log_prob(self.prior, codes, encoded, self.seed_generator)
        return self.prior.log_prob(codes, encoded)

    def update(self, x, y=None, sample_weight=None):
        """One training step on a batch; runs inside `fit`."""
        sample_weight = _one_each(sample_weight)
        self._measure(x, y, sample_weight)
        x, target = self._observed(x, y)

        def loss_and_more():
            evidence = self.evidence(
                x, self._condition_of(y), training=True, **self._fitted_by(sample_weight), **target
            )
            losses, terms = self.objective(evidence)
            loss = _mean(losses, sample_weight)
            return loss + sum(self.losses), (terms, evidence.discretized.record)

        loss, (terms, record) = self.minimize(
            loss_and_more, self.optimizer, self.trainable_variables
        )
        # Only now: the gradient was taken at the codebook that chose the codes.
        stepped = self._stepped()
        self.quantizer.adapt(record, self.seed_generator, sample_weight, self._pending, stepped)
        self.step.assign(self.step + stepped)
        return self._log(loss, terms, x, sample_weight)

    def call(self, inputs, training=False):
        """Reconstruction of x, or of `(x, condition)`: its codes, decoded."""
        x = inputs[0] if isinstance(inputs, (tuple, list)) else inputs
        return self.likelihood.mean(self.generate(*self.infer(x), training=training))

    def fit_prior(
        self,
        x,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_data=None,
        optimizer=None,
        **kwargs,
    ):
        """Trains the prior alone, on the codes of x, which are found once.

        Worth doing after `fit`, while which the codes still moved.

        Args:
            x: data `(n, ...)`.
            y: conditions of a conditional model.
            validation_data: `x` or `(x, y)`.
            optimizer: a Keras optimizer; Adam(1e-3) by default.
            **kwargs: the rest of the arguments of Keras' `fit`.

        Returns:
            `keras.callbacks.History`, of `loss` in nats, summed over the map.
        """
        if not self.prior.trainable_variables:
            raise ValueError(
                "This prior has nothing to train. For one that learns set "
                "`model.prior = priors.GatedPixelCNN(num_codes, map_shape)`. "
                f"Received: prior={type(self.prior).__name__}"
            )
        trainer = self.prior_alone()
        trainer.compile(optimizer=optimizer or keras.optimizers.Adam(1e-3))
        fitting.check_batch_size(batch_size)
        codes = self._codes_and_conditions(x, y)
        if validation_data is not None:
            several = isinstance(validation_data, tuple)
            validation_data = self._codes_and_conditions(
                *(validation_data if several else (validation_data,))
            )
        return trainer.fit(
            *codes,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_data=validation_data,
            **kwargs,
        )

    def prior_alone(self):
        """The prior by itself: a Keras model that fits on codes, or `(codes, condition)`.

        It has the same weights; compile it with an optimizer only. `fit_prior` is this
        and the encoding.
        """
        return _PriorAlone(self)

    def _codes_and_conditions(self, x, y=None):
        x, y = sources.arrays(self, x, y)
        x = _checks.data(self, x)
        y = None if self.condition is None else _checks.condition(self, y, len(x), "y")
        codes = self.encode(x)
        return (codes,) if y is None else (codes, y)


class _PriorAlone(fitting.Fitting, TrainStep, keras.Model):
    """A model's prior by itself, which `fit` trains on codes."""

    def __init__(self, model):
        super().__init__(name="prior")
        self.prior = model.prior
        self.condition = model.condition
        self.seed_generator = model.seed_generator
        self.built = True

    def _clean(self, codes, y, sample_weight=None):
        # `fit_prior` has checked the data that it encodes.
        return codes, y, sample_weight

    def _clean_input(self, codes):
        return codes

    def _build_metrics(self):
        raise ValueError(
            "Metrics of `compile` compare data with its reconstruction, which codes have not: "
            "compile the prior without `metrics`. Received: metrics"
        )

    def _rebuilt(self, codes, condition):
        return ops.convert_to_numpy(self(codes))

    def _is_target(self, y):
        return False

    def _negative_log_prob(self, codes, y, training=False):
        encoded = None if y is None else self.condition.encode(y)
        if training:
            return -guidance.training_log_prob(self.prior, codes, encoded, self.seed_generator)
        return -self.prior.log_prob(codes, encoded)

    def update(self, codes, y=None, sample_weight=None):
        sample_weight = _one_each(sample_weight)

        def loss_and_nothing():
            return _mean(self._negative_log_prob(codes, y, training=True), sample_weight), ()

        loss, _ = self.minimize(loss_and_nothing, self.optimizer, self.trainable_variables)
        return self._log(loss, codes)

    def assess(self, codes, y=None, sample_weight=None):
        return self._log(_mean(self._negative_log_prob(codes, y), _one_each(sample_weight)), codes)

    def _log(self, loss, codes):
        keras_private.loss_tracker(self).update_state(loss, sample_weight=ops.shape(codes)[0])
        return self.get_metrics_result()

    def call(self, codes):
        return self.prior(codes)
