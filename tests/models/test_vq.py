"""VQ-VAEs: what users call, files, what is refused."""

import keras
import numpy as np
import pytest

from keras_vae import likelihoods, metrics, models, quantizers, zoo
from tests.support import SHAPE, array, make_images
from tests.support.quantized import D, K, shaken, tiny


@pytest.fixture
def model():
    return shaken(tiny())


@pytest.fixture
def labelled():
    return shaken(tiny(num_classes=3))


LABELS = np.arange(64) % 3


@pytest.mark.turns
class TestModel:
    def test_codes_and_pictures(self, images, model):
        codes = model.encode(images)
        assert codes.shape == (64, 2, 2) and codes.dtype == np.int32
        assert codes.min() >= 0 and codes.max() < K and len(np.unique(codes)) > 1
        decoded = model.decode(codes)
        assert decoded.shape == images.shape and decoded.dtype == np.float32
        np.testing.assert_allclose(model.reconstruct(images), decoded, atol=1e-6)
        np.testing.assert_allclose(array(model(images)), decoded, atol=1e-6)
        np.testing.assert_allclose(model.predict(images, verbose=0), decoded, atol=1e-6)
        np.testing.assert_array_equal(model.encode(images, batch_size=7), codes)
        assert (model.latent_dim, model.num_codes, model.code_shape) == (D, K, (2, 2))

    def test_a_batch_of_one(self, images, model):
        one = images[:1]
        model.fit(one, verbose=0)
        model.fit_prior(one, verbose=0)
        assert all(np.isfinite(w).all() for w in model.get_weights())
        assert model.encode(one).shape == (1, 2, 2)
        assert model.reconstruct(one).shape == model.sample(1, seed=0).shape == one.shape
        assert np.isfinite(model.evaluate(one, verbose=0)).all()
        assert model.log_likelihood(one).shape == model.code_log_prob(one).shape == (1,)

    def test_sample_decodes_codes_of_the_prior_by_seed(self, model):
        codes = model.sample_codes(6, seed=5)
        assert codes.shape == (6, 2, 2) and codes.dtype == np.int32
        np.testing.assert_array_equal(codes, model.prior.sample(6, np.random.default_rng(5)))
        np.testing.assert_array_equal(codes, model.sample_codes(6, seed=5, batch_size=4))
        np.testing.assert_array_equal(model.sample(6, seed=5), model.decode(codes))
        assert (codes != model.sample_codes(6, seed=6)).any()
        cold = model.sample_codes(6, seed=5, temperature=0.0)
        assert (cold == cold[0]).all()

    def test_code_log_prob_takes_pictures_or_codes(self, images, model):
        codes = model.encode(images)
        expected = array(model.prior.log_prob(codes))
        np.testing.assert_allclose(model.code_log_prob(images), expected, rtol=1e-5)
        np.testing.assert_allclose(model.code_log_prob(codes), expected, rtol=1e-5)

    def test_log_likelihood_is_the_sum_of_both(self, images, model):
        parts = model.log_px(images, model.encode(images)) + model.code_log_prob(images)
        np.testing.assert_allclose(model.log_likelihood(images), parts, rtol=1e-5)
        np.testing.assert_allclose(model.log_likelihood(images, 50), parts, rtol=1e-5)
        estimate = metrics.log_likelihood(model, images, samples=3)
        assert estimate.mean == pytest.approx(parts.mean(), rel=1e-5)

    @pytest.mark.turns
    def test_the_likelihood_may_be_any(self, images):
        for likelihood in ("dynamic_bernoulli", likelihoods.Normal("optimal")):
            model = tiny(likelihood=likelihood)
            history = model.fit(images, epochs=10, batch_size=16, verbose=0).history["loss"]
            assert history[-1] < history[0]
            assert np.isfinite(model.log_likelihood(images)).all()

    def test_it_trains_under_mixed_precision(self, images):
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            model = tiny()
            history = model.fit(images, epochs=10, batch_size=16, verbose=0).history["loss"]
            assert history[-1] < history[0]
            assert model.encode(images).dtype == np.int32
            assert {w.dtype for w in model.get_weights()} <= {
                np.dtype("float32"),
                np.dtype("int32"),
            }
        finally:
            keras.config.set_dtype_policy("float32")

    def test_only_the_prior_sees_the_label(self, images, labelled):
        codes = labelled.encode(images)
        np.testing.assert_array_equal(labelled.encode(images, condition=LABELS), codes)
        np.testing.assert_array_equal(
            labelled.reconstruct(images), labelled.reconstruct(images, condition=LABELS)
        )
        log_prob = [labelled.code_log_prob(images, k) for k in range(3)]
        assert np.abs(log_prob[0] - log_prob[1]).max() > 0.01
        each = labelled.sample(3, condition=[0, 1, 2], seed=0)
        codes = labelled.sample_codes(3, condition=[0, 1, 2], seed=0)
        np.testing.assert_array_equal(each, labelled.decode(codes, condition=[0, 1, 2]))
        for call in (labelled.sample, labelled.sample_codes):
            with pytest.raises(ValueError, match="conditional: give `condition`"):
                call(3)
        with pytest.raises(ValueError, match="conditional: give"):
            labelled.log_likelihood(images)
        with pytest.raises(ValueError, match="from 0 to 2"):
            labelled.encode(images, condition=LABELS + 1)
        np.testing.assert_array_equal(
            labelled.predict(images, verbose=0), labelled.predict((images, LABELS), verbose=0)
        )

    @pytest.mark.turns
    def test_a_conditional_prior_learns_what_labels_look_like(self):
        """Two kinds of pictures: asked for one, it draws that one."""
        x = np.zeros((64, *SHAPE), "float32")
        y = np.arange(64) % 2
        x[y == 0, :4], x[y == 1, 4:] = 1.0, 1.0
        model = tiny(num_classes=2, condition_names=("top", "bottom"))
        model.fit(x, y, epochs=30, batch_size=16, verbose=0)
        model.fit_prior(
            x, y, epochs=30, batch_size=16, verbose=0, optimizer=keras.optimizers.Adam(0.01)
        )
        for label in range(2):
            drawn = model.sample(20, condition=label, seed=0).mean((2, 3))
            top = drawn[:, :4].mean(1) > drawn[:, 4:].mean(1)
            assert (top == (label == 0)).mean() >= 0.9

    def test_the_prior_alone_moves_in_fit_prior(self, images, labelled):
        before = {id(w): array(w) for w in labelled.weights}
        history = labelled.fit_prior(
            images, LABELS, epochs=3, validation_data=(images, LABELS), verbose=0
        ).history
        assert set(history) == {"loss", "val_loss"}
        own = {id(w) for w in labelled.prior.weights}
        for weight in labelled.weights:
            changed = (array(weight) != before[id(weight)]).any()
            assert changed == (id(weight) in own), weight.path
        expected = -labelled.code_log_prob(images, LABELS).mean()
        assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-5)
        with pytest.raises(ValueError, match="conditional: give `y`"):
            labelled.fit_prior(images)
        with pytest.raises(ValueError, match="must have shape"):
            labelled.fit_prior(images[..., 0], LABELS)

    @pytest.mark.parametrize("part", ["encoder", "decoder", "prior", "quantizer"])
    def test_a_frozen_part_stays(self, images, part):
        model = shaken(tiny(), 0.1)
        getattr(model, part).trainable = False
        before = {p: _copy(getattr(model, p)) for p in ("encoder", "decoder", "prior", "quantizer")}
        model.fit(images, epochs=2, batch_size=16, verbose=0)
        for other, weights in before.items():
            same = all((a == b).all() for a, b in zip(weights, getattr(model, other).get_weights()))
            assert same == (other == part)

    @pytest.mark.parametrize(
        "name, arguments, instead",
        [
            ("posterior", 1, r"`encode\(x\)`.*`code_log_prob\(x\)`"),
            ("interpolate", 2, r"`decode\(np.where\(mask"),
            ("traverse", 2, r"`decode\(z\)`"),
            ("edit", 2, r"`sample\(n, condition=...\)`"),
        ],
    )
    def test_what_has_no_meaning_says_what_has(self, images, model, name, arguments, instead):
        with pytest.raises(ValueError, match=instead):
            getattr(model, name)(*(images,) * arguments)


