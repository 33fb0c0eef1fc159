"""A likelihood of binary pictures whose pixels depend on those before them."""

import itertools

import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, models
from keras_vae.likelihoods import Observed
from tests.support import array, reference, tensor
from tests.support.autodiff import gradient, jacobian

BLOCKS = [(0, 0), (0, 2), (1, 1)]


def masked(before, after, features=2, width=3):
    """A layer with weights far from 0, so that pixels do depend on each other."""
    layer = likelihoods.MaskedConvolutions(features, width, before, after)
    rng = np.random.default_rng(5)
    for weight in layer.weights:
        weight.assign(0.5 * rng.normal(size=weight.shape))
    return layer


def pictures(height, width):
    """All binary pictures of a size `(2^hw, h, w, 1)`, counted upwards."""
    values = list(itertools.product((0.0, 1.0), repeat=height * width))
    return np.array(values, "float32").reshape(-1, height, width, 1)


def log_prob(layer, x, features, **options):
    """log p of each of the pictures given one map of features."""
    outputs = np.repeat(features[None, None], len(x), axis=1)
    return array(layer.log_prob(tensor(x), tensor(outputs), **options))[0]


def silu(x):
    return x / (1 + np.exp(-x))


def convolved(x, layer):
    """A masked convolution in loops, float64."""
    kernel, bias = (array(w) for w in (layer.kernel, layer.bias))
    side, found = layer.side, np.zeros((*x.shape[:2], len(bias))) + bias
    around = [(i, j) for i in range(-side, side + 1) for j in range(-side, side + 1)]
    for i, j in np.ndindex(*x.shape[:2]):
        for tap, (down, right) in zip(kernel, around, strict=False):
            if 0 <= i + down and 0 <= j + right < x.shape[1]:
                found[i, j] += x[i + down, j + right] @ tap
    return found


def logits(layer, x, features):
    """The network in NumPy: of one picture and one map of features."""
    dense = [[array(w) for w in d.weights] for d in (layer.join, *layer.head)]
    h = convolved(x, layer.first)
    for i, block in enumerate([*layer.residual, None]):
        if i == layer.before:
            h = h + features @ dense[0][0] + dense[0][1]
        if block is not None:
            h = h + convolved(silu(h), block)
    for kernel, bias in dense[1:]:
        h = silu(h) @ kernel + bias
    return h


@pytest.mark.parametrize("before, after", BLOCKS)
class TestDensity:
    def test_it_is_that_of_the_network_in_numpy(self, before, after, rng):
        layer = masked(before, after)
        x = rng.integers(0, 2, (2, 4, 5, 1)).astype("float32")
        outputs = rng.normal(size=(3, 2, 4, 5, 2)).astype("float32")
        found = array(layer.log_prob(tensor(x), tensor(outputs)))
        expected = [
            [reference.bernoulli_log_prob(x[i], logits(layer, x[i], o[i])).sum() for i in range(2)]
            for o in outputs
        ]
        np.testing.assert_allclose(found, expected, rtol=2e-5)

    def test_all_pictures_have_probability_one(self, before, after, rng):
        layer = masked(before, after)
        found = log_prob(layer, pictures(3, 3), rng.normal(size=(3, 3, 2)).astype("float32"))
        assert np.exp(found).sum() == pytest.approx(1.0, abs=1e-5)
        # Not by being uniform.
        assert found.max() - found.min() > 3.0

    def test_a_pixel_sees_none_that_comes_later(self, before, after, rng):
        layer = masked(before, after)
        outputs = tensor(rng.normal(size=(1, 1, 4, 5, 2)))
        x = rng.random((1, 4, 5, 1)).astype("float32")
        slopes = jacobian(lambda x: layer.logits(x, outputs), x).reshape(20, 20)
        assert (slopes[np.triu_indices(20)] == 0.0).all()
        # The neighbours before it are seen: to the left, above, and above to the right.
        assert (np.abs(slopes[8, [2, 3, 4, 6, 7]]) > 1e-6).all()

    def test_draws_are_those_of_the_logits(self, before, after, rng):
        """With the noise known, one pass over what was drawn gives each pixel again."""
        layer = masked(before, after)
        outputs = rng.normal(size=(3, 6, 7, 2)).astype("float32")
        x = layer.sample_outputs(outputs, np.random.default_rng(1))
        noise = np.random.default_rng(1).random((3, 6, 7), dtype="float32")
        p = 1 / (1 + np.exp(-array(layer.logits(tensor(x), tensor(outputs[None])))))
        sure = np.abs(noise - p[0, ..., 0]) > 1e-5
        np.testing.assert_array_equal(x[sure, 0], (noise < p[0, ..., 0])[sure])
        assert sure.mean() > 0.99 and 0.2 < x.mean() < 0.8


