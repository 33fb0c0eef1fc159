"""`fit_prior` of models of vectors: a prior that is trained on their codes."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vae import _checks, priors
from keras_vae._types import Array, Condition
from keras_vae.models import fitting, sources
from keras_vae.priors import guidance as guiding
from keras_vae.priors.fitted_alone import FittedAlone
from keras_vae.training import TrainStep, keras_private, noise

# What `fit_sampler(kind="flow")` trains: steps of batches.
STEPS, ROWS = 2000, 128


class FlowTraining:
    """Methods of `VAE` with a prior that is trained alone, such as `priors.FlowMatching`."""

    def fit_prior(
        self,
        x: Any,
        y: Condition = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_data: Any = None,
        optimizer: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains the prior alone, on the codes of x, which are found once.

        For a `priors.FlowMatching`, `priors.MaskedFlow` or `priors.TwoStage`, whose moments are
        fitted first; the rest of the model does not change. Codes of a posterior with noise are
        drawn from it, once.

        Args:
            x: data `(n, ...)`.
            y: conditions of a conditional model.
            validation_data: `x` or `(x, y)`.
            optimizer: a Keras optimizer; Adam(1e-3) by default.
            **kwargs: the rest of the arguments of Keras' `fit`.

        Returns:
            `keras.callbacks.History`, of `loss`: ‖v - (code - noise)‖² of standardised codes, a
            sum over their numbers; of a masked flow -log p(z) and of a second stage its negative
            evidence lower bound, nats of standardised codes.

        Raises:
            ValueError: another prior, or what `encode` refuses.
        """
        if not isinstance(self.prior, FittedAlone):
            raise ValueError(
                "`fit_prior` trains a prior by flow matching, or a second stage. Set one, "
                "`model.prior = priors.FlowMatching(model.latent_dim)`, or use "
                '`model.fit_sampler(x, "flow")`. '
                f"Received: prior={type(self.prior).__name__}"
            )
        fitting.check_batch_size(batch_size)
        codes = self._codes_to_learn(x, y)
        if validation_data is not None:
            several = isinstance(validation_data, tuple)
            validation_data = self._codes_to_learn(
                *(validation_data if several else (validation_data,))
            )
        self.prior.adapt(codes[0])
        trainer = FlowAlone(self.prior, self.condition, self.seed_generator)
        self.prior.trainable = True
        try:
            trainer.compile(optimizer=optimizer or keras.optimizers.Adam(1e-3))
            return trainer.fit(
                *codes,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_data=validation_data,
                **kwargs,
            )
        finally:
            self.prior.trainable = False

    def transport(
        self,
        z: Array,
        condition: Condition,
        new_condition: Condition,
        steps: int | None = None,
        guidance: float | Array | None = None,
        batch_size: int = 256,
    ) -> Array:
        """Codes of condition y as codes of y': back to noise under y, forward under y'.

        What a conditional `priors.FlowMatching` knows to depend on the condition changes, and
        what the noise stands for stays. `decode(transport(encode(x, y), y, y_new), y_new)`
        is what `edit` does.

        Args:
            z: codes `(n, d)`.
            condition: y, labels or attributes.
            new_condition: y'.
            steps: of the integration, in each direction.
            guidance: g, how far the new codes go from y to y': the velocity on the way forward is
                v(y) + g · (v(y') - v(y)). 0 stays where it was, 1 is the prior under y', more
                goes beyond it. A number, or one for each example; the prior's
                `transport_guidance` by default.
            batch_size: rows per compiled call.

        Returns:
            `(n, d)` float32.

        Raises:
            ValueError: another prior, or wrong codes, conditions or numbers.
        """
        if not self.can_transport:
            raise ValueError(
                "Codes are transported from one condition to another by a "
                "`priors.FlowMatching` with `condition_dim`. "
                f"Received: prior={type(self.prior).__name__}"
            )
        z = _checks.codes(self, z)
        own, new = (
            ops.convert_to_numpy(self._encoded(_checks.condition(self, y, len(z), name)))
            for y, name in ((condition, "condition"), (new_condition, "new_condition"))
        )
        run = self._flow_run(batch_size)
        if guidance is None:
            guidance = self.prior.transport_guidance
        if np.ndim(guidance):
            guidance = _checks.value("guidance", guidance, len(z))
        noise = self.prior.invert(z, own, steps, run=run)
        return self.prior.carry(noise, new, steps, guidance, run, other=own)

    def _codes_to_learn(self, x, y=None):
        x, y = sources.arrays(self, x, y)
        x = _checks.data(self, x)
        if self.condition is not None:
            y = _checks.condition(self, y, len(x), "y")
        q = self.posterior(x, y if self.condition is not None else None)
        z = self._drawn(q, 0) if self.posterior_layer.has_density else q.center
        z = np.asarray(z, "float32")
        # An unconditional prior of a conditional model is trained on codes alone.
        return (z,) if self.prior.condition_dim is None else (z, y)

    def _fit_flow(self, x, y, seed, training):
        """`fit_sampler` by a flow."""
        dim = None if self.condition is None else self.condition.dim
        shape = getattr(self, "code_shape", (self.latent_dim,))
        prior = priors.FlowMatching(shape, dim, condition_dropout=0.1 if dim else 0.0, seed=seed)
        return self._fit_trained(prior, x, y, training)

    def _fit_trained(self, prior, x, y, training):
        """`fit_sampler` by training; the prior is what it was if that fails."""
        before, self.prior = self.prior, prior
        rows = training.get("batch_size") or ROWS
        try:
            x, y = sources.arrays(self, x, y)
            batches = math.ceil(len(x) / rows)
            defaults = {"batch_size": rows, "epochs": math.ceil(STEPS / batches), "verbose": 0}
            self.fit_prior(x, y, **{**defaults, **training})
        except BaseException:
            self.prior = before
            raise
        return self

    def _drawn_codes(self, n, rng, encoded, steps, guidance, batch_size, **size):
        """Codes of the prior, NumPy."""
        if isinstance(self.prior, priors.FlowMatching):
            run = self._flow_run(batch_size)
            return self.prior.sample(n, rng, encoded, steps, guidance, run)
        if steps is not None or guidance != 1.0:
            raise ValueError(
                "`steps` and `guidance` belong to a prior that is a `priors.FlowMatching`: "
                '`model.fit_sampler(x, "flow", y)` trains one. '
                f"Received: steps={steps!r}, guidance={guidance!r}, "
                f"prior={type(self.prior).__name__}"
            )
        return self.prior.sample(n, rng, encoded, **size)

    def _flow_run(self, batch_size):
        return lambda name, *arrays: self._batched(f"flow_{name}", batch_size, *arrays)


