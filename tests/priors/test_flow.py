"""A prior that is a flow."""

import numpy as np
import pytest
from keras import ops

from keras_vae import flows, models, priors
from tests.support import SHAPE, array, reference, tensor
from tests.support.autodiff import jacobian
from tests.support.learned_priors import randomised

pytestmark = pytest.mark.turns


class TestFlowPrior:
    def flow(self, rng, d=3, parity=0, scale=0.7):
        return randomised(flows.Coupling(d, parity, 8), rng, scale)

    @pytest.mark.parametrize("d", [1, 2, 5])
    @pytest.mark.parametrize("parity", [0, 1])
    def test_the_inverse_returns_the_input_and_the_log_determinant(self, d, parity, rng):
        flow = self.flow(rng, d, parity)
        z = rng.normal(size=(4, 7, d))
        moved, log_det = flow(tensor(z))
        back, again = flow.inverse(moved)
        np.testing.assert_allclose(array(back), z, atol=1e-5)
        np.testing.assert_allclose(array(again), array(log_det), atol=1e-5)
        kept = np.arange(d) % 2 == parity
        np.testing.assert_allclose(array(moved)[..., kept], z[..., kept], rtol=1e-6)
        assert d == 1 or np.abs(array(moved) - z)[..., ~kept].max() > 0.1

    @pytest.mark.parametrize("d", [1, 2, 5])
    def test_log_determinant_is_that_of_the_jacobian(self, d, rng):
        for parity in (0, 1):
            flow = self.flow(rng, d, parity)
            for _ in range(3):
                z = rng.normal(size=d)
                matrix = jacobian(lambda v: flow(ops.expand_dims(v, 0))[0][0], z)  # noqa: B023
                expected = np.linalg.slogdet(matrix)
                assert expected[0] > 0
                found = array(flow(tensor(z[None]))[1]).item()
                assert found == pytest.approx(expected[1], abs=1e-5)

    def test_the_whole_prior_s_density_is_that_of_the_change_of_variables(self, rng):
        p = randomised(priors.FlowPrior(3, 4, 8), rng).distribution()
        for _ in range(3):
            noise = rng.normal(size=3)
            z, log_pz = p.transform_and_log_prob(tensor(noise[None]))
            matrix = jacobian(lambda v: p.transform(ops.expand_dims(v, 0))[0], noise)
            expected = reference.normal_log_prob(noise, 0.0, 0.0).sum()
            expected -= np.linalg.slogdet(matrix)[1]
            assert array(log_pz).item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
            assert array(p.log_prob(z)).item() == pytest.approx(expected, rel=1e-4, abs=1e-4)

    def test_the_density_integrates_to_one(self, rng):
        p = randomised(priors.FlowPrior(2, 4, 8), rng, 0.4).distribution()
        line = np.linspace(-12, 12, 801, dtype="float32")
        grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        density = np.exp(array(p.log_prob(tensor(grid))))
        assert density.max() > 1e-2
        total = density.sum() * (line[1] - line[0]) ** 2
        assert total == pytest.approx(1.0, abs=1e-3)
        # It is not the normal distribution it started from.
        plain = np.exp(reference.normal_log_prob(grid, 0.0, 0.0).sum(-1))
        assert np.abs(density - plain).max() > 0.02

    def test_samples_are_noise_sent_through_the_flow(self, rng):
        prior = randomised(priors.FlowPrior(3, 3, 8), rng)
        noise = np.random.default_rng(5).standard_normal((9, 3), "float32")
        expected = array(prior.distribution().transform(tensor(noise)))
        found = prior.sample(9, np.random.default_rng(5))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert np.abs(found - noise).max() > 0.1

    def test_large_weights_do_not_overflow(self, rng):
        p = randomised(priors.FlowPrior(2, 2, 8), rng, 50.0).distribution()
        z, log_pz = p.transform_and_log_prob(tensor(rng.normal(size=(50, 2))))
        assert np.isfinite(array(z)).all() and np.isfinite(array(log_pz)).all()

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="couplings=-1"):
            models.flow_prior_vae(SHAPE, 2, units=(4,), couplings=-1)
        with pytest.raises(ValueError, match="units=0"):
            models.flow_prior_vae(SHAPE, 2, units=(4,), hidden_units=0)
