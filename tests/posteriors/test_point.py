"""Codes without noise, sparse ones among them."""

import numpy as np
import pytest
from keras import ops

from keras_vae import metrics, posteriors
from keras_vae import models as m
from tests.support import SHAPE, array, tensor
from tests.support.autodiff import gradient
from tests.support.autoencoders import losses, pictures

pytestmark = pytest.mark.turns


class TestSparseCode:
    def test_exactly_k_units_are_kept_in_training_and_alpha_k_else(self, rng):
        layer = posteriors.SparsePoint(9, k=3, alpha=1.7)
        code = rng.normal(size=(50, 9)).astype("float32")
        for q, kept in (
            (layer.training_distribution(0, tensor(code)), 3),
            (layer.distribution(tensor(code)), 5),
        ):
            found = array(q.center)
            assert ((found != 0).sum(-1) == kept).all()
            least = np.sort(code)[:, -kept, None]
            np.testing.assert_array_equal(found, np.where(code >= least, code, 0))

    def test_equal_units_do_not_make_more_of_them(self):
        """A threshold at the k-th largest keeps all of them."""
        found = array(posteriors.largest(tensor([[1.0, 2.0, 1.0, 1.0], [5.0] * 4]), 2))
        np.testing.assert_array_equal((found != 0).sum(-1), [2, 2])
        np.testing.assert_array_equal(found.sum(-1), [3, 10])

    def test_alpha_keeps_all_units_at_most(self):
        layer = posteriors.SparsePoint(4, k=3, alpha=9.0)
        code = tensor(np.arange(1.0, 9.0).reshape(2, 4))
        np.testing.assert_array_equal(array(layer.distribution(code).center), array(code))

    def test_the_gradient_reaches_the_units_that_are_kept_only(self, rng):
        code = rng.normal(size=(3, 6)).astype("float32")
        weights = rng.normal(size=(3, 6)).astype("float32")
        found = gradient(lambda z: ops.sum(tensor(weights) * posteriors.largest(z, 2)), code)
        kept = array(posteriors.largest(tensor(code), 2)) != 0
        np.testing.assert_allclose(found, np.where(kept, weights, 0), rtol=1e-6)

    def test_a_trained_model_encodes_with_alpha_k_units(self, images):
        model = m.sparse_autoencoder(SHAPE, 12, units=(), k=3, alpha=2.0, seed=0)
        model.fit(images, epochs=2, verbose=0)
        assert ((model.encode(images) != 0).sum(-1) == 6).all()
        np.testing.assert_allclose(metrics.active_share(model, images, threshold=0.0), 0.5)

    def test_a_sparse_code_that_keeps_all_is_the_plain_autoencoder(self):
        x = pictures()
        plain = m.autoencoder(SHAPE, 4, units=(8,), seed=3)
        sparse = m.sparse_autoencoder(SHAPE, 4, units=(8,), k=4, seed=3)
        np.testing.assert_allclose(losses(sparse, x)[0], losses(plain, x)[0], rtol=1e-6)

    @pytest.mark.parametrize(
        "bad, message",
        [
            ({"k": 0}, "k=0"),
            ({"k": 5}, "from 1 to the number of units, 4.*k=5"),
            ({"alpha": 0.5}, "alpha=0.5"),
            ({"weight": 1.0}, "has none. Received: weight=1.0"),
            ({"layer_weights": [1.0]}, r"has none.*layer_weights=\[1.0\]"),
            ({"sparsity": "kl", "layer_weights": [1.0]}, "are those of 'l1' and 'l2'"),
            ({"sparsity": "l1", "layer_weights": [1.0]}, "each of the encoder's 0 hidden"),
            ({"sparsity": "l1", "layer_weights": [-1.0], "units": (3,)}, "layer_weights=-1.0"),
            ({"sparsity": "l3"}, "sparsity='l3'"),
            ({"sparsity": "kl", "target": 1.0}, "target=1.0"),
            ({"sparsity": "l1", "weight": -1.0}, "weight=-1.0"),
            ({"sparsity": "kl", "code_activation": "relu"}, "must be 'sigmoid'.*'relu'"),
            ({"code_activation": "sigmoid"}, "must be None.*'sigmoid'"),
        ],
    )
    def test_bad_arguments(self, bad, message):
        with pytest.raises(ValueError, match=message):
            m.sparse_autoencoder(SHAPE, 4, **{"k": 2, **bad} if "sparsity" not in bad else bad)
