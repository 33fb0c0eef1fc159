"""Inputs at the edge of what there is: every family trains on them, or says why not."""

import keras
import numpy as np
import pytest

from tests.support.registry import LABELLED, TINY, data, make

POLICIES = ("mixed_float16", "mixed_bfloat16")
NAMES = sorted(TINY)


def edge(x, kind):
    """Data of the same shape at an edge; what is missing stays so."""
    value = {"zero": 0.0, "constant": 0.5, "saturated": 1.0}[kind]
    return np.where(np.isnan(x), x, value).astype("float32")


def losses_of(model, x, y, **options):
    history = model.fit(x, y, verbose=0, shuffle=False, **options).history
    return np.array([*history.values()])


@pytest.mark.turns
@pytest.mark.parametrize("name", NAMES)
def test_edges_of_the_data_in_half_precision(name):
    """One model through all of them: batches of 1, a partial one, constants.

    The policies take turns by name, as each costs a compilation of its own.
    """
    policy = POLICIES[NAMES.index(name) % 2]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = make(name)
        # Twelve steps: TensorFlow takes longer to trace them than to take them.
        eager = keras.backend.backend() == "tensorflow"
        model.compile(keras.optimizers.Adam(1e-3), run_eagerly=eager)
        x, y = data(name, 5)
        for kind in ("zero", "constant", "saturated"):
            # Two batches of two, and one of one.
            losses = losses_of(model, edge(x, kind), y, batch_size=2)
            assert np.isfinite(losses).all(), kind
        assert np.isfinite(losses_of(model, x, y, batch_size=2)).all()
    finally:
        keras.config.set_dtype_policy(before)
    weights = model.get_weights()
    assert all(np.isfinite(w.astype("float32")).all() for w in weights)
    moved = [np.abs(a - b).max() for a, b in zip(make(name).get_weights(), weights) if a.ndim]
    assert max(moved) > 1e-4


@pytest.mark.parametrize("kind", ["zero", "constant", "saturated"])
def test_edges_of_the_data_are_encoded_and_rebuilt(kind):
    for name in ("vae", "cvae", "full_covariance_vae", "categorical_vae"):
        model = make(name)
        x, y = data(name, 3)
        y = y if name in LABELLED else None
        x = edge(x, kind)
        assert np.isfinite(model.encode(x, y)).all()
        rebuilt = model.reconstruct(x, y)
        assert np.isfinite(rebuilt).all() and 0.0 <= rebuilt.min() <= rebuilt.max() <= 1.0
        assert np.isfinite(model.log_likelihood(x, 3, y, seed=0, verbose=False)).all()


@pytest.mark.parametrize("scale", [-1e30, -1e4, 1e4, 1e30])
@pytest.mark.parametrize("name", ["vae", "full_covariance_vae", "iaf_vae", "flow_vae"])
def test_log_variances_are_bounded_whatever_the_encoder_says(name, scale):
    """By construction: so that no weights make a variance of 0 or of infinity."""
    model = make(name)
    parameters = model.posterior_layer.get_weights()
    model.posterior_layer.set_weights([np.full_like(w, scale) for w in parameters])
    x, _ = data(name, 3)
    _, log_var, *_ = model.infer(keras.ops.convert_to_tensor(x))
    log_var = keras.ops.convert_to_numpy(log_var)
    bound = model.posterior_layer.log_var_bound
    assert np.isfinite(log_var).all() and np.abs(log_var).max() <= bound


def test_a_learned_variance_of_pictures_is_bounded(images):
    """A picture that is rebuilt perfectly has a density that ends somewhere."""
    model = make("vae", likelihood="normal")
    for weight in model.likelihood.weights:
        for value in (-1e30, 1e30):
            weight.assign(np.full(weight.shape, value, "float32"))
            log_var = keras.ops.convert_to_numpy(model.likelihood.log_var())
            assert np.isfinite(log_var).all() and np.abs(log_var).max() <= 20.0
            logs = model.evaluate(images[:4], verbose=0, return_dict=True)
            assert np.isfinite([*logs.values()]).all()
