"""Penalties on active units."""

import keras
import numpy as np
import pytest

from keras_vae import models as m
from keras_vae import objectives
from keras_vae.models import probes
from tests.support import SHAPE, array, tensor
from tests.support.autodiff import gradient
from tests.support.autoencoders import cross_entropy, losses, pictures

pytestmark = pytest.mark.turns


class TestPenalties:
    @pytest.mark.parametrize("penalty", objectives.PENALTIES)
    def test_they_are_the_formula(self, penalty):
        x = pictures()
        model = m.sparse_autoencoder(
            SHAPE, 5, units=(8,), sparsity=penalty, weight=7.0, target=0.2, seed=1
        )
        z = model.encode(x).astype("float64")
        mean = z.mean(0)
        expected = {
            "l1": np.abs(z).sum(-1),
            "l2": np.square(z).sum(-1),
            "kl": np.full(
                6, (0.2 * np.log(0.2 / mean) + 0.8 * np.log(0.8 / (1 - mean))).sum()
            ) if penalty == "kl" else None,
        }[penalty]  # fmt: skip
        loss, terms = losses(model, x)
        np.testing.assert_allclose(terms["sparsity_loss"], expected, rtol=1e-5)
        rebuilt = cross_entropy(x, array(model.reconstruct(x)).astype("float64"))
        np.testing.assert_allclose(terms["reconstruction_loss"], rebuilt, rtol=1e-4)
        np.testing.assert_allclose(loss, rebuilt + 7.0 * expected, rtol=1e-4)

    @pytest.mark.parametrize("penalty", ["l1", "l2"])
    def test_hidden_layers_count_with_weights_of_their_own(self, penalty):
        x = pictures()
        model = m.sparse_autoencoder(
            SHAPE, 3, units=(8, 5), activation="tanh", sparsity=penalty, weight=2.0,
            layer_weights=[0.5, 3.0], seed=1,
        )  # fmt: skip
        values, total = x.reshape(6, -1).astype("float64"), 0.0
        weights = [*model.encoder.get_weights(), *model.posterior_layer.get_weights()]
        for omega, kernel, bias in zip((0.5, 3.0, 1.0), weights[::2], weights[1::2]):
            values = values @ kernel + bias
            values = np.tanh(values) if kernel.shape[1] != 3 else values
            total = total + omega * (np.abs(values) ** (1 if penalty == "l1" else 2)).sum(-1)
        loss, terms = losses(model, x, training=True)
        np.testing.assert_allclose(terms["sparsity_loss"], total, rtol=1e-5)
        np.testing.assert_allclose(loss, terms["reconstruction_loss"] + 2 * total, rtol=1e-5)

    def test_hidden_layers_are_pressed_on_in_a_step(self, images):
        def size(omega):
            model = m.sparse_autoencoder(
                SHAPE, 3, units=(8,), sparsity="l1", weight=10.0, layer_weights=[omega], seed=1
            )
            model.compile(keras.optimizers.SGD(1e-3))
            model.fit(images, epochs=3, shuffle=False, verbose=0)
            return array(probes.hidden(model, tensor(images))[0]).sum()

        assert size(5.0) < 0.9 * size(0.0)

    def test_mean_activations_on_target_cost_nothing_and_others_the_more_the_farther(self):
        objective = objectives.Sparse("kl", target=0.3)
        at = [float(array(objective._divergence(tensor([a, 0.3])))) for a in (0.3, 0.4, 0.9, 1.0)]
        assert at[0] == pytest.approx(0.0, abs=1e-5)
        assert 0.01 < at[1] < at[2] < at[3] < np.inf

    def test_a_unit_that_has_gone_out_is_lit_again(self):
        """At 0 the divergence is finite and its gradient asks for more."""
        slope = gradient(objectives.Sparse("kl")._divergence, np.zeros(3, "float32"))
        assert np.isfinite(slope).all() and (slope < -1).all()

    def test_the_mean_is_over_the_batch_and_not_a_sum(self):
        """Twice the same examples are the same penalty."""
        x = pictures()
        model = m.sparse_autoencoder(SHAPE, 5, units=(8,), sparsity="kl", seed=1)
        once, twice = (losses(model, a)[1]["sparsity_loss"] for a in (x, np.concatenate([x, x])))
        np.testing.assert_allclose(twice[:6], once, rtol=1e-5)

    @pytest.mark.parametrize("penalty, weight", [("l1", 3.0), ("l2", 3.0), ("kl", 30.0)])
    @pytest.mark.slow
    def test_training_with_them_makes_codes_sparser(self, penalty, weight, images):
        def trained(weight):
            model = m.sparse_autoencoder(
                SHAPE, 10, units=(), sparsity=penalty, weight=weight, seed=0
            )
            model.compile(keras.optimizers.Adam(1e-2))
            model.fit(images, epochs=60, batch_size=32, verbose=0)
            return model.encode(images)

        without, sparse = trained(0.0), trained(weight)
        if penalty == "kl":
            assert abs(sparse.mean() - 0.05) < 0.5 * abs(without.mean() - 0.05)
        else:
            assert np.abs(sparse).mean() < 0.6 * np.abs(without).mean()
