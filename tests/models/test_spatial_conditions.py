"""Models of maps with a condition: labels and attributes."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import (
    conditions,
    export,
    initializers,
    metrics,
    models,
    objectives,
    plots,
    posteriors,
    priors,
    testing,
    zoo,
)
from tests.support import array, make_images, tensor

pytestmark = pytest.mark.turns

NAMES = ("Smiling", "Hat", "Young")


def networks(dim=3, size=(None, None)):
    """Small networks of a user's own; the condition steers each channel."""
    seeds = itertools.count(1)

    def initializer():
        return initializers.GlorotUniform(next(seeds))

    def convolution(channels, width, **options):
        return keras.layers.Conv2D(channels, width, kernel_initializer=initializer(), **options)

    def steered(x, condition):
        steer = keras.layers.Dense(x.shape[-1], kernel_initializer=initializer())(condition)
        return keras.layers.Add()([x, keras.layers.Reshape((1, 1, -1))(steer)])

    inputs = [keras.Input((*size, 3)), keras.Input((dim,))]
    x = steered(convolution(6, 3, padding="same", activation="relu")(inputs[0]), inputs[1])
    encoder = keras.Model(inputs, convolution(6, 2, strides=2)(x))
    half = tuple(side and side // 2 for side in size)
    inputs = [keras.Input((*half, 2)), keras.Input((dim,))]
    x = steered(convolution(6, 3, padding="same")(inputs[0]), inputs[1])
    x = keras.layers.UpSampling2D(2)(keras.layers.ReLU()(x))
    return encoder, keras.Model(inputs, convolution(3, 3, padding="same")(x))


def conditional(kind="attributes", size=(None, None), prior=None, **options):
    condition = conditions.Attributes(3, NAMES)
    if kind == "labels":
        condition = conditions.Labels(3)
    posterior = posteriors.SpatialNormal(2, seed=0)
    return models.SpatialVAE(
        *networks(3, size), posterior, prior, condition=condition, seed=0, **options
    )


@pytest.fixture(scope="module")
def model():
    return conditional()


@pytest.fixture
def x(rng):
    return make_images(rng, 4, (8, 12, 3))


@pytest.fixture
def y(rng):
    return (rng.random((4, 3)) < 0.5).astype("float32")


@pytest.mark.parametrize("check", testing.CHECKS)
@pytest.mark.parametrize("kind", ["attributes", "labels", "point", "one size"])
def test_keeps_what_all_models_promise(kind, check):
    if kind == "point":
        model = models.SpatialVAE(
            *networks(),
            posteriors.SpatialPoint(2, seed=0),
            priors.NoPrior(2),
            objective=objectives.Reconstruction(),
            condition=conditions.Labels(3),
            seed=0,
        )
    elif kind == "one size":
        model = conditional("labels", (8, 8))
    else:
        model = conditional(kind)
    assert testing.check_model(model, checks=check) == (check,)


def test_both_networks_see_the_condition(model, x, y):
    features = model.encoder([tensor(x), tensor(y)])
    mean, log_var = map(array, model.posterior_layer(features))
    z = model.encode(x, y)
    np.testing.assert_allclose(z, mean, atol=1e-5)
    np.testing.assert_allclose(model.posterior(x, y).log_var, log_var, atol=1e-5)
    decoded = array(model.likelihood.mean(model.decoder([tensor(z), tensor(y)])))
    np.testing.assert_allclose(model.decode(z, y), decoded, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(x, y), decoded, atol=1e-5)
    np.testing.assert_allclose(model.predict((x, y), verbose=0), decoded, atol=1e-5)
    assert np.abs(model.encode(x, 1.0 - y) - z).max() > 0.01
    assert np.abs(model.decode(z, 1.0 - y) - decoded).max() > 0.01
    labels = conditional("labels")
    once = labels.encode(x, 2)
    np.testing.assert_allclose(once, model.encode(x, [0.0, 0.0, 1.0]), atol=1e-5)
    # The noise of the bound and of log p(x|z) has the same condition.
    z, one = model.posterior(x, y).sample(1, 0)[0], np.tile(y, (1, 1))
    outputs = model.generate(tensor(z), tensor(one))
    expected = array(model.likelihood.log_prob(tensor(x), ops.expand_dims(outputs, 0)))[0]
    np.testing.assert_allclose(model.log_px(x, z, y), expected, rtol=1e-4)


def test_samples_of_the_bound_have_the_condition_of_their_example(model, x, y):
    """K samples of n examples are decoded in one call of K · n rows."""
    z = np.random.default_rng(0).standard_normal((3, 4, 4, 6, 2)).astype("float32")
    found = array(model._outputs(tensor(z), tensor(y)))
    for k in range(3):
        expected = array(model.generate(tensor(z[k]), tensor(y)))
        np.testing.assert_allclose(found[k], expected, atol=1e-5)
    own = model.log_likelihood(x, 20, y, verbose=False)
    other = model.log_likelihood(x, 20, 1.0 - y, verbose=False)
    assert own.shape == (4,) and np.abs(own - other).max() > 0.01
    alone = [model.log_likelihood(x[i : i + 1], 1, y[i], verbose=False) for i in range(4)]
    assert np.isfinite(np.concatenate(alone)).all()


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0])
def test_edit_decodes_with_other_attributes(model, x, y, strength):
    asked = y.copy()
    asked[:, 1] = [0, 1, 1, 0]
    changed = y + np.float32(strength) * (asked - y)
    z = model.encode(x, y)
    expected = model.decode(z, changed)
    found = model.edit(x, y, strength=strength, Hat=asked[:, 1])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    kept = model.edit(x, y, strength=strength, keep="picture", Hat=asked[:, 1])
    expected = np.clip(x + expected - model.decode(z, y), 0.0, 1.0)
    np.testing.assert_allclose(kept, expected, atol=1e-5)
    if strength == 0.0:
        np.testing.assert_allclose(kept, x, atol=1e-6)


