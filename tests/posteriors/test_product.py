"""Posteriors of several parts."""

import numpy as np
import pytest

from keras_vae import distributions, priors
from tests.support import array, tensor
from tests.support.posteriors import monte_carlo, standard

pytestmark = pytest.mark.turns


class TestProduct:
    def test_kl_and_density_are_the_sums_of_the_parts(self, rng):
        normal = distributions.Normal(*map(tensor, rng.normal(size=(2, 3, 2))))
        discrete = distributions.Categorical(tensor(rng.normal(size=(3, 4))), 4)
        q = distributions.Product([normal, discrete])
        p = priors.ProductPrior([priors.StandardNormal(2), priors.UniformCategorical(1, 4)])
        expected = array(normal.kl(standard(2))) + array(
            discrete.kl(priors.UniformCategorical(1, 4))
        )
        np.testing.assert_allclose(array(q.kl(p)), expected, rtol=1e-5)
        np.testing.assert_allclose(array(q.kl_each(p.distribution())).sum(-1), expected, rtol=1e-5)
        found, error = monte_carlo(q, p.distribution())
        assert (np.abs(found - expected) < 5 * error).all()
        z = q.transform(tensor(rng.standard_normal((5, 3, 6))))
        np.testing.assert_allclose(
            array(q.log_prob(z)),
            array(normal.log_prob(z[..., :2])) + array(discrete.log_prob(z[..., 2:])),
            rtol=1e-5,
        )
        drawn = p.sample(1000, np.random.default_rng(0))
        assert drawn.shape == (1000, 6) and set(np.unique(drawn[:, 2:])) == {0.0, 1.0}
        np.testing.assert_allclose(drawn[:, 2:].mean(0), 0.25, atol=0.06)

    def test_another_kind_of_prior_is_refused(self):
        q = distributions.Product([standard(2)])
        with pytest.raises(NotImplementedError, match=r"KL\(Product \|\| Normal\)"):
            q.kl(standard(2))