class FlowAlone(fitting.Fitting, TrainStep, keras.Model):
    """A prior that is `FittedAlone` by itself, which `fit` trains.

    It is trained on codes, or on `(codes, condition)`.

    Args:
        prior: the prior, whose moments are fitted and which is trainable.
        condition: that of the model, or None.
        seed_generator: of the noise.
    """

    def __init__(self, prior, condition, seed_generator):
        super().__init__(name="prior")
        self.prior, self.condition = prior, condition
        self.seed_generator = seed_generator
        self.built = True

    def _clean(self, codes, y, sample_weight=None):
        # `fit_prior` has checked the data that it encodes.
        return codes, y, sample_weight

    def _build_metrics(self):
        raise ValueError(
            "Metrics of `compile` compare data with its reconstruction, which codes have not: "
            "compile the prior without `metrics`. Received: metrics"
        )

    def _is_target(self, y):
        return False

    def losses_of(self, codes, y, training):
        """The prior's `training_loss` of a batch at random times, `(n,)`."""
        codes = ops.cast(codes, "float32")
        encoded = None if y is None else self.condition.encode(y)
        if training:
            encoded = guiding.of_training(self.prior, encoded, self.seed_generator)
        n = ops.shape(codes)[0]
        drawn = noise.normal(ops.shape(codes), self.seed_generator, rows=0)
        # One of each nth of the unit interval: less noise in the loss than independent times.
        start = noise.uniform((1,), self.seed_generator)
        index = ops.cast(ops.arange(n), "float32")
        times = ops.mod(start + index / ops.cast(n, "float32"), 1.0)
        return self.prior.training_loss(codes, encoded, drawn, times)

    def update(self, codes, y=None, sample_weight=None):
        def loss_and_nothing():
            return _mean(self.losses_of(codes, y, True), sample_weight), ()

        loss, _ = self.minimize(loss_and_nothing, self.optimizer, self.trainable_variables)
        return self._log(loss, codes)

    def assess(self, codes, y=None, sample_weight=None):
        return self._log(_mean(self.losses_of(codes, y, False), sample_weight), codes)

    def _log(self, loss, codes):
        keras_private.loss_tracker(self).update_state(loss, sample_weight=ops.shape(codes)[0])
        return self.get_metrics_result()

    def call(self, codes):
        return codes


def _mean(losses, sample_weight):
    if sample_weight is not None:
        losses = losses * ops.cast(ops.reshape(sample_weight, (-1,)), losses.dtype)
    return ops.mean(losses)