def _copy(part):
    return [w.copy() for w in part.get_weights()]


@pytest.mark.turns
class TestRefused:
    GOOD = np.zeros((2, 2, 2), "int32")

    @pytest.mark.parametrize(
        "codes, error, match",
        [
            (GOOD.astype("float32"), TypeError, "integers.*Received: dtype float32"),
            (GOOD.astype(bool), TypeError, "integers.*Received: dtype bool"),
            (np.array(["a"]), TypeError, "array of numbers"),
            (GOOD - 1, ValueError, "from 0 to 15. Received: codes from -1 to -1"),
            (GOOD + K, ValueError, "from 0 to 15. Received: codes from 16 to 16"),
            (GOOD[0], ValueError, r"single map add a batch axis: z\[None\]"),
            (np.zeros((2, 2, 3), "int32"), ValueError, r"\(n, 2, 2\). Received: shape \(2, 2, 3\)"),
            (GOOD[..., None], ValueError, r"\(n, 2, 2\). Received: shape \(2, 2, 2, 1\)"),
            (GOOD[:0], ValueError, "at least one example"),
        ],
    )
    def test_codes(self, images, model, codes, error, match):
        with pytest.raises(error, match=match):
            model.decode(codes)
        with pytest.raises(error, match=match):
            model.log_px(images[: len(codes)], codes)

    def test_integers_of_any_width_are_codes(self, model):
        expected = model.decode(self.GOOD + 3)
        for dtype in ("uint8", "int64", "int16"):
            np.testing.assert_array_equal(model.decode((self.GOOD + 3).astype(dtype)), expected)

    @pytest.mark.parametrize("temperature", [-1.0, np.nan, np.inf])
    def test_temperature(self, model, temperature):
        with pytest.raises(ValueError, match="`temperature` must be"):
            model.sample(1, temperature=temperature)

    @pytest.mark.parametrize(
        "options, match",
        [
            ({"network": "dense"}, "need network='conv' or 'residual'"),
            ({"network": "other"}, "`network` must be one of"),
            ({"num_classes": 2, "condition_dim": 2}, "at most one of"),
            ({"commitment": -1.0}, "`commitment` must be at least 0"),
            ({"num_codes": 1}, "`num_codes` must be"),
        ],
    )
    def test_arguments(self, options, match):
        with pytest.raises(ValueError, match=match):
            tiny(**options)

    def test_parts_that_do_not_fit(self):
        good, other = tiny(), tiny(num_codes=8)
        labelled, large = tiny(num_classes=3), tiny(units=(4,))
        for parts, match in (
            (
                (good.encoder, good.decoder, other.quantizer, good.prior),
                "codes. Received: 8 and 16",
            ),
            ((good.encoder, good.decoder, good.quantizer, labelled.prior), "model's conditions"),
            ((large.encoder, good.decoder, good.quantizer, good.prior), "encoder must give maps"),
            ((good.encoder, large.decoder, good.quantizer, good.prior), "decoder must take maps"),
        ):
            with pytest.raises(ValueError, match=match):
                models.VQVAE(*parts)

    def test_data_before_any_state_is_lost(self, images, model):
        before = model.get_weights()
        for call in (model.fit, model.fit_prior, model.encode, model.log_likelihood):
            with pytest.raises(ValueError, match="255"):
                call(images * 255)
            with pytest.raises(ValueError, match="finite"):
                call(images * np.nan)
        with pytest.raises(ValueError, match="`batch_size`"):
            model.fit_prior(images, batch_size=0)
        for a, b in zip(before, model.get_weights()):
            np.testing.assert_array_equal(a, b)


