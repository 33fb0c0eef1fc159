"""Models whose codes are maps, of pictures of any size."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import (
    conditions,
    initializers,
    models,
    objectives,
    posteriors,
    priors,
    testing,
    zoo,
)
from keras_vae.models.tiles import blended
from tests.support import make_images

pytestmark = pytest.mark.turns

KL = {"units": (4, 8), "norm_num_groups": 2, "latent_dim": 2, "seed": 0}


@pytest.fixture(scope="module")
def kl():
    return models.autoencoder_kl(**KL)


@pytest.fixture(scope="module")
def vq():
    return models.vq_model(**{**KL, "latent_dim": 3}, num_vq_embeddings=8)


def tiny():
    one = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    return models.autoencoder_tiny(units=(4, 4), **one, seed=0)


@pytest.fixture
def x(rng):
    return make_images(rng, 3, (8, 12, 3))


def networks(size=(None, None)):
    """Plain networks of a user's own, whose receptive fields are small."""
    seeds = itertools.count(1)

    def convolution(channels, width, **options):
        initializer = initializers.GlorotUniform(next(seeds))
        return keras.layers.Conv2D(channels, width, kernel_initializer=initializer, **options)

    encoder = keras.Sequential(
        [
            keras.Input((*size, 3)),
            convolution(6, 3, padding="same", activation="relu"),
            convolution(6, 2, strides=2),
        ]
    )
    half = tuple(side and side // 2 for side in size)
    decoder = keras.Sequential(
        [
            keras.Input((*half, 2)),
            convolution(6, 3, padding="same", activation="relu"),
            keras.layers.UpSampling2D(2),
            convolution(3, 3, padding="same"),
        ]
    )
    return encoder, decoder


@pytest.mark.parametrize("check", testing.CHECKS)
@pytest.mark.parametrize("kind", ["own", "point", "vq"])
def test_keeps_what_all_models_promise(kind, check, vq):
    model = vq
    if kind != "vq":
        posterior = posteriors.SpatialNormal(2) if kind == "own" else posteriors.SpatialPoint(2)
        more = {}
        if kind == "point":
            more = {"objective": objectives.Reconstruction(), "prior": priors.NoPrior(2)}
        model = models.SpatialVAE(*networks(), posterior, **more, seed=0)
    assert testing.check_model(model, checks=check) == (check,)


def test_sizes(kl, x):
    assert kl.factor == 2
    assert kl.data_shape == (None, None, 3) and kl.code_shape == (None, None, 2)
    assert kl.encode(x).shape == (3, 4, 6, 2)
    assert kl.reconstruct(x).shape == x.shape
    # Odd sizes: the codes of what the stages see.
    assert kl.encode(x[:, :7, :11]).shape == (3, 3, 5, 2)
    assert kl.sample(2, seed=0, map_shape=(3, 5)).shape == (2, 6, 10, 3)
    assert kl.interpolate(x, x[::-1], steps=3).shape == (3, 3, 8, 12, 3)
    assert kl.posterior(x).kl(kl.prior).shape == (3,)
    q = kl.posterior(x)
    expected = 0.5 * (np.exp(q.log_var) + q.mean**2 - 1 - q.log_var).sum((1, 2, 3))
    np.testing.assert_allclose(q.kl(kl.prior), expected, rtol=1e-4)


def test_traverse_sets_a_channel_everywhere(kl, x):
    z = kl.encode(x)
    z[..., 1] = -2.0
    found = kl.traverse(x, 1, [0.5, -2.0])[:, 1]
    np.testing.assert_allclose(found, kl.decode(z), atol=1e-5)


def test_the_bound_grows_with_its_samples(kl, x):
    few, many = (kl.log_likelihood(x, k, verbose=False) for k in (1, 50))
    assert few.shape == (3,) and few.dtype == "float64"
    assert many.mean() > few.mean()


@pytest.mark.parametrize("kind", ["kl", "vq"])
def test_tiles(kind, kl, vq, rng, request):
    model = request.getfixturevalue(kind)
    x = rng.random((1, 24, 20, 3), dtype="float32")
    # A tile as large as the picture is the picture.
    np.testing.assert_array_equal(model.encode(x, tile=24), model.encode(x))
    np.testing.assert_array_equal(model.reconstruct(x, tile=32), model.reconstruct(x))
    z = model.encode(x, tile=8)
    assert z.shape == model.encode(x).shape and z.dtype == model.encode(x).dtype
    assert model.decode(z, tile=8).shape == x.shape


@pytest.mark.parametrize("tile, overlap", [(16, 0.5), (12, 0.34), (8, 0.75)])
def test_tiles_of_local_networks_agree_with_the_whole(tile, overlap, rng):
    model = models.SpatialVAE(*networks(), 2, seed=0)
    x = rng.random((2, 22, 36, 3), dtype="float32")
    z = model.encode(x)
    options = {"tile": tile, "overlap": overlap}
    # Only the borders of tiles see zeros where there is a picture, and count little.
    whole, tiled = model.decode(z), model.decode(z, **options)
    share = 0.2 if tile == 8 else 0.1
    assert np.abs(tiled - whole).mean() < share * whole.std()
    assert np.abs(model.encode(x, **options) - z).mean() < share * z.std()
    assert model.encode(x[:, :21, :35], **options).shape == model.encode(x[:, :21, :35]).shape


@pytest.mark.once
@pytest.mark.parametrize("size", [(5, 7), (8, 8), (16, 9), (17, 30)])
@pytest.mark.parametrize("overlap", [0, 1, 3])
@pytest.mark.parametrize("factor", [1, 4])
def test_blended_tiles_have_no_seams(size, overlap, factor, rng):
    """Tiles that agree give the whole; a step between two is crossed in a straight line."""
    whole = rng.random((2, size[0] * factor, size[1] * factor, 3), dtype="float32")

    def of(rows, columns):
        (top, bottom), (left, right) = rows, columns
        return whole[:, top * factor : bottom * factor, left * factor : right * factor]

    found = blended(of, size, 8, overlap, factor)
    np.testing.assert_allclose(found, whole, atol=1e-6)
    if size == (5, 7) or size == (8, 8):
        np.testing.assert_array_equal(found, whole)

    def step(rows, columns):
        shape = [(b - a) * factor for a, b in (rows, columns)]
        return np.full((1, *shape, 1), float(columns[0] > 0), "float32")

    line = blended(step, (4, 14), 8, 2, factor)[0, 0, :, 0]
    assert np.abs(np.diff(line)).max() <= 1.0 / (2 * factor) + 1e-6
    assert line[0] == 0.0 and line[-1] == 1.0 and (np.diff(line) >= -1e-6).all()


def test_what_the_networks_cannot_take_is_refused(kl, vq, x):
    for model in (kl, vq):
        for call in (model.fit, model.evaluate, model.reconstruct, model.predict):
            with pytest.raises(ValueError, match=r"multiples of 2.*x\[:, :8, :10\].*8 × 11"):
                call(x[:, :, :11])
        with pytest.raises(ValueError, match="takes no pictures of 1 × 12 pixels.*at least 2 × 2"):
            model.encode(x[:, :1])
        with pytest.raises(ValueError, match="x / 255"):
            model.fit(x * 255)
        with pytest.raises(ValueError, match="any size, any size, 3"):
            model.encode(x[..., :1])
        with pytest.raises(ValueError, match="map_shape=\\(8, 8\\)"):
            model.sample(2)
        with pytest.raises(ValueError, match="multiple of 2 pixels"):
            model.encode(x, tile=5)
        with pytest.raises(ValueError, match="share of a tile"):
            model.encode(x, tile=4, overlap=1.0)
    with pytest.raises(ValueError, match="takes no pictures of 8 × 8 pixels. Expected: 8 × 12"):
        kl.with_input_shape((8, 12, 3))._code_size(8, 8)
    with pytest.raises(ValueError, match="same size"):
        kl.fit(x, x[:, :, :8])
    with pytest.raises(ValueError, match="no prior"):
        tiny().sample(2)
    for call in (kl.edit, kl.fit_sampler, kl.with_fitted_prior, kl.with_directions):
        with pytest.raises(ValueError, match="decode"):
            call(x)
    with pytest.raises(ValueError, match="nothing to train"):
        vq.fit_prior(x)


@pytest.mark.once
def test_parts_that_do_not_fit_are_refused():
    encoder, decoder = networks()
    with pytest.raises(ValueError, match="must give maps"):
        models.SpatialVAE(encoder, decoder, posteriors.DiagonalNormal(2))
    with pytest.raises(ValueError, match="SpatialVAE"):
        models.VAE(*networks((8, 8)), posteriors.SpatialNormal(2), prior=priors.NoPrior(2))
    with pytest.raises(ValueError, match="encoder must have 2 input.*one and the condition"):
        models.SpatialVAE(encoder, decoder, 2, condition=conditions.Labels(3))
    with pytest.raises(ValueError, match="compares codes that are vectors"):
        models.SpatialVAE(encoder, decoder, 2, objective=objectives.MMD(10.0))
    with pytest.raises(ValueError, match="one of maps"):
        models.SpatialVAE(encoder, decoder, 2, prior=priors.StandardNormal(2))
    with pytest.raises(ValueError, match="must take maps of shape"):
        models.SpatialVAE(encoder, decoder, 3)
    with pytest.raises(ValueError, match="each of the 2 channels"):
        models.SpatialVAE(encoder, decoder, 2, latents_mean=[1.0], latents_std=[1.0])
    with pytest.raises(ValueError, match="come together"):
        models.SpatialVAE(encoder, decoder, 2, latents_mean=[1.0, 2.0])
    with pytest.raises(ValueError, match="must not be 0"):
        models.SpatialVAE(encoder, decoder, 2, scaling_factor=0.0)


def test_fit_takes_sizes_in_turn_and_frozen_encoders(x):
    model = models.autoencoder_kl(**KL)
    model.compile(keras.optimizers.Adam(1e-3))
    for data in (x, x[:, :, :8], x):
        assert np.isfinite(model.fit(data, verbose=0).history["loss"]).all()
    model.encoder.trainable = model.posterior_layer.trainable = False
    model.compile(keras.optimizers.Adam(1e-2))
    before = model.encode(x)
    losses = model.fit(x, epochs=5, verbose=0).history["reconstruction_loss"]
    assert losses[-1] < losses[0]
    np.testing.assert_array_equal(model.encode(x), before)


def test_fit_on_pairs(x):
    model = tiny()
    model.compile(keras.optimizers.SGD(0.0))
    same, other = (
        model.fit(x, y, verbose=0, batch_size=3).history["loss"][0] for y in (x, 1.0 - x)
    )
    assert other != same


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy, x):
    """The networks compute in few digits; statistics, attention and codes are float32."""
    reference = models.autoencoder_kl(**KL)
    keras.config.set_dtype_policy(policy)
    try:
        model = models.autoencoder_kl(**KL, force_upcast=False)
        upcast = models.autoencoder_kl(**KL)
    finally:
        keras.config.set_dtype_policy("float32")
    convolution = model.encoder.get_layer("conv_in")
    assert convolution.compute_dtype == policy.removeprefix("mixed_")
    expected = "float32" if policy == "mixed_float16" else "bfloat16"
    assert upcast.encoder.get_layer("conv_in").compute_dtype == expected
    z = model.encode(x)
    assert z.dtype == "float32"
    np.testing.assert_allclose(z, reference.encode(x), atol=0.1)
    assert np.abs(z - reference.encode(x)).max() > 0.0
    model.compile(keras.optimizers.Adam(1e-3))
    assert np.isfinite(model.fit(x, epochs=2, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("kind", ["kl", "vq"])
def test_a_model_of_one_size_has_the_same_weights(kind, x, request, tmp_path):
    model = request.getfixturevalue(kind)
    fixed = model.with_input_shape((8, 12, 3))
    assert fixed.data_shape == (8, 12, 3) and fixed.code_shape[:2] == (4, 6)
    np.testing.assert_array_equal(fixed.encode(x), model.encode(x))
    assert fixed.encoder.get_layer("conv_in") is model.encoder.get_layer("conv_in")
    assert fixed.sample(2, seed=0).shape == (2, 8, 12, 3)
    with pytest.raises(ValueError, match="multiples of 2"):
        model.with_input_shape((8, 11, 3))
    with pytest.raises(ValueError, match="input_shape"):
        model.with_input_shape((8, 12, 1))
    zoo.save(fixed, tmp_path / "fixed")
    loaded = zoo.load(tmp_path / "fixed")
    np.testing.assert_allclose(loaded.reconstruct(x), model.reconstruct(x), atol=1e-5)
    encode, decode = fixed.encoder_model(), fixed.decoder_model()
    z = model.encode(x)
    np.testing.assert_allclose(ops.convert_to_numpy(encode(x)), z, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(decode(z)), model.decode(z), atol=1e-5)


def test_models_of_any_size_as_keras_models_and_files(kl, x, tmp_path):
    z = kl.encode(x)
    np.testing.assert_allclose(ops.convert_to_numpy(kl.encoder_model()(x)), z, atol=1e-5)
    kl.save(tmp_path / "m.keras")
    loaded = zoo.load(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.encode(x), z)
    assert loaded.source == kl.source and loaded.scaling_factor == 0.18215


@pytest.mark.slow
@pytest.mark.once
def test_a_prior_by_flow_matching_draws_maps_as_the_codes_are(rng):
    """Of codes with another mean in each channel, N(0, I) knows nothing."""
    model = models.SpatialVAE(
        *networks((4, 4)),
        posteriors.SpatialPoint(2),
        priors.NoPrior(2),
        seed=0,
        objective=objectives.Reconstruction(),
    )
    data = rng.random((64, 4, 4, 3), dtype="float32")
    codes = model.encode(data)
    model.fit_sampler(data, "flow", epochs=40, batch_size=32)
    assert model.prior.code_shape == model.code_shape == (2, 2, 2)
    drawn = model.prior.sample(512, np.random.default_rng(0))
    for axis in ((0, 1, 2), (0,)):
        spread = codes.std(axis=axis)
        assert (np.abs(drawn.mean(axis=axis) - codes.mean(axis=axis)) < 0.5 * spread).all()
    assert model.sample(3, seed=0, steps=4).shape == (3, 4, 4, 3)
    with pytest.raises(ValueError, match=r"Expected: map_shape=\(2, 2\)"):
        model.sample(1, map_shape=(3, 3))
    with pytest.raises(ValueError, match="Expected: .None, None, 2"):
        models.SpatialVAE(*networks(), 2, prior=model.prior)


def test_another_network_has_sizes_of_its_own():
    """A network that is freed may leave its identity to the next one."""
    model = models.SpatialVAE(*networks(), 2, seed=0)
    assert model._code_size(8, 8) == (4, 4)
    encoder, decoder = networks()
    wide = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(6, 1)])
    for one, expected in ((wide, (8, 8)), (encoder, (4, 4)), (wide, (8, 8))):
        model.encoder = one
        assert model._code_size(8, 8) == expected