def test_edit_refuses_what_it_cannot_do(model, x, y):
    with pytest.raises(ValueError, match="Did you mean 'Hat'"):
        model.edit(x, y, Hats=1)
    with pytest.raises(ValueError, match="multiples of 2"):
        model.edit(x[:, :, :11], y, Hat=1)
    with pytest.raises(ValueError, match="`keep` must be one of"):
        model.edit(x, y, keep="all", Hat=1)
    with pytest.raises(ValueError, match="no named attributes.*another label"):
        conditional("labels").edit(x, [0, 1, 2, 0], Hat=1)
    with pytest.raises(ValueError, match="edited by its condition"):
        model.with_directions(x, y, NAMES)
    with pytest.raises(ValueError, match=r'fit_sampler\(x, "flow", y\).*encode\(x, y, scaled'):
        model.fit_sampler(x, "gmm", y)
    with pytest.raises(ValueError, match='fit_sampler\\(x, "flow", y\\)'):
        model.with_fitted_prior(x, y)


@pytest.mark.parametrize("kind", ["attributes", "labels"])
def test_tiles_have_the_condition_of_their_picture(kind, rng):
    model = conditional(kind)
    x = rng.random((2, 22, 36, 3), dtype="float32")
    y = np.float32([[0, 1, 1], [1, 0, 0]]) if kind == "attributes" else np.array([2, 0])
    other = 1.0 - y if kind == "attributes" else y[::-1]
    # A tile as large as the picture is the picture.
    np.testing.assert_array_equal(model.encode(x, y, tile=36), model.encode(x, y))
    np.testing.assert_array_equal(model.reconstruct(x, y, tile=36), model.reconstruct(x, y))
    z = model.encode(x, y)
    options = {"tile": 12, "overlap": 0.34}
    whole = model.decode(z, y)
    # As of models without condition: only the borders of tiles see zeros.
    for found, expected in (
        (model.decode(z, y, **options), whole),
        (model.encode(x, y, **options), z),
        (model.reconstruct(x, y, **options), whole),
    ):
        assert np.abs(found - expected).mean() < 0.1 * expected.std()
    # Columns that one tile has alone, and that its border does not reach.
    tiled, alone = model.encode(x, y, tile=24, overlap=0.0), np.r_[0:6, 12:18]
    np.testing.assert_allclose(tiled[:, :, alone], z[:, :, alone], atol=1e-5)
    assert np.abs(model.decode(z, other, **options) - whole).mean() > 0.01


def test_samples(model, y):
    z = np.random.default_rng(3).standard_normal((4, 3, 5, 2), dtype="float32")
    drawn = model.sample(4, y, seed=3, map_shape=(3, 5))
    np.testing.assert_allclose(drawn, model.decode(z, y), atol=1e-5)
    one = model.sample(4, y[0], seed=3, map_shape=(3, 5))
    np.testing.assert_allclose(one, model.decode(z, np.tile(y[0], (4, 1))), atol=1e-5)
    for options in ({"steps": 3}, {"guidance": 2.0}):
        with pytest.raises(ValueError, match="belong to a prior that is a `priors.FlowMatching`"):
            model.sample(4, y, map_shape=(3, 5), **options)


