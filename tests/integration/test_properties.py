"""What holds for any shape, batch, type, size and seed: a few examples of each."""

import numpy as np
import pytest

from tests.support import array

hypothesis = pytest.importorskip("hypothesis")

from hypothesis import strategies as st  # noqa: E402
from keras import ops  # noqa: E402

from keras_vae import callbacks, conditions, distributions, models, schedules  # noqa: E402
from tests.support import reference  # noqa: E402
from tools.presets import train as training  # noqa: E402

pytestmark = pytest.mark.turns

# A model is compiled anew for each example, so they are few; the rest is cheap.
models_of = hypothesis.settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
numbers_of = hypothesis.settings(models_of, max_examples=25)
SHAPES = st.one_of(
    st.tuples(st.integers(1, 7)),
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2, 3])),
)
TYPES = st.sampled_from(["float32", "float64", "float16", "uint8", "bool", "int64"])


@models_of
@hypothesis.given(
    shape=SHAPES,
    latent_dim=st.integers(1, 9),
    n=st.sampled_from([1, 3, 8]),
    batch_size=st.sampled_from([1, 2, 5, 64]),
    dtype=TYPES,
    condition_dim=st.sampled_from([0, 1, 4]),
    seed=st.integers(0, 2**31 - 1),
)
def test_what_a_model_gives(shape, latent_dim, n, batch_size, dtype, condition_dim, seed):
    """Shapes, types and ranges; batches and equal seeds make no difference."""
    options = {"units": (3,), "seed": seed}
    if condition_dim:
        model = models.cvae(shape, latent_dim, condition_dim=condition_dim, **options)
    else:
        model = models.vae(shape, latent_dim, **options)
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (n, *shape)).astype(dtype)
    y = rng.random((n, condition_dim)) if condition_dim else None
    z = model.encode(x, y)
    assert z.shape == (n, latent_dim) and z.dtype == np.float32
    np.testing.assert_allclose(model.encode(x, y, batch_size=batch_size), z, atol=1e-5)
    np.testing.assert_allclose(model.encode(x.astype("float32"), y), z, atol=1e-6)
    rebuilt = model.reconstruct(x, y)
    assert rebuilt.shape == x.shape and 0.0 <= rebuilt.min() <= rebuilt.max() <= 1.0
    one = None if y is None else y[0]
    drawn = [model.sample(n, condition=one, seed=seed) for _ in range(2)]
    np.testing.assert_array_equal(*drawn)
    assert drawn[0].shape == x.shape
    bound = model.log_likelihood(x, 2, y, seed=seed, verbose=False)
    assert bound.shape == (n,) and np.isfinite(bound).all()


@pytest.fixture(scope="module")
def model():
    return models.cvae((4, 4, 1), 2, units=(3,), num_classes=3, seed=0)


def test_no_examples_are_refused_everywhere(model):
    x, y, z = np.zeros((0, 4, 4, 1)), np.zeros(0, int), np.zeros((0, 2))
    calls = [
        lambda: model.encode(x, y),
        lambda: model.reconstruct(x, y),
        lambda: model.decode(z, y),
        lambda: model.log_likelihood(x, 2, y),
        lambda: model.fit(x, y),
        lambda: model.evaluate(x, y),
        lambda: model.sample(0, condition=1),
        lambda: model.encode(np.zeros((2, 4, 4, 1)), [0, 1], batch_size=0),
    ]
    before = model.get_weights()
    for call in calls:
        with pytest.raises(ValueError, match="Received"):
            call()
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)


@numbers_of
@hypothesis.given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    mean=st.floats(-50, 50),
    log_var=st.floats(-9, 9),
    seed=st.integers(0, 99),
)
def test_normal_densities(shape, mean, log_var, seed):
    z = np.random.default_rng(seed).normal(mean, 3.0, shape)
    given = [np.full(shape, v, "float32") for v in (mean, log_var)]
    q = distributions.Normal(*map(ops.convert_to_tensor, given))
    found = array(q.log_prob(ops.convert_to_tensor(z.astype("float32"))))
    variance = np.exp(log_var)
    each = -0.5 * (np.log(2 * np.pi) + log_var + (z - mean) ** 2 / variance)
    np.testing.assert_allclose(found, each.sum(-1), rtol=2e-4, atol=1e-3)
    standard = distributions.Normal(*(ops.zeros(shape) for _ in range(2)))
    kl = array(q.kl(standard))
    expected = reference.normal_kl(mean, log_var, 0.0, 0.0) * shape[-1]
    np.testing.assert_allclose(kl, np.full(shape[:-1], expected), rtol=1e-4, atol=1e-4)
    assert (kl >= -1e-5).all()


@numbers_of
@hypothesis.given(n=st.integers(1, 9), classes=st.integers(2, 12), seed=st.integers(0, 99))
def test_labels_are_one_hot(n, classes, seed):
    y = np.random.default_rng(seed).integers(0, classes, n)
    found = conditions.Labels(classes)
    coded = array(found.encode(ops.convert_to_tensor(found.check(y, n))))
    np.testing.assert_array_equal(coded, np.eye(classes)[y])
    for wrong in (classes, -1):
        with pytest.raises(ValueError, match="Received"):
            found.check(np.full(n, wrong), n)


@numbers_of
@hypothesis.given(
    start=st.floats(-3, 3), end=st.floats(-3, 3), steps=st.integers(1, 50), step=st.integers(0, 99)
)
def test_a_warm_up_is_a_line_that_ends(start, end, steps, step):
    found = array(schedules.Linear(start, end, steps)(ops.convert_to_tensor(step, "int32")))
    expected = start + (end - start) * min(1.0, step / steps)
    assert found == pytest.approx(expected, abs=1e-4)


@numbers_of
@hypothesis.given(
    n=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    epoch=st.integers(0, 5),
    seed=st.integers(0, 9),
)
def test_every_example_once_an_epoch(n, batch_size, epoch, seed):
    x = np.arange(n)
    source = callbacks.Shuffled(x, x, batch_size, seed)
    source.epoch = epoch
    batches = [source[i] for i in range(len(source))]
    assert all(len(a) == batch_size for a, _ in batches[:-1])
    assert 1 <= len(batches[-1][0]) <= batch_size
    np.testing.assert_array_equal(np.sort(np.concatenate([a for a, _ in batches])), x)


@numbers_of
@hypothesis.given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20),
    bits=st.integers(2, 20),
)
def test_rounded_weights_are_as_near_as_their_bits(values, bits):
    values = np.array(values, "float32")
    found = training.rounded(values, bits)
    assert found.dtype == values.dtype
    assert (np.abs(found - values) <= np.abs(values) * 2.0**-bits + 1e-44).all()
    np.testing.assert_array_equal(training.rounded(found, bits), found)
