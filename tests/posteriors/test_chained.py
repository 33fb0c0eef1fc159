"""Two layers of codes: densities, bounds and where the layers stand in the code."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import distributions, metrics, models, objectives
from tests.support import autodiff

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns

LOG_2PI = np.log(2 * np.pi)


def normal(x, mean, log_var):
    """log N(x; mean, exp(log_var)) in NumPy."""
    each = -0.5 * (LOG_2PI + log_var + (x - mean) ** 2 * np.exp(-log_var))
    return each.sum(-1)


def network(layer, z):
    """What a `NormalOf` computes, in NumPy."""
    weights = [ops.convert_to_numpy(w) for w in (*layer.kernels, *layer.biases)]
    kernels, biases = weights[: len(weights) // 2], weights[len(weights) // 2 :]
    for kernel, bias in zip(kernels[:-1], biases[:-1]):
        z = np.tanh(z @ kernel + bias)
    mean, raw = np.split(z @ kernels[-1] + biases[-1], 2, axis=-1)
    return mean, 10 * np.tanh(raw / 10)


@pytest.fixture
def model():
    model = models.hierarchical_vae((5,), 3, units=(4,), top_dim=2, hidden_units=(6, 4), seed=0)
    rng = np.random.default_rng(0)
    model.set_weights(
        [
            w if w.dtype.kind == "i" else rng.normal(0, 0.5, w.shape).astype(w.dtype)
            for w in model.get_weights()
        ]
    )
    return model


def test_densities_and_their_order(model):
    rng = np.random.default_rng(1)
    z = rng.standard_normal((7, 4, 5)).astype("float32")
    mean, log_var = (rng.standard_normal((4, 3)).astype("float32") for _ in range(2))
    q = model.posterior_layer.distribution(*map(ops.convert_to_tensor, (mean, log_var)))
    expected = normal(z[..., :3], mean, log_var)
    expected += normal(z[..., 3:], *network(model.posterior_layer.above, z[..., :3]))
    np.testing.assert_allclose(ops.convert_to_numpy(q.log_prob(z)), expected, rtol=1e-5)
    p = model.prior.distribution()
    expected = normal(z[..., 3:], 0.0, 0.0)
    expected += normal(z[..., :3], *network(model.prior.below, z[..., 3:]))
    np.testing.assert_allclose(ops.convert_to_numpy(p.log_prob(z)), expected, rtol=1e-5)
    assert model.posterior_layer.above.units == (6, 4) and model.prior.below.units == (4, 6)


def test_samples_have_that_density(model):
    """Moments of 200 000 samples, by importance weights of a wide normal: 1, E z, E z²."""
    rng = np.random.default_rng(2)
    p = model.prior.distribution()
    drawn = model.prior.sample(200_000, np.random.default_rng(3))
    z = (3 * rng.standard_normal((400_000, 5))).astype("float32")
    log_p = ops.convert_to_numpy(p.log_prob(z)).astype("float64")
    weights = np.exp(log_p - normal(z / 3, 0.0, 0.0) + 5 * np.log(3)) / len(z)
    assert weights.sum() == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(weights @ z, drawn.mean(0), atol=0.05)
    np.testing.assert_allclose(weights @ z**2, (drawn**2).mean(0), rtol=0.08)


def test_a_sample_and_its_density_belong_together(model):
    noise = np.random.default_rng(4).standard_normal((3, 2, 5)).astype("float32")
    mean, log_var = ops.ones((2, 3), "float32"), ops.zeros((2, 3), "float32")
    q = model.posterior_layer.distribution(mean, log_var)
    z, log_q = q.transform_and_log_prob(ops.convert_to_tensor(noise))
    np.testing.assert_allclose(ops.convert_to_numpy(z)[..., :3], 1 + noise[..., :3], atol=1e-6)
    np.testing.assert_allclose(
        ops.convert_to_numpy(log_q), ops.convert_to_numpy(q.log_prob(z)), rtol=1e-5
    )


def test_the_decoder_sees_the_bottom_alone(model):
    z = np.random.default_rng(5).standard_normal((4, 5)).astype("float32")
    other = z.copy()
    other[:, 3:] += 1
    np.testing.assert_array_equal(model.decode(z), model.decode(other))
    other[:, :3] += 1
    assert np.abs(model.decode(z) - model.decode(other)).max() > 1e-3


def test_the_top_of_a_code_is_the_mean_at_the_mean(model):
    x = np.random.default_rng(6).random((4, 5), "float32")
    z = model.encode(x)
    np.testing.assert_allclose(
        z[:, 3:], network(model.posterior_layer.above, z[:, :3])[0], rtol=1e-5, atol=1e-6
    )


def test_an_independent_top_is_a_plain_vae():
    """Where q(z₂|z₁) is p(z₂) and z₁ ignores z₂, the bound is that of one layer."""
    model = models.hierarchical_vae((5,), 3, units=(4,), top_dim=2, hidden_units=(), seed=0)
    plain = models.vae((5,), 3, units=(4,), activation="tanh", seed=0)
    for network_ in (model.posterior_layer.above, model.prior.below):
        for weight in network_.weights:
            weight.assign(np.zeros(weight.shape, "float32"))
    base = model.posterior_layer.base
    for ours, theirs in zip(
        (*base.weights, *model.encoder.weights, *model.decoder.weights),
        (*plain.posterior_layer.weights, *plain.encoder.weights, *plain.decoder.weights),
        strict=True,
    ):
        theirs.assign(ours)
    x = (np.random.default_rng(7).random((6, 5)) < 0.5).astype("float32")
    noise = np.random.default_rng(8).standard_normal((1, 6, 5)).astype("float32")
    q = plain.posterior_layer.distribution(*plain.infer(ops.convert_to_tensor(x)))
    z = ops.convert_to_tensor(noise[0, :, :3])
    sample = q.transform(z)
    kl = ops.convert_to_numpy(q.log_prob(sample) - plain.prior.distribution().log_prob(sample))
    found = model.evidence(ops.convert_to_tensor(x), noise=noise)
    theirs = plain.evidence(ops.convert_to_tensor(x), noise=noise[..., :3])
    np.testing.assert_allclose(
        ops.convert_to_numpy(found.log_weights), ops.convert_to_numpy(theirs.log_weights), rtol=1e-5
    )
    ours = ops.convert_to_numpy(found.log_qz - found.p.log_prob(found.z))[0]
    np.testing.assert_allclose(ours, kl, rtol=1e-4, atol=1e-5)


def test_more_samples_tighten_the_bound(model):
    x = (np.random.default_rng(9).random((40, 5)) < 0.5).astype("float32")
    bounds = [metrics.log_likelihood(model, x, samples=k, seed=0).mean for k in (1, 20, 400)]
    assert bounds[0] < bounds[1] < bounds[2]


def test_every_network_learns(model):
    """Central differences of the bound in one weight of each network, against a step of SGD."""
    x = (np.random.default_rng(10).random((8, 5)) < 0.5).astype("float32")
    model.objective = objectives.IWAE(5)
    noise = np.random.default_rng(11).standard_normal((5, 8, 5)).astype("float32")

    def loss():
        losses, _ = model.objective(model.evidence(ops.convert_to_tensor(x), None, True, noise))
        return ops.mean(losses)

    for weight in (model.posterior_layer.above.kernels[0], model.prior.below.kernels[0]):
        before = ops.convert_to_numpy(weight)
        moved = []
        for step in (1e-2, -1e-2):
            changed = before.copy()
            changed[0, 0] += step
            weight.assign(changed)
            moved.append(float(ops.convert_to_numpy(loss())))
        weight.assign(before)
        slope = (moved[0] - moved[1]) / 2e-2

        def of(value, weight=weight):
            with keras.StatelessScope([(weight, value)]):
                return loss()

        found = autodiff.gradient(of, before)
        assert found[0, 0] == pytest.approx(slope, rel=0.02, abs=2e-4)
        assert abs(slope) > 1e-3


@pytest.mark.parametrize("top_dim", [0, -1, 1.5, "2"])
def test_a_top_that_is_none(top_dim):
    with pytest.raises(ValueError, match="`top_dim` must be an integer.*Received: top_dim="):
        models.hierarchical_vae((5,), 3, units=(4,), top_dim=top_dim)


def test_its_kl_is_not_in_closed_form(model):
    q = model.prior.distribution()
    with pytest.raises(NotImplementedError, match="Chained"):
        q.kl(distributions.Normal(np.zeros(5, "float32"), np.zeros(5, "float32")))
    assert isinstance(q, distributions.Chained)