def test_conditions_that_do_not_fit_are_refused(model, x, y):
    labels = conditional("labels")
    for call in (model.encode, model.reconstruct, model.posterior, model.fit, model.evaluate):
        with pytest.raises(ValueError, match="This model is conditional: give"):
            call(x)
        with pytest.raises(ValueError, match=r"numbers of shape \(4, 3\)"):
            call(x, y[:, :2])
    with pytest.raises(ValueError, match="This model is conditional: give"):
        model.decode(model.encode(x, y))
    with pytest.raises(ValueError, match="This model is conditional: give"):
        model.sample(2, map_shape=(2, 2))
    with pytest.raises(ValueError, match="Labels must be from 0 to 2"):
        labels.encode(x, [0, 1, 2, 3])
    with pytest.raises(ValueError, match="y of a conditional model is its condition"):
        model.fit(x, x)
    with pytest.raises(ValueError, match="multiples of 2"):
        model.predict((x[:, :, :11], y), verbose=0)


@pytest.mark.once
def test_parts_that_do_not_fit_are_refused():
    encoder, decoder = networks()
    condition = conditions.Attributes(3)
    alone = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(6, 2, strides=2)])

    def build(encoder=encoder, decoder=decoder, condition=condition, prior=None):
        return models.SpatialVAE(encoder, decoder, 2, prior, condition=condition)

    with pytest.raises(ValueError, match="encoder must have 2 input.*one and the condition"):
        build(encoder=alone)
    with pytest.raises(ValueError, match="encoder must have 1 input"):
        build(condition=None)
    with pytest.raises(ValueError, match="decoder must have 1 input"):
        build(encoder=alone, condition=None)
    with pytest.raises(ValueError, match=r"take conditions of shape \(5,\). Received: \(3,\)"):
        build(condition=conditions.Labels(5))
    fixed = networks(size=(8, 8))
    with pytest.raises(ValueError, match="prior must take the model's conditions.*=5 and 3"):
        build(*fixed, prior=priors.FlowMatching((4, 4, 2), 5, width=8, depth=1))
    with pytest.raises(ValueError, match="must be one of ours"):
        build(condition="labels")


