"""What all distributions have in common."""

import numpy as np
import pytest
from keras import ops

from keras_vae import distributions
from tests.support import array, reference


def test_event_axes_are_summed(rng):
    x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    p = distributions.Normal(ops.zeros((3, 4, 5)), ops.zeros((3, 4, 5)), event_ndim=3)
    expected = reference.normal_log_prob(x, 0.0, 0.0).sum((1, 2, 3))
    np.testing.assert_allclose(array(p.log_prob(x)), expected, rtol=1e-5)


def test_no_closed_form_is_said():
    q = distributions.Normal(ops.zeros((1, 2)), ops.zeros((1, 2)))
    with pytest.raises(NotImplementedError, match=r"KL\(Normal \|\| Bernoulli\)"):
        q.kl(distributions.Bernoulli(ops.zeros((1, 2))))
    with pytest.raises(NotImplementedError, match=r"KL\(Bernoulli \|\| Normal\)"):
        distributions.Bernoulli(ops.zeros((1, 2))).kl(q)
