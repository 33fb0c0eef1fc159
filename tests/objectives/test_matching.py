"""MMD and the sliced Wasserstein distance."""

import numpy as np
import pytest
from keras import ops

from keras_vae import models as m
from keras_vae import objectives, posteriors
from tests.support import SHAPE, array, reference, tensor
from tests.support.objectives import evidence, losses, scored

pytestmark = pytest.mark.turns


def plain_mmd(z, other, kernel):
    """Double loops over pairs."""
    n, d = z.shape

    def k(a, b):
        squared, width = np.square(a - b).sum(), 2.0 * d
        if kernel == "rbf":
            return np.exp(-squared / width)
        return sum(width * s / (width * s + squared) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    own, theirs = (
        sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        for a in (z, other)
    )
    return own + theirs - 2 * sum(k(a, b) for a in z for b in other) / n**2


class TestMMD:
    @pytest.mark.parametrize("kernel", ["imq", "rbf"])
    def test_it_is_the_numpy_reference(self, kernel, rng):
        z, other = rng.normal(size=(2, 7, 3))
        found = array(objectives.mmd(tensor(z), tensor(other), kernel))
        assert found == pytest.approx(plain_mmd(z, other, kernel), abs=1e-5)

    @pytest.mark.parametrize("kernel", ["imq", "rbf"])
    @pytest.mark.parametrize("n", [2, 5])
    def test_its_mean_is_zero_under_the_prior_even_in_small_batches(self, kernel, n, rng):
        """With the diagonal, or another N(N - 1), it is not."""
        values = [
            array(objectives.mmd(*map(tensor, rng.standard_normal((2, n, 2))), kernel))
            for _ in range(400)
        ]
        error = np.std(values) / len(values) ** 0.5
        assert abs(np.mean(values)) < 4 * error

    def test_it_is_large_away_from_the_prior(self, rng):
        z, other = rng.standard_normal((2, 50, 2))
        near = array(objectives.mmd(tensor(z), tensor(other)))
        far = array(objectives.mmd(tensor(z + 5), tensor(other)))
        assert far > 10 * abs(near) and far > 1

    def test_the_loss(self, rng):
        found, mean, log_var, z, log_px = evidence(rng)
        other = np.random.default_rng(5).standard_normal((6, 3))
        distance = plain_mmd(z[0], other, "imq")
        loss, terms = scored(objectives.MMD(10.0), found)
        np.testing.assert_allclose(loss, -log_px[0] + 10.0 * distance, rtol=1e-5)
        assert set(terms) == {"reconstruction_loss", "mmd_loss"}
        found, mean, log_var, z, log_px = evidence(rng)
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        distance = plain_mmd(z[0], np.random.default_rng(5).standard_normal((6, 3)), "rbf")
        loss, _ = scored(objectives.MMD(3.0, 0.25, "rbf"), found)
        np.testing.assert_allclose(loss, -log_px[0] + 0.25 * kl + 3.0 * distance, rtol=1e-5)

    def test_info_vae_has_the_paper_s_weights(self):
        objective = m.info_vae(SHAPE, 2, units=(4,), alpha=0.25, lambda_=20.0).objective
        assert (objective.kl_weight, objective.mmd_weight) == (0.75, 19.25)
        default = m.info_vae(SHAPE, 2, units=(4,)).objective
        assert (default.kl_weight, default.mmd_weight) == (1.0, 999.0)
        no_kl = m.info_vae(SHAPE, 2, units=(4,), alpha=1.0).objective
        assert "kl_loss" not in no_kl.terms

    @pytest.mark.parametrize("options", [{"lambda_": 0.001}, {"lambda_": 1.0}, {"lambda_": -5}])
    def test_a_weight_that_maximises_the_mmd_is_refused(self, options):
        with pytest.raises(ValueError, match="above 0.*Received: mmd_weight"):
            m.info_vae(SHAPE, 2, units=(4,), **options)
        with pytest.raises(ValueError, match="mmd_weight=0"):
            m.wae_mmd(SHAPE, 2, units=(4,), weight=0)
        with pytest.raises(ValueError, match="kl_weight=-1"):
            m.info_vae(SHAPE, 2, units=(4,), alpha=2.0)

    def test_next_to_no_weight_is_the_plain_vae(self):
        plain, limit = losses(m.vae), losses(m.info_vae, lambda_=1.0 + 1e-9)
        np.testing.assert_allclose(limit[0], plain[0], rtol=1e-6)

    def test_a_batch_of_one_is_finite(self, rng):
        found, *_ = evidence(rng, n=1)
        assert np.isfinite(scored(objectives.MMD(10.0), found)[0]).all()

    def test_the_wasserstein_reconstruction_is_the_squared_error_and_a_constant(self, images):
        model = m.wae_mmd(SHAPE, 2, units=(8,), seed=0)
        assert isinstance(model.posterior_layer, posteriors.Point)
        x = images[:4]
        _, terms = model.objective(model.evidence(ops.convert_to_tensor(x)))
        squared = np.square(x - model.reconstruct(x)).sum((1, 2, 3))
        np.testing.assert_allclose(
            array(terms["reconstruction_loss"]), squared + 32 * np.log(np.pi), rtol=1e-5
        )
        noisy = m.wae_mmd(SHAPE, 2, units=(8,), stochastic=True, seed=0)
        assert np.isfinite(noisy.log_likelihood(x, 5, verbose=False)).all()

    def test_no_divergence_without_a_density(self, images):
        model = m.wae_mmd(SHAPE, 2, units=(8,), seed=0)
        model.objective = objectives.ELBO()
        with pytest.raises(ValueError, match="no density.*Received: posterior=Point"):
            model.objective(model.evidence(ops.convert_to_tensor(images[:2])))


class TestSlicedWasserstein:
    def test_it_is_the_numpy_reference(self, rng):
        z, other = rng.normal(size=(2, 6, 3))
        directions = rng.normal(size=(4, 3))
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        a, b = (np.sort(codes @ unit.T, axis=0) for codes in (z, other))
        found = objectives.sliced_wasserstein(*map(tensor, (z, other, directions)))
        assert array(found) == pytest.approx(np.square(a - b).mean(), rel=1e-5)

    def test_equal_sets_in_any_order_are_at_no_distance(self, rng):
        z, directions = rng.normal(size=(9, 3)), tensor(rng.normal(size=(5, 3)))
        found = objectives.sliced_wasserstein(tensor(z), tensor(z[::-1]), directions)
        assert array(found) == pytest.approx(0.0, abs=1e-10)

    def test_a_shift_is_its_mean_square(self, rng):
        """E over unit θ of (θᵀs)² is ‖s‖²/d."""
        z, shift = rng.normal(size=(5, 3)), np.array([1.0, 2.0, -2.0])
        directions = tensor(rng.normal(size=(20_000, 3)))
        found = objectives.sliced_wasserstein(tensor(z), tensor(z + shift), directions)
        assert array(found) == pytest.approx(3.0, rel=0.03)

    def test_the_loss(self, rng):
        found, _, _, z, log_px = evidence(rng)
        drawn = np.random.default_rng(5)
        directions, other = drawn.standard_normal((7, 3)), drawn.standard_normal((6, 3))
        distance = array(objectives.sliced_wasserstein(*map(tensor, (z[0], other, directions))))
        loss, _ = scored(objectives.SlicedWasserstein(4.0, 7), found)
        np.testing.assert_allclose(loss, -log_px[0] + 4.0 * distance, rtol=1e-5)
        with pytest.raises(ValueError, match="slices=0"):
            objectives.SlicedWasserstein(slices=0)
