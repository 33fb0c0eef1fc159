"""Posteriors through flows: densities against autodiff."""

import numpy as np
import pytest
from keras import ops

from keras_vae import flows, posteriors
from tests.support import array, tensor
from tests.support.autodiff import jacobian
from tests.support.posteriors import parameters, standard

pytestmark = pytest.mark.turns


def make_flow(kind, rng, d=3, scale=1.0):
    cls = {"planar": flows.Planar, "radial": flows.Radial}[kind]
    return cls.of(tensor(scale * rng.normal(size=(1, cls.size(d)))), d)


class TestFlows:
    @pytest.mark.parametrize("kind", flows.KINDS)
    @pytest.mark.parametrize("scale", [0.5, 4.0])
    def test_log_determinant_is_that_of_the_jacobian(self, kind, scale, rng):
        for _ in range(5):
            flow = make_flow(kind, rng, scale=scale)
            z = rng.normal(size=3)
            found = array(flow(tensor(z[None]))[1]).item()
            matrix = jacobian(lambda v: flow(ops.expand_dims(v, 0))[0][0], z)  # noqa: B023
            assert found == pytest.approx(np.log(np.linalg.det(matrix)), abs=2e-3)

    @pytest.mark.parametrize("kind", flows.KINDS)
    def test_they_are_invertible_whatever_the_parameters(self, kind, rng):
        """Without the constraint large parameters fold the space: a negative determinant."""
        determinants = []
        for _ in range(50):
            flow = make_flow(kind, rng, d=2, scale=6.0)
            moved, log_det = flow(tensor(rng.normal(size=(200, 2))))
            determinants.append(array(log_det))
            assert np.isfinite(array(moved)).all()
        assert np.isfinite(determinants).all()

    def test_the_constraint_keeps_w_u_above_minus_one(self, rng):
        u, w = rng.normal(size=(2, 100, 3)) * 3
        flow = flows.Planar(tensor(u), tensor(w), tensor(np.zeros((100, 1))))
        found = (array(flow.u) * w).sum(-1)
        expected = np.log1p(np.exp((u * w).sum(-1))) - 1
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-4)
        assert (found > -1.001).all()

    @pytest.mark.parametrize("kind", flows.KINDS)
    def test_densities_of_samples_integrate_to_one(self, kind, rng):
        """Over where the samples of a grid of noise go, in order."""
        layer = posteriors.FlowPosterior(1, kind, 3)
        q = layer.distribution(*parameters(layer, rng, n=1, scale=0.5))
        noise = np.linspace(-8, 8, 40_001, dtype="float32")[:, None, None]
        z, log_qz = (array(v)[:, 0] for v in q.transform_and_log_prob(tensor(noise)))
        z = z[:, 0]
        assert (np.diff(z) > 0).all()
        total = np.sum(0.5 * (np.exp(log_qz[1:]) + np.exp(log_qz[:-1])) * np.diff(z))
        assert total == pytest.approx(1.0, abs=2e-3)

    def test_planar_densities_are_known_at_samples_only(self, rng):
        layer = posteriors.FlowPosterior(2, "planar", 2)
        q = layer.distribution(*parameters(layer, rng))
        with pytest.raises(NotImplementedError, match="sample_and_log_prob"):
            q.log_prob(ops.zeros((2, 2)))
        with pytest.raises(NotImplementedError, match=r"KL\(Transformed \|\| Normal\)"):
            q.kl(standard(2))

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="'planar', 'radial'.*Received: kind='cubic'"):
            posteriors.FlowPosterior(2, "cubic")
        with pytest.raises(ValueError, match="flows=-1"):
            posteriors.FlowPosterior(2, flows=-1)


class TestIAF:
    @pytest.mark.parametrize("d", [1, 2, 5])
    def test_made_sees_only_what_is_before(self, d, rng):
        made = flows.MADE(d, 3, units=12)
        made.set_weights([rng.normal(size=w.shape) for w in made.get_weights()])
        context = tensor(rng.normal(size=(1, 3)))
        for output in range(2):
            matrix = jacobian(
                lambda v: made(ops.expand_dims(v, 0), context)[output][0],  # noqa: B023
                rng.normal(size=d),
            )
            assert (np.triu(matrix) == 0).all()
            assert d == 1 or (matrix[np.tril_indices(d, -1)] != 0).all()

    def test_every_output_sees_the_context(self, rng):
        made = flows.MADE(3, 2, units=12, seed=0)
        z = tensor(rng.normal(size=(1, 3)))
        for output in range(2):
            matrix = jacobian(
                lambda c: made(z, ops.expand_dims(c, 0))[output][0],  # noqa: B023
                rng.normal(size=2),
            )
            assert (np.abs(matrix).max(1) > 0).all()

    def steps(self, rng, d=4, scale=0.5):
        layer = posteriors.InverseAutoregressive(d, 3, 16, 3)
        return layer.distribution(*parameters(layer, rng, scale=scale))

    def test_log_determinant_is_that_of_the_jacobian(self, rng):
        q = self.steps(rng)
        for flow in q.flows:
            flow.context = flow.context[:1]
            z = rng.normal(size=4)
            matrix = jacobian(lambda v: flow(ops.expand_dims(v, 0))[0][0], z)  # noqa: B023
            expected = np.log(np.abs(np.linalg.det(matrix)))
            assert array(flow(tensor(z[None]))[1]).item() == pytest.approx(expected, abs=1e-4)

    def test_the_order_is_reversed_between_steps(self, rng):
        """After two steps the first dimension depends on all, after one it does not."""
        q = self.steps(rng)
        for flow in q.flows:
            flow.context = flow.context[:1]
        z = rng.normal(size=4)
        one = jacobian(lambda v: q.flows[0](ops.expand_dims(v, 0))[0][0], z)
        assert (one[-1] != 0).sum() == 1
        two = jacobian(lambda v: q.flows[1](q.flows[0](ops.expand_dims(v, 0))[0])[0][0], z)
        assert (two != 0).all()

    def test_the_inverse_returns_the_input_and_the_density(self, rng):
        q = self.steps(rng)
        z = tensor(rng.normal(size=(3, 2, 4)))
        for flow in q.flows:
            moved, log_det = flow(z)
            back, again = flow.inverse(moved)
            np.testing.assert_allclose(array(back), array(z), atol=1e-4)
            np.testing.assert_allclose(array(again), array(log_det), atol=1e-4)
        samples, log_prob = q.transform_and_log_prob(z)
        np.testing.assert_allclose(array(q.log_prob(samples)), array(log_prob), atol=1e-3)

    def test_it_starts_near_the_identity(self, rng):
        layer = posteriors.InverseAutoregressive(4, 1, seed=0)
        layer.build((None, 5))
        q = layer.distribution(*layer(tensor(rng.normal(size=(2, 5)))))
        moved = array(q.transform(ops.zeros((1, 2, 4))))[0, :, ::-1]
        assert np.abs(moved - array(q.base.mean)).max() < 0.5
