"""Kernels of the training step against their formulas."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models
from keras_vae.training import kernels
from tests.support import array, autodiff


def test_softplus_and_its_slope_are_the_formulas():
    x = np.array([-80.0, -20.0, -1.0, 0.0, 1e-3, 1.0, 20.0, 200.0], "float32")
    np.testing.assert_allclose(
        array(kernels.softplus(ops.convert_to_tensor(x))), np.logaddexp(x, 0), rtol=1e-5
    )
    slope = autodiff.gradient(lambda v: ops.sum(kernels.softplus(v)), x)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(-x.astype("float64"))), rtol=1e-5)


@pytest.fixture
def one_thread():
    """One thread of PyTorch, which then convolves single small pictures in another way."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_one_small_picture_trains_convolutions_of_one_channel(one_thread, images):
    """One output of `Conv2D`, one input of `Conv2DTranspose`: PyTorch refuses their strides."""
    encoder = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, 2), keras.layers.Conv2D(1, 3)]
    )
    decoder = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(16),
            keras.layers.Reshape((4, 4, 1)),
            keras.layers.Conv2DTranspose(3, 3, strides=2, padding="same"),
            keras.layers.Conv2D(1, 3, padding="same"),
        ]
    )
    model = models.VAE(encoder, decoder, 2, seed=0)
    model.compile(keras.optimizers.SGD(1e-3))
    before = model.get_weights()
    codes = model.encode(images[:1])
    # In order, a weight is where it was.
    kernels.order_thin(model.variables)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(model.encode(images[:1]), codes)
    model.fit(images[:1], verbose=0)
    pairs = zip(before, model.get_weights(), strict=True)
    moved = [np.abs(old - new).max() for old, new in pairs if old.ndim == 4]
    assert len(moved) == 4 and min(moved) > 0.0


def test_cross_entropy_and_its_slope_are_the_formulas(rng):
    logits = rng.normal(0, 3, (2, 3, 4, 5)).astype("float32")
    codes = rng.integers(0, 5, (2, 3, 4)).astype("int32")
    chosen = np.eye(5)[codes]
    shares = logits.astype("float64") - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    found = kernels.cross_entropy(ops.convert_to_tensor(codes), ops.convert_to_tensor(logits))
    np.testing.assert_allclose(array(found), -(shares * chosen).sum(-1), rtol=1e-5, atol=1e-6)
    slope = autodiff.gradient(lambda v: ops.sum(kernels.cross_entropy(codes, v)), logits)
    np.testing.assert_allclose(slope, np.exp(shares) - chosen, atol=1e-6)


def test_argmax_is_the_first_of_the_largest():
    x = np.array([[1.0, 3.0, 3.0, 2.0], [0.0, -0.0, 0.0, 0.0], [-2.0, -1.0, -3.0, -1.0]], "float32")
    found = ops.convert_to_numpy(kernels.argmax(ops.convert_to_tensor(x)))
    assert found.dtype == "int32" and found.tolist() == [1, 0, 1]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype, gap", [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_attention_in_numpy(dtype, gap, masked, rng):
    q, k, v = rng.standard_normal((3, 2, 4, 5, 3)).astype("float32")
    mask = np.triu(np.full((5, 5), -1e9, "float32"), 1) if masked else None

    def attended(queries):
        parts = (ops.cast(part, dtype) for part in (queries, k, v))
        found = kernels.attention(*parts, None if mask is None else ops.convert_to_tensor(mask))
        assert keras.backend.standardize_dtype(found.dtype) == dtype
        return ops.cast(found, "float32")

    def exact(queries):
        scores = queries @ k.swapaxes(-1, -2) / np.sqrt(3) + (0 if mask is None else mask)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True) @ v

    np.testing.assert_allclose(array(attended(ops.convert_to_tensor(q))), exact(q), atol=3 * gap)
    slope = autodiff.gradient(lambda x: ops.sum(attended(x)[0, 1, 2]), q)
    step = np.zeros_like(q, "float64")
    step[0, 1, 2, 0] = 1e-4
    rise = (exact(q + step) - exact(q - step))[0, 1, 2].sum() / 2e-4
    np.testing.assert_allclose(slope[0, 1, 2, 0], rise, atol=3 * gap)


@pytest.mark.once
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the others do so always")
def test_moments_that_vanish_slow_no_training():
    """During `fit` a number below 1e-38 is 0, and after it what it was before."""
    import torch

    def tiniest():
        return float(torch.full((3,), 1e-39).mul(1.0).max())

    class See(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(tiniest())

    seen = []
    model = models.vae((4,), 2, units=(4,), seed=0)
    x = np.zeros((8, 4), "float32")
    for before in (False, True):
        torch.set_flush_denormal(before)
        try:
            for fast in (True, False):
                model.fit(x, verbose=0, callbacks=[See()], fast=fast)
                assert (tiniest() == 0.0) == before
        finally:
            torch.set_flush_denormal(False)
    assert seen == [0.0] * 4
