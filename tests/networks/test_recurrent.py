"""Recurrent networks of series: what is missing is not seen, and what fills up changes nothing."""

import numpy as np
import pytest

from keras_vae import initializers, layers, models, networks
from tests.support import array, tensor


@pytest.mark.turns
@pytest.mark.parametrize("cell", networks.CELLS)
class TestNetworks:
    def test_shapes_and_seeds(self, cell):
        options = {"cell": cell, "seed": 2, "per_value": 2}
        encoder, decoder = networks.build("recurrent", (7, 3), 2, (5, 4), 6, **options)
        assert [tuple(t.shape) for t in encoder.inputs] == [(None, 7, 3), (None, 6)]
        assert encoder.output_shape == (None, 4)
        assert [tuple(t.shape) for t in decoder.inputs] == [(None, 2), (None, 6)]
        assert decoder.output_shape == (None, 7, 6)
        again = networks.build("recurrent", (7, 3), 2, (5, 4), 6, **options)
        for a, b in zip((encoder, decoder), again, strict=True):
            for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)
        default, _ = networks.build("recurrent", (7, 3), 2, cell=cell)
        assert default.output_shape == (None, 64)

    def test_what_fills_a_series_up_changes_nothing(self, cell, rng):
        """The features of a series of 4 steps, whatever the common length is."""
        short, _ = networks.build("recurrent", (4, 2), 2, (5, 3), cell=cell, seed=0)
        long, _ = networks.build("recurrent", (9, 2), 2, (5, 3), cell=cell, seed=0)
        x = rng.normal(size=(3, 4, 2)).astype("float32")
        expected = array(short(x))
        padded = models.pad_series(list(x), 9)
        np.testing.assert_allclose(array(long(padded)), expected, atol=1e-6)
        # Steps that are missing in the middle are skipped too.
        holes = np.insert(x, 2, np.nan, axis=1)
        holes = np.concatenate([holes, np.full((3, 4, 2), np.nan, "float32")], axis=1)
        np.testing.assert_allclose(array(long(holes)), expected, atol=1e-6)
        # A value that is missing is another thing than a 0.
        part, zero = x.copy(), x.copy()
        part[:, 1, 0], zero[:, 1, 0] = np.nan, 0.0
        assert np.abs(array(short(part)) - array(short(zero))).max() > 1e-3

    def test_the_condition_reaches_both_networks(self, cell, rng):
        model = models.cvae((5, 2), 2, "recurrent", units=(4,), cell=cell, num_classes=3, seed=0)
        x = rng.random((1, 5, 2), "float32")
        codes = [model.encode(x, condition=[k]) for k in range(2)]
        assert np.abs(codes[0] - codes[1]).max() > 1e-4
        z = np.zeros((1, 2), "float32")
        decoded = [model.decode(z, condition=[k]) for k in range(2)]
        assert np.abs(decoded[0] - decoded[1]).max() > 1e-4


def test_known_values_and_steps():
    x = np.array([[[1.0, np.nan], [np.nan, np.nan], [0.0, -2.0]]], "float32")
    layer = layers.Known()
    expected = [[[1, 0, 1, 0], [0, 0, 0, 0], [0, -2, 1, 1]]]
    np.testing.assert_array_equal(array(layer(tensor(x))), expected)
    np.testing.assert_array_equal(array(layer.compute_mask(tensor(x))), [[True, False, True]])
    assert layer.compute_output_shape((None, 3, 2)) == (None, 3, 4)


@pytest.mark.parametrize("shape", [(4, 12), (6, 6), (5, 2)])
def test_orthogonal_weights(shape):
    q = array(initializers.Orthogonal(3)(shape)).astype("float64")
    small = q @ q.T if shape[0] <= shape[1] else q.T @ q
    np.testing.assert_allclose(small, np.eye(min(shape)), atol=1e-6)
    np.testing.assert_array_equal(q, array(initializers.Orthogonal(3)(shape)))
    assert np.abs(q - array(initializers.Orthogonal(4)(shape))).max() > 0.1


def test_series_are_padded():
    x = models.pad_series([[1.0, 2.0], [3.0]])
    np.testing.assert_array_equal(x, [[[1], [2]], [[3], [np.nan]]])
    assert x.dtype == "float32" and models.pad_series([[1.0]], 3).shape == (1, 3, 1)
    with pytest.raises(ValueError, match="longest series, 2.*Received: length=1"):
        models.pad_series([[1.0, 2.0]], 1)
    with pytest.raises(ValueError, match="same number f of features.*Received: 2 series"):
        models.pad_series([np.zeros((3, 2)), np.zeros((3, 1))])
    with pytest.raises(ValueError, match="Received: 0 series"):
        models.pad_series([])


@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((8,), {}, r"needs series \(time, features\).*input_shape=\(8,\)"),
        ((8, 8, 1), {}, r"needs series \(time, features\)"),
        ((8, 2), {"units": ()}, r"at least one layer.*units=\(\)"),
        ((8, 2), {"cell": "rnn"}, r"one of \('gru', 'lstm'\).*cell='rnn'"),
        ((8, 2), {"spatial": True}, "need network='conv' or 'residual'"),
    ],
)
def test_bad_arguments_are_refused(shape, options, message):
    with pytest.raises(ValueError, match=message):
        networks.build("recurrent", shape, 2, **options)


def test_other_encoders_see_zeros(rng):
    """As before: an encoder without a layer that takes NaN is given 0 in their place."""
    model = models.miwae((4, 2), 2, units=(3,), samples=2, seed=0)
    x = rng.random((2, 4, 2), "float32")
    holes, zeros = x.copy(), x.copy()
    holes[:, 1], zeros[:, 1] = np.nan, 0.0
    np.testing.assert_array_equal(model.encode(holes), model.encode(zeros))