class TestSaving:
    @pytest.mark.turns
    @pytest.mark.parametrize("codebook", quantizers.CODEBOOKS)
    def test_files_keep_everything(self, images, codebook, tmp_path):
        names = ("a", "b", "c")
        model = tiny(network="residual", codebook=codebook, num_classes=3, condition_names=names)
        model.fit(images, LABELS, batch_size=16, epochs=2, verbose=0)
        model.save(tmp_path / "m.keras")
        model.save_weights(tmp_path / "m.weights.h5")
        path = zoo.save(model, tmp_path / "preset", golden=(images[:4], LABELS[:4]))
        fresh = tiny(network="residual", codebook=codebook, num_classes=3, seed=1)
        fresh.compile("adam")
        fresh.load_weights(tmp_path / "m.weights.h5")
        loaded = keras.saving.load_model(tmp_path / "m.keras")
        for other in (loaded, fresh, zoo.load(path)):
            assert type(other) is models.VQVAE
            for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
                np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(other.encode(images), model.encode(images))
            np.testing.assert_array_equal(
                other.sample(3, condition=2, seed=1), model.sample(3, condition=2, seed=1)
            )
        # Training goes on, the codebook's averages and the optimizer included.
        first, second = (
            m.fit(images, LABELS, batch_size=64, verbose=0, shuffle=False).history["loss"]
            for m in (model, loaded)
        )
        assert second == pytest.approx(first, rel=1e-5)
        for a, b in zip(model.get_weights(), loaded.get_weights()):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    def test_the_same_seed_gives_the_same_model(self, images):
        first, second, other = (tiny(seed=s).get_weights() for s in (3, 3, 4))
        assert all((a == b).all() for a, b in zip(first, second))
        assert any((a != b).any() for a, b in zip(first, other))

    def test_metadata_says_what_the_codes_are(self, model, tmp_path):
        info = zoo.info(zoo.save(model, tmp_path / "preset"))
        assert info["latent_dim"] == D
        assert info["codes"] == {"shape": [2, 2], "number": K}
        assert "2×2 codes of 16" in str(info)


def test_maps_of_other_sizes(rng):
    """Pictures that no power of two divides are padded inside, and cut again."""
    x = make_images(rng, 16, (10, 7, 3))
    model = models.vq_vae(
        (10, 7, 3), 3, "conv", (4, 6), num_codes=8, prior_channels=4, prior_depth=1, seed=0
    )
    model.fit(x, verbose=0)
    assert model.code_shape == (3, 2) and model.encode(x).shape == (16, 3, 2)
    assert model.reconstruct(x).shape == model.sample(16).shape == x.shape


@pytest.mark.once
def test_what_a_prior_does_not_know_is_refused_by_name():
    model = models.vq_model(
        block_out_channels=(8,), layers_per_block=1, norm_num_groups=4, latent_channels=2
    )
    with pytest.raises(ValueError, match="knows no top_k: leave it out.*UniformCodes"):
        model.sample(2, map_shape=(4, 4), top_k=3)
