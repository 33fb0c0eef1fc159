"""The importance-weighted bound and its gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models as m
from keras_vae import objectives
from keras_vae.objectives.iwae import systematic_choice
from keras_vae.training.noise import uniform
from tests.support import array, reference, tensor
from tests.support.linear import linear_gaussian
from tests.support.objectives import evidence, scored

pytestmark = pytest.mark.turns


class TestIWAE:
    def test_it_is_the_bound_and_not_the_weighted_mean_of_log_weights(self, rng):
        found, *_ = evidence(rng, samples=20)
        weights = array(found.log_weights)
        loss, _ = scored(objectives.IWAE(20), found)
        np.testing.assert_allclose(loss, -reference.logmeanexp(weights), rtol=1e-5)
        normalised = np.exp(weights - weights.max(0))
        normalised /= normalised.sum(0)
        wrong = -(normalised * weights).sum(0)
        assert (np.abs(wrong - loss) > 0.1).all()

    def test_one_sample_is_the_elbo_s_own_estimate(self, rng):
        found, *_, log_px = evidence(rng)
        loss, _ = scored(objectives.IWAE(1), found)
        np.testing.assert_allclose(loss, -(log_px - array(found.log_ratio))[0], rtol=1e-5)
        many, mean, log_var, _, _ = evidence(rng, n=2, samples=4000)
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        ratio = array(many.log_ratio)
        assert (np.abs(ratio.mean(0) - kl) < 5 * ratio.std(0) / 4000**0.5).all()

    def test_the_loss_falls_with_the_number_of_samples_to_the_exact_likelihood(self, rng):
        model, x, exact = linear_gaussian(rng)
        tiled, means = ops.convert_to_tensor(np.repeat(x, 50, axis=0)), []
        for samples in (1, 5, 50):
            model.objective = objectives.IWAE(samples)
            loss, _ = model.objective(model.evidence(tiled))
            means.append(array(loss).mean())
        assert means[0] > means[1] > means[2] >= -exact.mean() - 0.03
        assert means[2] == pytest.approx(-exact.mean(), abs=0.1)

    def gradients(self, gradient, x, seed, samples=4, backward=None, make=m.vae):
        """Of every weight, by one step of plain descent at rate 1."""
        model = make((6,), 2, units=(), seed=0)
        model.objective = objectives.IWAE(samples, gradient, backward)
        before = [w.copy() for w in model.get_weights()]
        model.seed_generator = keras.random.SeedGenerator(seed)
        model.compile(optimizer=keras.optimizers.SGD(1.0))
        model.fit(x, batch_size=len(x), shuffle=False, verbose=0)
        found = [a - b for a, b in zip(before, model.get_weights()) if a.ndim]
        own = {id(w) for w in model.posterior_layer.weights}
        of_encoder = [id(w) in own for w in model.weights if len(w.shape)]
        return found, of_encoder

    def test_the_doubly_reparameterised_gradient_is_the_same_in_expectation(self, rng):
        """The decoder's exactly, for the same noise; the encoder's in the mean."""
        x = np.repeat((rng.random((1, 6)) < 0.5).astype("float32"), 20_000, axis=0)
        runs = {g: [self.gradients(g, x, seed) for seed in range(5)] for g in ("standard", "dreg")}
        of_encoder = runs["dreg"][0][1]
        assert sum(of_encoder) == 2 and len(of_encoder) == 4
        for i, encoder in enumerate(of_encoder):
            a, b = (np.stack([found[i] for found, _ in run]) for run in runs.values())
            if not encoder:
                np.testing.assert_allclose(a, b, atol=1e-4)
                continue
            assert np.abs(a - b).max() > 1e-5
            error = np.sqrt((a.var(0) + b.var(0)) / (len(a) - 1))
            assert (np.abs(a.mean(0) - b.mean(0)) < 6 * error + 2e-3).all()
            assert np.abs(b.mean(0)).max() > 0.01

    def test_at_the_exact_posterior_the_doubly_reparameterised_gradient_is_none(self, rng):
        """Every weight is p(x) then; the plain estimate still has its noise."""
        model, x, _ = linear_gaussian(rng, k=1)
        start = model.posterior_layer.get_weights()
        moved = {}
        for gradient in ("standard", "dreg"):
            model.posterior_layer.set_weights(start)
            model.objective = objectives.IWAE(5, gradient)
            model.compile(optimizer=keras.optimizers.SGD(1.0))
            decoder = model.decoder.get_weights()
            model.fit(x, batch_size=len(x), verbose=0)
            model.decoder.set_weights(decoder)
            moved[gradient] = max(
                np.abs(a - b).max() for a, b in zip(start, model.posterior_layer.get_weights())
            )
        assert moved["dreg"] < 1e-4 < 1e-3 < moved["standard"]

    def test_samples_are_drawn_as_often_as_their_weights_say(self, rng):
        """Each within one of count times its weight, and in the mean just so."""
        generator = keras.random.SeedGenerator(0)
        weights = rng.dirichlet(np.full(7, 0.3), 20_000).T.astype("float32")
        drawn = array(
            systematic_choice(tensor(weights), 4, lambda shape: uniform(shape, generator))
        )
        assert drawn.shape == (4, 20_000)
        counts = (drawn[None] == np.arange(7)[:, None, None]).sum(1)
        assert (np.abs(counts - 4 * weights) < 1 + 1e-5).all()
        assert np.abs((counts - 4 * weights).mean(1)).max() < 6 * 0.5 / 20_000**0.5

    def test_few_samples_with_a_gradient_leave_the_loss_as_it_is(self, rng):
        model, x, _ = linear_gaussian(rng)
        noise = tensor(rng.normal(size=(5, len(x), model.noise_dim)))
        losses = []
        for backward in (None, 2):
            model.objective = objectives.IWAE(5, "dreg", backward)
            found = model.evidence(ops.convert_to_tensor(x), training=True, noise=noise)
            assert found.z.shape[0] == (backward or 5)
            losses.append(scored(model.objective, found))
        np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=1e-5)
        for name in ("reconstruction_loss", "kl_loss"):
            a, b = (terms[name] for _, terms in losses)
            np.testing.assert_allclose(array(a), array(b), rtol=1e-5)

    @pytest.mark.parametrize("gradient", ["standard", "dreg"])
    def test_the_gradient_of_few_samples_is_that_of_all_in_expectation(self, gradient, rng):
        """Same noise, so that what differs is which samples were drawn.

        The prior is learned, as its parameters are part of every weight.
        """
        x = np.repeat((rng.random((1, 6)) < 0.5).astype("float32"), 20_000, axis=0)
        all_four, two = (
            [self.gradients(gradient, x, s, backward=b, make=m.mixture_vae)[0] for s in range(5)]
            for b in (None, 2)
        )
        for a, b in zip(map(np.stack, zip(*all_four)), map(np.stack, zip(*two))):
            difference = b - a
            error = difference.std(0) / (len(a) - 1) ** 0.5
            assert np.abs(difference).max() > 1e-6
            assert (np.abs(difference.mean(0)) < 6 * error + 2e-3).all()
            assert np.abs(a.mean(0)).max() > 0.01

    def test_the_one_sample_there_is_has_the_whole_gradient(self, rng):
        x = (rng.random((50, 6)) < 0.5).astype("float32")
        for gradient in ("standard", "dreg"):
            whole, drawn = (self.gradients(gradient, x, 0, 1, b)[0] for b in (None, 1))
            for a, b in zip(whole, drawn):
                np.testing.assert_allclose(a, b, atol=1e-6)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="samples=0"):
            objectives.IWAE(0)
        with pytest.raises(ValueError, match="backward=6, samples=5"):
            objectives.IWAE(5, backward=6)
        with pytest.raises(ValueError, match="backward=0"):
            objectives.IWAE(5, backward=0)
        with pytest.raises(ValueError, match="gradient='stl'"):
            objectives.IWAE(gradient="stl")
