"""Layers that compute the same everywhere."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import (
    layers,
)
from tests.support import array, autodiff, tensor


class TestLayers:
    def test_space_to_depth_moves_blocks_and_depth_to_space_back(self, rng):
        x = rng.normal(size=(2, 4, 6, 3)).astype("float32")
        deep = array(layers.SpaceToDepth(2)(tensor(x)))
        assert deep.shape == (2, 2, 3, 12)
        block = x[1, 2:4, 4:6].reshape(-1)
        np.testing.assert_allclose(deep[1, 1, 2], block)
        np.testing.assert_allclose(array(layers.DepthToSpace(2)(tensor(deep))), x)

    @pytest.mark.parametrize(
        "size, strides, padding",
        [
            *((4, 2, "same"), (8, (4, 2), "same"), (3, 2, "same"), (3, 1, "same")),
            *((4, 2, "valid"), ((4, 3), (2, 1), "same")),
        ],
    )
    def test_transposed_convolution_is_that_of_keras(self, size, strides, padding, rng):
        """Values and gradients; with and without a bias, in half precision and after saving."""
        x = rng.normal(size=(2, 5, 4, 3)).astype("float32")
        for bias, dtype in ((True, "float32"), (False, "float32"), (True, "mixed_bfloat16")):
            options = {"use_bias": bias, "padding": padding, "activation": "tanh", "dtype": dtype}
            theirs = keras.layers.Conv2DTranspose(6, size, strides, **options)
            ours = layers.Conv2DTranspose(6, size, strides, **options)
            assert theirs(x).shape == ours(x).shape
            theirs.set_weights([rng.normal(size=w.shape) for w in theirs.get_weights()])
            ours = layers.Conv2DTranspose.from_config(ours.get_config())
            ours.build(x.shape)
            ours.set_weights(theirs.get_weights())
            bound = 1e-5 if dtype == "float32" else 0.05
            np.testing.assert_allclose(array(ours(x)), array(theirs(x)), atol=bound)
            for of, bound_of in ((0, 20 * bound), (1, 100 * bound)):
                values = [x, array(ours.kernel)]

                def squared(value, layer):
                    found = values[:of] + [value] + values[of + 1 :]  # noqa: B023
                    with keras.StatelessScope([(layer.kernel, found[1])]):
                        return ops.sum(ops.cast(layer(found[0]), "float32") ** 2)

                theirs_of, ours_of = (
                    autodiff.gradient(lambda v: squared(v, layer), values[of])  # noqa: B023
                    for layer in (theirs, ours)
                )
                np.testing.assert_allclose(ours_of, theirs_of, atol=bound_of)

    def test_space_to_depth_and_convolution_is_a_strided_convolution(self, rng):
        """A 2 × 2 kernel on blocks of 2 × 2 is a 4 × 4 kernel of stride 2."""
        x = tensor(rng.normal(size=(1, 8, 8, 3)))
        kernel = rng.normal(size=(4, 4, 3, 5)).astype("float32")
        folded = kernel.reshape(2, 2, 2, 2, 3, 5).transpose(0, 2, 1, 3, 4, 5)
        folded = tensor(folded.reshape(2, 2, 12, 5))
        deep = ops.conv(layers.SpaceToDepth(2)(x), folded, padding="valid")
        strided = ops.conv(x, tensor(kernel), strides=2, padding="valid")
        np.testing.assert_allclose(array(deep), array(strided), atol=1e-5)

    def test_sizes_that_do_not_divide_are_refused(self):
        with pytest.raises(ValueError, match="multiples of 2.*7"):
            layers.SpaceToDepth(2)(ops.zeros((1, 7, 8, 1)))
        with pytest.raises(ValueError, match="multiple of 4.*6"):
            layers.DepthToSpace(2).compute_output_shape((None, 2, 2, 6))

    def test_sampling_has_the_moments_and_new_noise_each_time(self):
        layer = layers.Sampling(seed=1)
        mean = ops.zeros((50_000, 2)) + tensor([1.0, -2.0])
        log_var = ops.zeros((50_000, 2)) + tensor([0.0, 2.0])
        first, second = (array(layer([mean, log_var])) for _ in range(2))
        np.testing.assert_allclose(first.mean(0), [1.0, -2.0], atol=0.06)
        np.testing.assert_allclose(first.std(0), [1.0, np.e], rtol=0.02)
        assert np.abs(first - second).max() > 0.1


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_group_normalization_is_keras_own(dtype, rng):
    x = (3 + 2 * rng.standard_normal((2, 5, 3, 6))).astype("float32")
    options = {"groups": 3, "epsilon": 1e-3, "dtype": dtype}
    ours, own = layers.GroupNormalization(**options), keras.layers.GroupNormalization(**options)
    for layer in (ours, own):
        layer.build(x.shape)
        layer.set_weights([rng.standard_normal(6), rng.standard_normal(6)])
    own.set_weights(ours.get_weights())
    found, expected = ours(x), own(x)
    assert found.dtype == expected.dtype
    gap = 1e-5 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(array(found), array(expected), atol=gap, rtol=gap)
    # Other axes and parameters take Keras' own kernel.
    plain = layers.GroupNormalization(3, center=False)
    assert plain(x).shape == x.shape


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_spatial_attention_in_numpy(dtype, rng):
    x, normalised = rng.standard_normal((2, 2, 3, 4, 5)).astype("float32")
    layer = layers.SpatialAttention(seed=0, dtype=dtype)
    layer.build([x.shape, x.shape])
    for weight in layer.weights:
        weight.assign(rng.standard_normal(weight.shape))
    (q, k, v, out), rows = (
        [tuple(map(array, dense.weights)) for dense in layer.projections],
        normalised.reshape(2, 12, 5),
    )
    queries, keys, values = (rows @ kernel + bias for kernel, bias in (q, k, v))
    logits = queries @ keys.transpose(0, 2, 1) / np.sqrt(5)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    expected = x + (weights @ values @ out[0] + out[1]).reshape(x.shape)
    found = layer([x, normalised])
    gap = 1e-4 if dtype == "float32" else 0.3
    np.testing.assert_allclose(array(found), expected, atol=gap, rtol=gap)
    again = layers.SpatialAttention.from_config(layer.get_config())
    assert again.seed == 0


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"padding": "valid", "strides": 2, "use_bias": False},
        {"padding": "same", "strides": 2, "activation": "relu"},
        {"padding": "same", "activation": "relu"},
    ],
)
def test_conv_2d_is_keras_own(options, dtype, rng):
    x = rng.standard_normal((2, 7, 6, 3)).astype("float32")
    ours, own = (c(4, 3, dtype=dtype, **options) for c in (layers.Conv2D, keras.layers.Conv2D))
    found, _ = ours(x), own(x)
    own.set_weights(ours.get_weights())
    expected = own(x)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    gap = 1e-5 if dtype == "float32" else 0.1
    np.testing.assert_allclose(array(found), array(expected), atol=gap)