def test_pictures_are_drawn_as_often_as_their_probability_says(rng):
    layer, n = masked(1, 1), 4000
    features = rng.normal(size=(2, 3, 2)).astype("float32")
    expected = np.exp(log_prob(layer, pictures(2, 3), features))
    x = layer.sample_outputs(np.repeat(features[None], n, axis=0), rng)
    number = (x.reshape(n, 6) @ 2.0 ** np.arange(5, -1, -1)).astype(int)
    shares = np.bincount(number, minlength=64) / n
    assert (np.abs(shares - expected) < 4 * np.sqrt(expected / n) + 1e-3).all()
    assert np.abs(shares - expected).sum() / 2 < 0.06


def test_the_head_of_the_mean_learns_and_changes_no_density(rng):
    layer = masked(1, 1)
    x, features = pictures(2, 3)[40:41], rng.normal(size=(2, 3, 2)).astype("float32")
    plain = log_prob(layer, x, features)
    np.testing.assert_allclose(log_prob(layer, x, features, training=True), plain, rtol=1e-6)

    def slope(training):
        def total(outputs):
            return ops.sum(layer.log_prob(tensor(x), outputs, training=training))

        return gradient(total, features[None, None])

    # Neither the decoder's gradient.
    np.testing.assert_array_equal(slope(True), slope(False))
    mean = array(layer.mean(tensor(features[None])))
    assert mean.shape == (1, 2, 3, 1)


@pytest.mark.turns
def test_the_mean_becomes_the_share_of_each_pixel(images):
    """Of features that say nothing but the place, after training."""
    x = (images > 0.5).astype("float32")[..., :1]
    model = models.vae(
        x.shape[1:], 2, units=(4,), likelihood=likelihoods.MaskedConvolutions(8, 4, seed=0), seed=0
    )
    before = np.square(model.reconstruct(x) - x).mean()
    model.fit(x, batch_size=8, epochs=30, verbose=0)
    assert np.square(model.reconstruct(x) - x).mean() < 0.7 * before


@pytest.mark.turns
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_a_model_of_it(network, images):
    layer = likelihoods.MaskedConvolutions(3, 4, before=1, after=1, dynamic=True, seed=0)
    model = models.vae((8, 8, 1), 2, network, units=(4,), likelihood=layer, seed=0)
    assert model.decoder.output_shape == (None, 8, 8, 3) and model.data_shape == (8, 8, 1)
    x = images[..., :1]
    first = model.evaluate(x, verbose=0, return_dict=True)["reconstruction_loss"]
    model.fit(x, batch_size=16, epochs=5, verbose=0)
    assert model.evaluate(x, verbose=0, return_dict=True)["reconstruction_loss"] < first
    drawn = model.sample(3, seed=0, noise=True)
    assert drawn.shape == (3, 8, 8, 1) and set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_array_equal(drawn, model.sample(3, seed=0, noise=True))
    assert np.isfinite(model.log_likelihood(x[:2], samples=5)).all()
    again = type(model.likelihood).from_config(model.likelihood.get_config())
    assert again.get_config() == model.likelihood.get_config()
    assert again.per_value == 3 and again.dynamic


def test_what_it_is_not_for_is_refused_with_a_way_out(rng):
    layer = likelihoods.MaskedConvolutions(3, 4, seed=0)
    for shape in ((6,), (4, 3), (4, 4, 2), (2, 4, 4, 3)):
        with pytest.raises(ValueError, match="end the decoder with.*'bernoulli'.*Received"):
            layer.data_shape(shape)
    with pytest.raises(ValueError, match="not its mean alone.*Received"):
        layer.sample(np.zeros((1, 4, 4, 1)), rng)
    with pytest.raises(ValueError, match="not independent.*`log_prob`"):
        layer.log_prob_each(None, None)
    with pytest.raises(ValueError, match="likelihood of single pixels.*Received"):
        Observed(layer)
    with pytest.raises(ValueError, match="ends in 'sigmoid'"):
        models.vae((8, 8, 1), 2, "conv", units=(4,), likelihood=layer, output_activation="sigmoid")
    with pytest.raises(ValueError, match="one channel"):
        models.vae((8, 8, 3), 2, "conv", units=(4,), likelihood=layer)


@pytest.mark.parametrize("options", [{"features": 0}, {"width": 0}, {"before": -1}, {"after": 1.5}])
def test_bad_arguments_are_refused(options):
    with pytest.raises(ValueError, match="must be an integer of at least.*Received"):
        likelihoods.MaskedConvolutions(**options)
