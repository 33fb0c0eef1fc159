"""Kernels of the training step against their formulas."""

import numpy as np
from keras import ops

from keras_vae.training import kernels
from tests.support import array, autodiff


def test_softplus_and_its_slope_are_the_formulas():
    x = np.array([-80.0, -20.0, -1.0, 0.0, 1e-3, 1.0, 20.0, 200.0], "float32")
    np.testing.assert_allclose(
        array(kernels.softplus(ops.convert_to_tensor(x))), np.logaddexp(x, 0), rtol=1e-5
    )
    slope = autodiff.gradient(lambda v: ops.sum(kernels.softplus(v)), x)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(-x.astype("float64"))), rtol=1e-5)