def test_networks_that_are_layers_see_the_condition_too(x, y):
    """What is not functional becomes so, with both inputs."""

    class Decoder(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.convolution = keras.layers.Conv2D(3, 1)

        def build(self, shapes):
            self.convolution.build(shapes[0])

        def call(self, inputs):
            z, condition = inputs
            steer = ops.reshape(ops.sum(condition, axis=-1), (-1, 1, 1, 1))
            return self.convolution(ops.repeat(ops.repeat(z, 2, axis=1), 2, axis=2)) + steer

        def compute_output_shape(self, shapes):
            n, height, width, _ = shapes[0]
            return n, 2 * height, 2 * width, 3

    prior = priors.StandardNormalMap(2, (4, 6))
    model = models.SpatialVAE(
        networks(size=(8, 12))[0], Decoder(), 2, prior, condition=conditions.Attributes(3), seed=0
    )
    z = model.encode(x, y)
    raised = model.decode(z, y, batch_size=4) - model.decode(z, 0 * y)
    np.testing.assert_allclose(raised.mean((1, 2, 3)), y.sum(-1), atol=1e-5)


def test_a_model_of_one_size_and_files(model, x, y, tmp_path):
    fixed = model.with_input_shape((8, 12, 3))
    assert fixed.data_shape == (8, 12, 3) and fixed.code_shape == (4, 6, 2)
    z, rebuilt = model.encode(x, y), model.reconstruct(x, y)
    np.testing.assert_array_equal(fixed.encode(x, y), z)
    assert {id(v) for v in fixed.encoder.weights} == {id(v) for v in model.encoder.weights}
    np.testing.assert_allclose(fixed.sample(4, y, 3), fixed.sample(4, y, 3, map_shape=(4, 6)))
    for i, one in enumerate((model, fixed)):
        one.save(tmp_path / f"{i}.keras")
        zoo.save(one, tmp_path / f"{i}")
        for loaded in (zoo.load(tmp_path / f"{i}.keras"), zoo.load(tmp_path / f"{i}")):
            np.testing.assert_array_equal(loaded.encode(x, y), z)
            np.testing.assert_array_equal(loaded.reconstruct(x, y), rebuilt)
            assert loaded.condition.names == NAMES and loaded.data_shape == one.data_shape
        encode, decode = one.encoder_model(), one.decoder_model()
        np.testing.assert_allclose(array(encode([tensor(x), tensor(y)])), z, atol=1e-5)
        np.testing.assert_allclose(array(decode([tensor(z), tensor(y)])), rebuilt, atol=1e-5)


@pytest.mark.slow
def test_a_conditional_prior_by_flow_matching(rng):
    """Codes of each class have a mean of their own, which the prior learns."""
    model = conditional("labels", (4, 4))
    data = rng.random((32, 4, 4, 3), dtype="float32")
    labels = np.arange(32, dtype="int32") % 2
    data[labels == 1] *= 0.3
    assert model.fit_sampler(data, "flow", labels, epochs=2, batch_size=16) is model
    prior = model.prior
    assert prior.code_shape == (2, 2, 2) and prior.condition_dim == 3
    history = model.fit_prior(data, labels, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    encoded = array(model.condition.encode(tensor([1, 0]))).astype("float32")
    z = prior.sample(2, np.random.default_rng(5), encoded, 3, 2.0)
    drawn = model.sample(2, [1, 0], seed=5, steps=3, guidance=2.0)
    np.testing.assert_allclose(drawn, model.decode(z, [1, 0]), atol=1e-4)
    codes = model.encode(data[:4], labels[:4])
    there = model.transport(codes, labels[:4], 1 - labels[:4], steps=16)
    assert there.shape == codes.shape
    back = model.transport(there, 1 - labels[:4], labels[:4], steps=16)
    np.testing.assert_allclose(back, codes, atol=0.02)
    # The KL has no closed form: the mean of log q - log p over samples.
    found = metrics.elbo(model, data[:3], labels[:3], samples=2)
    noise = np.random.default_rng([0, 2]).standard_normal((2, 3, 2, 2, 2), dtype="float32")
    z, log_qz = model.posterior(data[:3], labels[:3]).transform_and_log_prob(noise)
    log_pz = array(model.prior_of(labels[:3], 3).log_prob(tensor(z)))
    np.testing.assert_allclose(found["kl"].mean, (log_qz - log_pz).mean(), rtol=1e-4)


def test_metrics_and_plots(model, x, y, tmp_path):
    q = model.posterior(x, y)
    kl = 0.5 * (np.exp(q.log_var) + q.mean**2 - 1 - q.log_var).sum((1, 2, 3))
    found = metrics.elbo(model, x, y)
    np.testing.assert_allclose(found["kl"].mean, kl.mean(), rtol=1e-4)
    report = metrics.collapse_report(model, x, y)
    np.testing.assert_allclose(report.own, model.log_px(x, q.mean, y).mean(), rtol=1e-4)
    active = metrics.active_units(model, x, y, threshold=1e-6)
    assert active.shape == (4, 6, 2)
    expected = model.encode(x, y).var(axis=0, ddof=1) > 1e-6
    np.testing.assert_array_equal(active, expected)
    asked = {}

    def read(pictures):
        asked[len(asked)] = pictures
        return pictures.mean((1, 2))

    control = metrics.attribute_control(model, x, y, read, ("Hat",), border=2)
    np.testing.assert_allclose(asked[0], model.reconstruct(x, y), atol=1e-6)
    np.testing.assert_allclose(asked[1], model.edit(x, y, Hat=1 - y[:, 1]), atol=1e-6)
    np.testing.assert_allclose(control.change[0], np.abs(asked[1] - asked[0]).mean(), rtol=1e-4)
    fixed = model.with_input_shape((8, 12, 3))
    shares, _ = metrics.sampled_attributes(fixed, y, read)
    np.testing.assert_allclose(asked[2], fixed.sample(4, y, seed=0), atol=1e-6)
    np.testing.assert_allclose(shares, ((asked[2].mean((1, 2)) > 0) == (y > 0.5)).mean(0))
    plots.attributes(model, x, ("Hat", "Young"), y, path=tmp_path / "a.png")
    plots.interpolation(model, x, x[::-1], 3, y, path=tmp_path / "i.png")
    plots.reconstructions(model, x, y, path=tmp_path / "r.png")
    plots.samples(fixed, 4, y, path=tmp_path / "s.png")
    plots.traversal(model, x, condition=y, path=tmp_path / "t.png")
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.slow
@pytest.mark.parametrize("format", ["saved_model", "tflite"])
def test_files_take_the_condition_too(model, x, y, format, tmp_path):
    """Each signature of the file is compared with the model by `export` itself."""
    write = getattr(export, format)
    report = write(
        model, tmp_path / "m", data=(x, y), input_shape=(8, 12, 3), batch_size=1, verbose=False
    )
    expected = {"encode", "decode", "reconstruct", "sample"}
    assert set(report["signatures"]) == expected | ({"transport"} if model.can_transport else set())
    for name, signature in report["signatures"].items():
        assert signature["inputs"]["condition"]["shape"] == [1, 3], name
    assert report["signatures"]["decode"]["inputs"]["z"]["shape"] == [1, 4, 6, 2]
    assert report["condition"] == {"kind": "attributes", "size": 3, "names": list(NAMES)}
    outputs = {(row["signature"], row["output"]) for row in report["parity"]["outputs"]}
    assert ("sample", "image") in outputs and ("encode", "log_var") in outputs
