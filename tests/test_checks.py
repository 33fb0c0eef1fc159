"""Checks of what users pass in, without a model: they are NumPy."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from keras_vae import _checks, conditions
from tests.support import SHAPE
from tests.support.bad_inputs import (
    BAD_ATTRIBUTES,
    BAD_CODES,
    BAD_COUNTS,
    BAD_LABELS,
    BAD_WEIGHTS,
    BAD_X,
    CODES,
    GOOD,
    LABELS,
    VECTORS,
    N,
)

pytestmark = pytest.mark.once


def stub(condition=None, data_range=(0.0, 1.0), missing=False, shape=SHAPE):
    """What the checks ask of a model."""
    likelihood = SimpleNamespace(data_range=data_range, missing=missing)
    return SimpleNamespace(
        data_shape=shape,
        latent_dim=2,
        code_shape=(2,),
        likelihood=likelihood,
        condition=condition,
    )


@pytest.mark.parametrize("bad", BAD_X)
def test_bad_data(bad):
    x, error, match = BAD_X[bad]
    with pytest.raises(error, match=match):
        _checks.data(stub(), x)


def test_good_data_become_float32():
    for x in (GOOD, GOOD.astype("float64"), GOOD.tolist()):
        clean = _checks.data(stub(), x)
        assert clean.dtype == np.float32
        np.testing.assert_array_equal(clean, GOOD)
    for edge in (0, 1):
        np.testing.assert_array_equal(_checks.data(stub(), np.full((1, *SHAPE), edge)), edge)


def test_missing_values_where_the_likelihood_takes_them():
    x = GOOD.copy()
    x[0, 0] = np.nan
    np.testing.assert_array_equal(_checks.data(stub(missing=True), x), x)
    assert np.isnan(_checks.data(stub(missing=True), np.full_like(x, np.nan))).all()
    x[1, 1, 1] = np.inf
    with pytest.raises(ValueError, match="finite. Received: 1 NaN or infinite"):
        _checks.data(stub(missing=True), x)
    x[1, 1, 1] = 1.5
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        _checks.data(stub(missing=True), x)


def test_counts_where_the_likelihood_takes_no_others():
    model = stub(data_range=None, missing=True)
    model.likelihood.counts = True
    x = np.round(20 * GOOD)
    x[0, 0] = np.nan
    np.testing.assert_array_equal(_checks.data(model, x), x)
    assert not _checks.seems_good(model, np.float32(np.round(GOOD)))
    for value in (-1.0, 0.5, 2.25):
        bad = x.copy()
        bad[1, 1] = value
        with pytest.raises(ValueError, match=f"counts.*Received: .* such as {value:g}"):
            _checks.data(model, bad)


def test_any_finite_number_without_limits():
    x = 1000 * (GOOD - 0.5)
    np.testing.assert_array_equal(_checks.data(stub(data_range=None), x), x)
    np.testing.assert_array_equal(_checks.data(stub(), x, limits=None), x)
    with pytest.raises(ValueError, match="must be finite"):
        _checks.data(stub(data_range=None), np.where(x > 0, np.nan, x))


@pytest.mark.parametrize(
    "x, hint",
    [
        (np.zeros((N, 16, 16, 1)), "np.repeat(x, 3, axis=-1)"),
        (np.zeros((N, 16, 16)), "np.stack([x] * 3, axis=-1)"),
        (np.zeros((N, 218, 178, 3)), "keras_vae.datasets.crop_faces(x, size=16)"),
    ],
)
def test_hints_for_coloured_pictures(x, hint):
    with pytest.raises(ValueError, match=re.escape(hint)):
        _checks.data(stub(shape=(16, 16, 3)), x)


@pytest.mark.parametrize("y, match", BAD_LABELS)
def test_bad_labels(y, match):
    with pytest.raises(ValueError, match=match):
        _checks.condition(stub(conditions.Labels(3)), y, N)


@pytest.mark.parametrize("y, match", BAD_ATTRIBUTES)
def test_bad_attributes(y, match):
    with pytest.raises(ValueError, match=match):
        _checks.condition(stub(conditions.Attributes(2)), y, N)


def test_good_conditions():
    labelled, attributed = stub(conditions.Labels(3)), stub(conditions.Attributes(2))
    for y in (LABELS, LABELS.tolist(), LABELS[:, None], LABELS.astype("float32")):
        clean = _checks.condition(labelled, y, N)
        assert clean.dtype == np.int32
        np.testing.assert_array_equal(clean, LABELS)
    np.testing.assert_array_equal(_checks.condition(labelled, 2, 3), [2, 2, 2])
    np.testing.assert_array_equal(_checks.condition(attributed, VECTORS, N), VECTORS)
    np.testing.assert_array_equal(_checks.condition(attributed, VECTORS[0], 2), VECTORS[[0, 0]])
    optional = stub(conditions.OptionalLabels(3))
    np.testing.assert_array_equal(_checks.condition(optional, None, 2), [-1, -1])
    assert _checks.condition(stub(), None, N) is None
    with pytest.raises(ValueError, match="unconditional: leave `y` out. Received: y of type list"):
        _checks.condition(stub(), [1], 1, "y")


@pytest.mark.parametrize("z, error, match", BAD_CODES)
def test_bad_codes(z, error, match):
    with pytest.raises(error, match=match):
        _checks.codes(stub(), z)


def test_good_codes_may_be_any_finite_number():
    np.testing.assert_array_equal(_checks.codes(stub(), 1000 * CODES), 1000 * CODES)


@pytest.mark.parametrize("n", BAD_COUNTS)
def test_bad_counts(n):
    match = "`steps` must be an integer of at least 1. Received: steps="
    with pytest.raises(ValueError, match=match):
        _checks.count(n, "steps")


def test_good_counts():
    for n in (1, 3, np.int64(3), np.uint8(3)):
        assert _checks.count(n) == n and type(_checks.count(n)) is int


@pytest.mark.parametrize("weights", BAD_WEIGHTS)
def test_bad_sample_weights(weights):
    with pytest.raises(ValueError, match="`sample_weight` must"):
        _checks.weights(weights, N)


def test_good_sample_weights():
    for weights in (np.arange(N), np.arange(N)[:, None], list(range(N))):
        np.testing.assert_array_equal(_checks.weights(weights, N), np.arange(N))
