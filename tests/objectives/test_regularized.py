"""Regularized autoencoders against NumPy, autodiff, finite differences and Monte Carlo."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models as m
from keras_vae import objectives
from keras_vae.models import probes
from tests.support import SHAPE, array, make_images, reference, tensor
from tests.support.autodiff import jacobian

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


def pictures(n=4, seed=0):
    return make_images(np.random.default_rng(seed), n)


def made(name="rae_gp", units=(7,), latent_dim=3, **kwargs):
    return getattr(m, name)(SHAPE, latent_dim, units=units, seed=4, **kwargs)


def losses(model, x, **replaced):
    found = model.evidence(ops.convert_to_tensor(x))._replace(**replaced)
    loss, terms = model.objective(found)
    return array(loss), {name: array(value) for name, value in terms.items()}


def norms(model, z):
    """‖∂x̂/∂z‖²_F by autodiff, one code after another."""

    def mean(one):
        return model.likelihood.mean(model.generate(one))

    return np.array([np.square(jacobian(mean, row[None])).sum() for row in z])


def basis(n, size=64):
    """All unit vectors, so scaled that the mean over them is the exact norm."""
    return tensor(np.sqrt(size) * np.repeat(np.eye(size)[:, None], n, axis=1))


class TestL2:
    def test_the_loss_is_that_of_the_formula(self):
        """A decoder of one hidden layer in NumPy, from the code to the sum."""
        x = pictures()
        model = made("rae_l2", beta=0.3, weight=0.02)
        z = model.encode(x).astype("float64")
        weights = [w.astype("float64") for w in model.decoder.get_weights()]
        hidden = np.maximum(z @ weights[0] + weights[1], 0.0)
        rebuilt = (hidden @ weights[2] + weights[3]).reshape(x.shape)
        np.testing.assert_allclose(model.reconstruct(x), rebuilt, atol=1e-5)
        squared = np.square(x - rebuilt).sum((1, 2, 3))
        loss, terms = losses(model, x)
        constant = 32 * np.log(np.pi)
        np.testing.assert_allclose(terms["reconstruction_loss"], squared + constant, rtol=1e-5)
        np.testing.assert_allclose(terms["code_loss"], 0.5 * np.square(z).sum(1), rtol=1e-5)
        norm = sum(np.square(w).sum() for w in weights)
        np.testing.assert_allclose(terms["penalty_loss"], np.full(4, norm), rtol=1e-5)
        expected = squared + constant + 0.15 * np.square(z).sum(1) + 0.02 * norm
        np.testing.assert_allclose(loss, expected, rtol=1e-5)

    def test_a_step_shrinks_the_decoder_by_its_weight(self):
        """SGD of the penalty alone: θ ← θ (1 - 2 rate)."""
        model = made("rae_l2")
        before = model.decoder.get_weights()
        codes = model.encoder.get_weights()
        model.objective = Alone(model.objective)
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(pictures(), batch_size=4, verbose=0)
        for new, old in zip(model.decoder.get_weights(), before, strict=True):
            np.testing.assert_allclose(new, 0.8 * old, atol=1e-6)
        for new, old in zip(model.encoder.get_weights(), codes, strict=True):
            np.testing.assert_array_equal(new, old)

    def test_frozen_weights_do_not_count(self):
        model = made("rae_l2")
        model.decoder.layers[-2].trainable = False
        squares = sum(np.square(w).sum() for w in map(array, model.decoder.trainable_variables))
        assert 0 < len(model.decoder.trainable_variables) < len(model.decoder.weights)
        np.testing.assert_allclose(array(probes.squared_weights(model.decoder)), squares, rtol=1e-6)
        model.decoder.trainable = False
        assert array(probes.squared_weights(model.decoder)) == 0.0


class TestGradient:
    def test_of_a_linear_decoder_it_is_the_norm_of_its_kernel(self):
        x = pictures()
        model = made(units=())
        kernel = model.decoder.get_weights()[0].astype("float64")
        found = probes.squared_output_jacobian(model, tensor(model.encode(x)), vectors=basis(4))
        np.testing.assert_allclose(array(found), np.full(4, np.square(kernel).sum()), rtol=1e-5)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"activation": "tanh", "likelihood": "bernoulli"},
            {"network": "conv", "units": (4,), "hidden": 6},
        ],
    )
    def test_products_are_the_jacobian_of_autodiff(self, options):
        x = pictures()
        model = made(**options)
        z = model.encode(x)
        found = array(probes.squared_output_jacobian(model, tensor(z), vectors=basis(4)))
        np.testing.assert_allclose(found, norms(model, z), rtol=1e-4)

    def test_its_mean_over_signs_is_the_exact_norm(self):
        x = pictures()
        model = made(activation="tanh")
        z = model.encode(x)
        signs = np.where(np.random.default_rng(0).random((800, 4, 64)) < 0.5, -1.0, 1.0)
        mean = array(probes.squared_output_jacobian(model, tensor(z), vectors=tensor(signs)))

        def rebuilt(one):
            return model.likelihood.mean(model.generate(one))

        gram = [(lambda j: j @ j.T)(jacobian(rebuilt, row[None]).reshape(64, 3)) for row in z]
        # Var of vᵀAv for random signs v: 2 Σ_{i≠j} A_ij².
        variance = np.array([2 * (np.square(a).sum() - np.square(np.diag(a)).sum()) for a in gram])
        assert (np.abs(mean - norms(model, z)) < 4 * np.sqrt(variance / 800)).all()

    def test_the_objective_draws_signs_from_the_model_s_noise(self):
        x = pictures()
        model = made(probes=3, weight=2.0, beta=0.5)
        drawn = np.random.default_rng(0).normal(size=(3, 4, 64))
        shapes = []

        def normal(shape):
            shapes.append(tuple(map(int, shape)))
            return tensor(drawn)

        loss, terms = losses(model, x, normal=normal)
        z = model.encode(x)
        signs = tensor(np.sign(drawn))
        expected = array(probes.squared_output_jacobian(model, tensor(z), vectors=signs))
        np.testing.assert_allclose(terms["penalty_loss"], expected, rtol=1e-5)
        code = 0.5 * np.square(z.astype("float64")).sum(1)
        total = terms["reconstruction_loss"] + 0.5 * code + 2.0 * expected
        np.testing.assert_allclose(loss, total, rtol=1e-5)
        assert shapes == [(3, 4, 64)]

    def test_a_step_follows_the_second_derivative(self):
        """SGD with the penalty alone moves the kernel by that of finite differences."""
        x = pictures(3)
        model = made(units=(6,), latent_dim=2, weight=1.0, probes=2000, activation="tanh")
        kernel = model.decoder.trainable_weights[0]
        before, z = array(kernel).copy(), model.encode(x)

        def penalty(i, j, step):
            moved = before.copy()
            moved[i, j] += step
            kernel.assign(moved)
            value = norms(model, z).mean()
            kernel.assign(before)
            return value

        places = [(0, 0), (1, 3), (1, 5)]
        expected = np.array(
            [(penalty(i, j, 0.03) - penalty(i, j, -0.03)) / 0.06 for i, j in places]
        )
        model.objective = Alone(model.objective)
        model.compile(keras.optimizers.SGD(0.5))
        model.fit(x, batch_size=3, verbose=0)
        moved = np.array([(before - array(kernel))[i, j] / 0.5 for i, j in places])
        assert np.abs(expected).max() > 1e-2
        np.testing.assert_allclose(moved, expected, atol=0.15 * np.abs(expected).max())

    @pytest.mark.slow
    def test_training_with_it_makes_pictures_move_less(self, images):
        def trained(weight):
            model = made(latent_dim=4, units=(16,), weight=weight)
            model.compile(keras.optimizers.Adam(1e-2))
            model.fit(images, epochs=40, batch_size=32, verbose=0)
            return norms(model, model.encode(images[:8])).mean()

        assert trained(1.0) < 0.5 * trained(0.0)


@pytest.mark.parametrize("name", ["rae_l2", "rae_gp"])
class TestBoth:
    def test_without_its_terms_it_is_the_plain_autoencoder(self, name):
        x = pictures()
        likelihood = m.rae_l2(SHAPE, 2).likelihood.get_config()
        assert likelihood["variance"] == 0.5
        plain = m.autoencoder(SHAPE, 3, units=(7,), likelihood="bernoulli", seed=4)
        model = made(name, likelihood="bernoulli", beta=0.0, weight=0.0)
        np.testing.assert_allclose(losses(model, x)[0], losses(plain, x)[0], rtol=1e-6)

    def test_a_fitted_mixture_gives_it_samples(self, name, images):
        model = made(name, latent_dim=2)
        model.fit(images, epochs=2, verbose=0)
        model.fit_sampler(images, components=2)
        assert model.sample(5, seed=0).shape == (5, *SHAPE)
        code = model.prior.sample(4000, np.random.default_rng(0))
        np.testing.assert_allclose(code.mean(0), model.encode(images).mean(0), atol=0.15)

    def test_maps(self, name):
        model = getattr(m, name)((16, 12, 3), 2, network="conv", units=(4, 4), maps=True, seed=0)
        x = np.random.default_rng(0).random((3, 16, 12, 3), dtype="float32")
        loss, terms = losses(model, x)
        z = model.encode(x).astype("float64")
        np.testing.assert_allclose(terms["code_loss"], 0.5 * np.square(z).sum((1, 2, 3)), rtol=1e-5)
        assert loss.shape == (3,) and np.isfinite(loss).all()

    def test_bad_arguments(self, name):
        for bad in ({"weight": -1.0}, {"beta": -1.0}):
            with pytest.raises(ValueError, match="Received: .*=-1"):
                made(name, **bad)
        with pytest.raises(ValueError, match="`penalty` must be.*'l1'"):
            objectives.Regularized("l1")
        with pytest.raises(ValueError, match="`probes` must be.*0"):
            made("rae_gp", probes=0)


@pytest.mark.once
def test_squared_error_is_minus_log_p_but_for_a_constant():
    model = made("rae_l2")
    x = pictures()
    expected = -reference.normal_log_prob(x, model.reconstruct(x), np.log(0.5)).sum((1, 2, 3))
    np.testing.assert_allclose(losses(model, x)[1]["reconstruction_loss"], expected, rtol=1e-5)


class Alone(objectives.Objective):
    """The penalty without its weight and the other terms."""

    def __init__(self, objective):
        self.terms = objective.terms
        self.objective = objective

    def __call__(self, evidence):
        _, terms = self.objective(evidence)
        return terms["penalty_loss"], terms
