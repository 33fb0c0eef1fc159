"""Contractive autoencoders against autodiff, finite differences and Monte Carlo."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import metrics, objectives, posteriors
from keras_vae import models as m
from keras_vae.models import probes
from tests.support import SHAPE, array, make_images, tensor
from tests.support.autodiff import jacobian

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


def pictures(n=6, seed=0):
    return make_images(np.random.default_rng(seed), n)


def losses(model, x, training=False):
    """Loss and terms of each example; there is no noise in the codes."""
    found = model.evidence(ops.convert_to_tensor(x), training=training)
    loss, terms = model.objective(found)
    return array(loss), {name: array(value) for name, value in terms.items()}


class TestContractive:
    def made(self, units=(), code_activation="sigmoid", latent_dim=5, **kwargs):
        return m.contractive_autoencoder(
            SHAPE, latent_dim, units=units, code_activation=code_activation, seed=4, **kwargs
        )

    def norms(self, model, x):
        """By autodiff, one example after another."""

        def code(one):
            return model.posterior_layer.distribution(*model.infer(one)).center

        return np.array([np.square(jacobian(code, row[None])).sum() for row in x])

    @pytest.mark.parametrize("code_activation", [None, "sigmoid", "tanh", "relu", "softplus"])
    def test_the_closed_form_is_the_jacobian_of_autodiff(self, code_activation):
        x = pictures(4)
        model = self.made(code_activation=code_activation)
        assert probes.has_closed_form(model)
        found = array(probes.squared_jacobian(model, tensor(x)))
        np.testing.assert_allclose(found, self.norms(model, x), rtol=1e-5)
        # And in NumPy, of the sigmoid: Σ_j (h_j (1 - h_j))² ‖W_j‖².
        if code_activation == "sigmoid":
            kernel = model.posterior_layer.projection.get_weights()[0].astype("float64")
            h = model.encode(x).astype("float64")
            expected = (np.square(h * (1 - h)) * np.square(kernel).sum(0)).sum(-1)
            np.testing.assert_allclose(found, expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "options",
        [
            {"units": (7,)},
            {"units": (7, 6), "code_activation": None},
            {"units": (), "code_activation": "elu"},
            {"network": "conv", "units": (4,), "hidden": 6},
        ],
    )
    def test_products_are_the_jacobian_where_there_is_no_closed_form(self, options):
        x = pictures(4)
        model = self.made(**options)
        assert not probes.has_closed_form(model)
        found = array(probes.squared_jacobian(model, tensor(x)))
        np.testing.assert_allclose(found, self.norms(model, x), rtol=1e-5)
        np.testing.assert_allclose(
            metrics.squared_jacobian(model, x, batch_size=3), found, rtol=1e-5
        )

    def test_products_and_the_closed_form_agree(self):
        x = tensor(pictures(4))
        model = self.made()
        basis = np.sqrt(5) * np.repeat(np.eye(5)[:, None], 4, axis=1)
        found = array(probes.squared_jacobian(model, x, vectors=tensor(basis)))
        closed = array(probes.squared_jacobian(model, x))
        np.testing.assert_allclose(found, closed, rtol=1e-5)

    def test_of_a_sparse_code_only_what_is_kept_moves(self):
        x = pictures(4)
        model = m.sparse_autoencoder(SHAPE, 6, units=(), k=2, seed=0)
        kernel = model.posterior_layer.projection.get_weights()[0].astype("float64")
        expected = ((model.encode(x) != 0) * np.square(kernel).sum(0)).sum(-1)
        np.testing.assert_allclose(metrics.squared_jacobian(model, x), expected, rtol=1e-5)

    def test_hutchinson_has_the_exact_norm_as_its_mean(self):
        """800 probes; both the bias and the spread are those that theory says."""
        x = pictures(4)
        model = self.made(units=(7,))
        exact = self.norms(model, x)
        signs = np.where(np.random.default_rng(0).random((800, 4, 5)) < 0.5, -1.0, 1.0)
        each = np.array(
            [
                array(probes.squared_jacobian(model, tensor(x), vectors=tensor(v[None])))
                for v in signs[:50]
            ]
        )
        mean = array(probes.squared_jacobian(model, tensor(x), vectors=tensor(signs)))

        def code(one):
            return model.posterior_layer.distribution(*model.infer(one)).center

        gram = [(lambda j: j @ j.T)(jacobian(code, row[None]).reshape(5, -1)) for row in x]
        # Var of vᵀAv for random signs v: 2 Σ_{i≠j} A_ij².
        variance = np.array([2 * (np.square(a).sum() - np.square(np.diag(a)).sum()) for a in gram])
        assert (np.abs(mean - exact) < 4 * np.sqrt(variance / 800)).all()
        assert (np.abs(each.mean(0) - exact) < 4 * np.sqrt(variance / 50)).all()
        np.testing.assert_allclose(each.var(0), variance, rtol=1.0)

    def test_the_objective_draws_signs_from_the_model_s_noise(self):
        x = pictures(4)
        model = self.made(units=(7,), probes=3, weight=2.0)
        drawn = np.random.default_rng(0).normal(size=(3, 4, 5))
        shapes = []

        def normal(shape):
            shapes.append(tuple(map(int, shape)))
            return tensor(drawn)

        found = model.evidence(ops.convert_to_tensor(x))._replace(normal=normal)
        loss, terms = model.objective(found)
        signs = tensor(np.sign(drawn))
        expected = array(probes.squared_jacobian(model, tensor(x), vectors=signs))
        np.testing.assert_allclose(array(terms["jacobian_loss"]), expected, rtol=1e-5)
        total = array(terms["reconstruction_loss"]) + 2.0 * expected
        np.testing.assert_allclose(array(loss), total, rtol=1e-5)
        assert shapes == [(3, 4, 5)]

    @pytest.mark.parametrize("probes", [None, 2])
    def test_weight_0_is_the_plain_autoencoder(self, probes):
        x = pictures()
        plain = m.autoencoder(SHAPE, 5, units=(8,), code_activation="sigmoid", seed=4)
        model = self.made(units=(8,), weight=0.0, probes=probes)
        np.testing.assert_allclose(losses(model, x)[0], losses(plain, x)[0], rtol=1e-6)
        for each in (plain, model):
            each.compile(keras.optimizers.SGD(1e-2))
            each.fit(x, epochs=2, shuffle=False, verbose=0)
        for a, b in zip(plain.encoder.get_weights(), model.encoder.get_weights()):
            np.testing.assert_allclose(a, b, atol=1e-6)

    @pytest.mark.parametrize("units, probes", [((), None), ((6,), None), ((6,), 2000)])
    def test_a_step_follows_the_second_derivative(self, units, probes):
        """SGD with the penalty alone moves the kernel by that of finite differences."""
        x = pictures(3)
        model = self.made(units, latent_dim=2, weight=1.0, probes=probes, activation="tanh")
        kernel = (model.encoder if units else model.posterior_layer).trainable_weights[0]
        before = kernel.numpy().copy()

        def penalty(i, j, step):
            moved = before.copy()
            moved[i, j] += step
            kernel.assign(moved)
            value = self.norms(model, x).mean()
            kernel.assign(before)
            return value

        places = [(9, 0), (20, 1), (36, 0)]
        expected = np.array(
            [(penalty(i, j, 0.03) - penalty(i, j, -0.03)) / 0.06 for i, j in places]
        )
        model.objective = Alone(model.objective)
        rate = 0.5
        model.compile(keras.optimizers.SGD(rate))
        model.fit(x, batch_size=3, verbose=0)
        moved = np.array([(before - kernel.numpy())[i, j] / rate for i, j in places])
        assert np.abs(expected).max() > 1e-3
        tolerance = 0.15 if probes else 0.02
        np.testing.assert_allclose(moved, expected, atol=tolerance * np.abs(expected).max())

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "options", [{"units": ()}, {"units": (16,)}, {"units": (16,), "probes": 2}]
    )
    def test_training_with_it_makes_codes_move_less(self, options, images):
        def trained(weight):
            model = self.made(latent_dim=8, weight=weight, **options)
            model.compile(keras.optimizers.Adam(1e-2))
            model.fit(images, epochs=40, batch_size=32, verbose=0)
            return metrics.squared_jacobian(model, images).mean()

        assert trained(20.0) < 0.5 * trained(0.0)

    def test_dropout_does_not_make_it_random(self):
        inputs = keras.Input(SHAPE)
        hidden = keras.layers.Dense(6, "tanh")(keras.layers.Flatten()(inputs))
        encoder = keras.Model(inputs, keras.layers.Dropout(0.5, seed=0)(hidden))
        decoder = self.made(latent_dim=2).decoder
        model = m.VAE(
            encoder, decoder, posteriors.Point(2), likelihood="bernoulli",
            objective=objectives.Contractive(), seed=0,
        )  # fmt: skip
        x = pictures(4)
        terms = [losses(model, x, training=True)[1]["jacobian_loss"] for _ in range(2)]
        np.testing.assert_array_equal(*terms)
        np.testing.assert_allclose(terms[0], self.norms(model, x), rtol=1e-5)

    def test_of_a_conditional_model_the_condition_is_held(self):
        model = m.cvae(SHAPE, 3, units=(8,), num_classes=4, seed=0)
        x, y = pictures(4), np.arange(4)
        found = metrics.squared_jacobian(model, x, y)

        def code(one, label):
            return model.infer(one, ops.convert_to_tensor([label]))[0]

        expected = [
            np.square(jacobian(lambda one: code(one, label), row[None])).sum()  # noqa: B023
            for row, label in zip(x, y)
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_bad_arguments(self):
        for bad, message in (({"weight": -1.0}, "weight=-1"), ({"probes": 0}, "probes=0")):
            with pytest.raises(ValueError, match=message):
                self.made(**bad)
        with pytest.raises(ValueError, match="activation"):
            self.made(code_activation=len)
        with pytest.raises(ValueError, match="integers have no derivative"):
            metrics.squared_jacobian(m.vq_vae(SHAPE, 2, units=(2, 2), prior_depth=1), pictures())


class Alone(objectives.Objective):
    """The penalty without the reconstruction."""

    def __init__(self, objective):
        self.terms = objective.terms
        self.objective = objective

    def __call__(self, evidence):
        _, terms = self.objective(evidence)
        return terms["jacobian_loss"], terms
