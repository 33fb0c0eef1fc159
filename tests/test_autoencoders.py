"""Sparse and denoising autoencoders against formulas, and the known defects."""

import keras
import numpy as np
import pytest
from autodiff import gradient
from conftest import SHAPE, array, make_images
from keras import ops

from keras_vae import corruption, metrics, objectives, posteriors, zoo
from keras_vae import models as m
from keras_vae.models import probes

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns


def tensor(value):
    return ops.convert_to_tensor(np.asarray(value, "float32"))


def pictures(n=6, seed=0):
    return make_images(np.random.default_rng(seed), n)


def losses(model, x, training=False):
    """Loss and terms of each example; there is no noise in the codes."""
    found = model.evidence(ops.convert_to_tensor(x), training=training)
    loss, terms = model.objective(found)
    return array(loss), {name: array(value) for name, value in terms.items()}


def cross_entropy(x, p):
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3))


class TestSparseCode:
    def test_exactly_k_units_are_kept_in_training_and_alpha_k_else(self, rng):
        layer = posteriors.SparsePoint(9, k=3, alpha=1.7)
        code = rng.normal(size=(50, 9)).astype("float32")
        for q, kept in (
            (layer.training_distribution(0, tensor(code)), 3),
            (layer.distribution(tensor(code)), 5),
        ):
            found = array(q.center)
            assert ((found != 0).sum(-1) == kept).all()
            least = np.sort(code)[:, -kept, None]
            np.testing.assert_array_equal(found, np.where(code >= least, code, 0))

    def test_equal_units_do_not_make_more_of_them(self):
        """A threshold at the k-th largest keeps all of them."""
        found = array(posteriors.largest(tensor([[1.0, 2.0, 1.0, 1.0], [5.0] * 4]), 2))
        np.testing.assert_array_equal((found != 0).sum(-1), [2, 2])
        np.testing.assert_array_equal(found.sum(-1), [3, 10])

    def test_alpha_keeps_all_units_at_most(self):
        layer = posteriors.SparsePoint(4, k=3, alpha=9.0)
        code = tensor(np.arange(1.0, 9.0).reshape(2, 4))
        np.testing.assert_array_equal(array(layer.distribution(code).center), array(code))

    def test_the_gradient_reaches_the_units_that_are_kept_only(self, rng):
        code = rng.normal(size=(3, 6)).astype("float32")
        weights = rng.normal(size=(3, 6)).astype("float32")
        found = gradient(lambda z: ops.sum(tensor(weights) * posteriors.largest(z, 2)), code)
        kept = array(posteriors.largest(tensor(code), 2)) != 0
        np.testing.assert_allclose(found, np.where(kept, weights, 0), rtol=1e-6)

    def test_a_trained_model_encodes_with_alpha_k_units(self, images):
        model = m.sparse_autoencoder(SHAPE, 12, units=(), k=3, alpha=2.0, seed=0)
        model.fit(images, epochs=2, verbose=0)
        assert ((model.encode(images) != 0).sum(-1) == 6).all()
        np.testing.assert_allclose(metrics.active_share(model, images, threshold=0.0), 0.5)

    def test_a_sparse_code_that_keeps_all_is_the_plain_autoencoder(self):
        x = pictures()
        plain = m.autoencoder(SHAPE, 4, units=(8,), seed=3)
        sparse = m.sparse_autoencoder(SHAPE, 4, units=(8,), k=4, seed=3)
        np.testing.assert_allclose(losses(sparse, x)[0], losses(plain, x)[0], rtol=1e-6)

    @pytest.mark.parametrize(
        "bad, message",
        [
            ({"k": 0}, "k=0"),
            ({"k": 5}, "from 1 to the number of units, 4.*k=5"),
            ({"alpha": 0.5}, "alpha=0.5"),
            ({"weight": 1.0}, "has none. Received: weight=1.0"),
            ({"layer_weights": [1.0]}, r"has none.*layer_weights=\[1.0\]"),
            ({"sparsity": "kl", "layer_weights": [1.0]}, "are those of 'l1' and 'l2'"),
            ({"sparsity": "l1", "layer_weights": [1.0]}, "each of the encoder's 0 hidden"),
            ({"sparsity": "l1", "layer_weights": [-1.0], "units": (3,)}, "layer_weights=-1.0"),
            ({"sparsity": "l3"}, "sparsity='l3'"),
            ({"sparsity": "kl", "target": 1.0}, "target=1.0"),
            ({"sparsity": "l1", "weight": -1.0}, "weight=-1.0"),
            ({"sparsity": "kl", "code_activation": "relu"}, "must be 'sigmoid'.*'relu'"),
            ({"code_activation": "sigmoid"}, "must be None.*'sigmoid'"),
        ],
    )
    def test_bad_arguments(self, bad, message):
        with pytest.raises(ValueError, match=message):
            m.sparse_autoencoder(SHAPE, 4, **{"k": 2, **bad} if "sparsity" not in bad else bad)


class TestPenalties:
    @pytest.mark.parametrize("penalty", objectives.PENALTIES)
    def test_they_are_the_formula(self, penalty):
        x = pictures()
        model = m.sparse_autoencoder(
            SHAPE, 5, units=(8,), sparsity=penalty, weight=7.0, target=0.2, seed=1
        )
        z = model.encode(x).astype("float64")
        mean = z.mean(0)
        expected = {
            "l1": np.abs(z).sum(-1),
            "l2": np.square(z).sum(-1),
            "kl": np.full(
                6, (0.2 * np.log(0.2 / mean) + 0.8 * np.log(0.8 / (1 - mean))).sum()
            ) if penalty == "kl" else None,
        }[penalty]  # fmt: skip
        loss, terms = losses(model, x)
        np.testing.assert_allclose(terms["sparsity_loss"], expected, rtol=1e-5)
        rebuilt = cross_entropy(x, array(model.reconstruct(x)).astype("float64"))
        np.testing.assert_allclose(terms["reconstruction_loss"], rebuilt, rtol=1e-4)
        np.testing.assert_allclose(loss, rebuilt + 7.0 * expected, rtol=1e-4)

    @pytest.mark.parametrize("penalty", ["l1", "l2"])
    def test_hidden_layers_count_with_weights_of_their_own(self, penalty):
        x = pictures()
        model = m.sparse_autoencoder(
            SHAPE, 3, units=(8, 5), activation="tanh", sparsity=penalty, weight=2.0,
            layer_weights=[0.5, 3.0], seed=1,
        )  # fmt: skip
        values, total = x.reshape(6, -1).astype("float64"), 0.0
        weights = [*model.encoder.get_weights(), *model.posterior_layer.get_weights()]
        for omega, kernel, bias in zip((0.5, 3.0, 1.0), weights[::2], weights[1::2]):
            values = values @ kernel + bias
            values = np.tanh(values) if kernel.shape[1] != 3 else values
            total = total + omega * (np.abs(values) ** (1 if penalty == "l1" else 2)).sum(-1)
        loss, terms = losses(model, x, training=True)
        np.testing.assert_allclose(terms["sparsity_loss"], total, rtol=1e-5)
        np.testing.assert_allclose(loss, terms["reconstruction_loss"] + 2 * total, rtol=1e-5)

    def test_hidden_layers_are_pressed_on_in_a_step(self, images):
        def size(omega):
            model = m.sparse_autoencoder(
                SHAPE, 3, units=(8,), sparsity="l1", weight=10.0, layer_weights=[omega], seed=1
            )
            model.compile(keras.optimizers.SGD(1e-3))
            model.fit(images, epochs=3, shuffle=False, verbose=0)
            return array(probes.hidden(model, tensor(images))[0]).sum()

        assert size(5.0) < 0.9 * size(0.0)

    def test_mean_activations_on_target_cost_nothing_and_others_the_more_the_farther(self):
        objective = objectives.Sparse("kl", target=0.3)
        at = [float(array(objective._divergence(tensor([a, 0.3])))) for a in (0.3, 0.4, 0.9, 1.0)]
        assert at[0] == pytest.approx(0.0, abs=1e-5)
        assert 0.01 < at[1] < at[2] < at[3] < np.inf

    def test_a_unit_that_has_gone_out_is_lit_again(self):
        """At 0 the divergence is finite and its gradient asks for more."""
        slope = gradient(objectives.Sparse("kl")._divergence, np.zeros(3, "float32"))
        assert np.isfinite(slope).all() and (slope < -1).all()

    def test_the_mean_is_over_the_batch_and_not_a_sum(self):
        """Twice the same examples are the same penalty."""
        x = pictures()
        model = m.sparse_autoencoder(SHAPE, 5, units=(8,), sparsity="kl", seed=1)
        once, twice = (losses(model, a)[1]["sparsity_loss"] for a in (x, np.concatenate([x, x])))
        np.testing.assert_allclose(twice[:6], once, rtol=1e-5)

    @pytest.mark.parametrize("penalty, weight", [("l1", 3.0), ("l2", 3.0), ("kl", 30.0)])
    @pytest.mark.slow
    def test_training_with_them_makes_codes_sparser(self, penalty, weight, images):
        def trained(weight):
            model = m.sparse_autoencoder(
                SHAPE, 10, units=(), sparsity=penalty, weight=weight, seed=0
            )
            model.compile(keras.optimizers.Adam(1e-2))
            model.fit(images, epochs=60, batch_size=32, verbose=0)
            return model.encode(images)

        without, sparse = trained(0.0), trained(weight)
        if penalty == "kl":
            assert abs(sparse.mean() - 0.05) < 0.5 * abs(without.mean() - 0.05)
        else:
            assert np.abs(sparse).mean() < 0.6 * np.abs(without).mean()


class TestCorruption:
    N = 200_000

    def test_gaussian_has_its_mean_and_deviation(self, rng):
        x = rng.random(self.N).astype("float32")
        change = corruption.Gaussian(0.4).corrupt(x, seed=1) - x
        assert abs(change.mean()) < 5 * 0.4 / self.N**0.5
        assert change.std() == pytest.approx(0.4, rel=0.01)
        assert abs(np.corrcoef(change, x)[0, 1]) < 5 / self.N**0.5

    def test_masking_puts_0_at_its_rate_and_leaves_the_rest(self, rng):
        x = 0.5 + rng.random(self.N).astype("float32")
        found = corruption.Masking(0.3).corrupt(x, seed=1)
        masked = found == 0
        assert masked.mean() == pytest.approx(0.3, abs=5 * 0.5 / self.N**0.5)
        np.testing.assert_array_equal(found[~masked], x[~masked])

    def test_salt_and_pepper_puts_both_equally_often(self, rng):
        x = 0.2 + 0.6 * rng.random(self.N).astype("float32")
        found = corruption.SaltAndPepper(0.3, low=-1.0, high=2.0).corrupt(x, seed=1)
        for value in (-1.0, 2.0):
            assert (found == value).mean() == pytest.approx(0.15, abs=5 * 0.5 / self.N**0.5)
        rest = (found != -1) & (found != 2)
        np.testing.assert_array_equal(found[rest], x[rest])

    @pytest.mark.parametrize("name", ["gaussian", "masking", "salt_and_pepper"])
    def test_in_a_step_it_is_the_same_with_other_noise(self, name):
        found = corruption.get(name)
        x = np.random.default_rng(0).random((50, *SHAPE), "float32")
        seed = keras.random.SeedGenerator(0)
        first, second = (array(found(tensor(x), seed)) for _ in range(2))
        assert (first != second).any()
        by_numpy = found.corrupt(x, seed=5)
        assert first.std() == pytest.approx(by_numpy.std(), rel=0.05)
        changed = (first != x).mean()
        assert changed == pytest.approx((by_numpy != x).mean(), abs=0.05)
        np.testing.assert_array_equal(by_numpy, found.corrupt(x, seed=5))
        assert (by_numpy != found.corrupt(x, seed=1)).any()
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(found))
        np.testing.assert_array_equal(again.corrupt(x, 3), found.corrupt(x, 3))

    def test_none_of_it_is_the_data(self):
        x = np.random.default_rng(0).random((3, 4), "float32")
        for nothing in (
            corruption.Gaussian(0.0),
            corruption.Masking(0.0),
            corruption.SaltAndPepper(0.0),
        ):
            np.testing.assert_array_equal(nothing.corrupt(x), x)
        np.testing.assert_array_equal(corruption.Masking(1.0).corrupt(x), 0 * x)

    def test_bad_arguments(self):
        for make, message in (
            (lambda: corruption.Gaussian(-1), "stddev=-1"),
            (lambda: corruption.Masking(1.5), "rate=1.5"),
            (lambda: corruption.SaltAndPepper(rate=-0.1), "rate=-0.1"),
            (lambda: corruption.SaltAndPepper(low=1.0), "low=1.0, high=1.0"),
            (lambda: corruption.get("blur"), "corruption='blur'"),
            (lambda: m.denoising_autoencoder(corruption="blur"), "corruption='blur'"),
        ):
            with pytest.raises(ValueError, match=message):
                make()


class Negative(corruption.Corruption):
    """Turns pictures into their negatives: nothing is random."""

    def transform(self, x, noise):
        return 1.0 - x


class TestDenoising:
    def model(self, kind="masking", **kwargs):
        return m.denoising_autoencoder(
            SHAPE, 3, units=(8,), corruption=kind, seed=2, **kwargs
        )  # fmt: skip

    def test_the_code_is_of_the_corrupted_data_and_the_target_is_the_clean_data(self):
        """Swapped, or corrupted both, the loss is another number."""
        x = pictures()
        model, plain = self.model(Negative()), m.autoencoder(SHAPE, 3, units=(8,), seed=2)
        p = plain.reconstruct(1 - x).astype("float64")
        loss, _ = losses(model, x, training=True)
        np.testing.assert_allclose(loss, cross_entropy(x, p), rtol=1e-4)
        for wrong in (cross_entropy(1 - x, p), losses(plain, x)[0], losses(plain, 1 - x)[0]):
            assert np.abs(loss - wrong).min() > 1e-2

    def test_what_fit_logs_has_the_clean_target(self):
        """The step itself, not only the evidence: a constant code, and known pictures."""
        x = np.ones((16, *SHAPE), "float32")
        model = self.model(corruption.Masking(1.0))
        model.decoder.set_weights([0 * w for w in model.decoder.get_weights()])
        model.decoder.layers[-2].bias.assign(np.full(64, 2.0, "float32"))
        model.compile(keras.optimizers.SGD(0.0))
        clean = 64 * np.log1p(np.exp(-2.0))
        logged = model.fit(x, verbose=0).history["reconstruction_loss"][0]
        # All masked the target would be 0, and cost 64 log(1 + e²).
        assert logged == pytest.approx(clean, rel=1e-5)

    def test_nothing_is_corrupted_outside_training(self):
        x = pictures()
        model, plain = self.model(Negative()), m.autoencoder(SHAPE, 3, units=(8,), seed=2)
        np.testing.assert_allclose(losses(model, x)[0], losses(plain, x)[0], rtol=1e-6)
        logs = model.evaluate(x, verbose=0, return_dict=True)
        assert logs["loss"] == pytest.approx(losses(plain, x)[0].mean(), rel=1e-5)
        for method in ("encode", "reconstruct"):
            np.testing.assert_array_equal(getattr(model, method)(x), getattr(plain, method)(x))
        np.testing.assert_allclose(model.predict(x, verbose=0), plain.reconstruct(x), atol=1e-5)

    def test_denoise_is_reconstruct_and_takes_what_noise_made(self):
        model = self.model("gaussian")
        x = pictures()
        np.testing.assert_array_equal(model.denoise(x), model.reconstruct(x))
        noisy = corruption.Gaussian(1.0).corrupt(x)
        assert noisy.min() < 0 and noisy.max() > 1
        with pytest.raises(ValueError, match="must lie in"):
            model.reconstruct(noisy)
        rebuilt = array(model(tensor(noisy)))
        np.testing.assert_allclose(model.denoise(noisy), rebuilt, atol=1e-5)
        np.testing.assert_array_equal(model.denoise(noisy), model.denoise(noisy))
        with pytest.raises(ValueError, match="finite"):
            model.denoise(np.full_like(x, np.nan))
        with pytest.raises(ValueError, match="shape"):
            model.denoise(x[0])

    def test_noise_differs_from_step_to_step_and_follows_the_seed(self):
        """One repeated draw of noise would be learned by heart."""
        x = np.random.default_rng(0).random((20, *SHAPE), "float32")

        def logged(seed):
            keras.utils.set_random_seed(5)
            model = m.denoising_autoencoder(SHAPE, 3, units=(8,), corruption="masking", seed=seed)
            model.set_weights([w for w in self.model().get_weights()])
            model.compile(keras.optimizers.SGD(0.0))
            return model.fit(x, epochs=3, batch_size=20, shuffle=False, verbose=0).history["loss"]

        first = logged(1)
        assert len(set(first)) == 3
        np.testing.assert_array_equal(first, logged(1))

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["gaussian", "masking", "salt_and_pepper"])
    def test_it_removes_noise_and_better_than_an_autoencoder_that_saw_none(self, kind):
        x, held_out = pictures(400, 1), pictures(64, 2)
        noisy = corruption.get(kind).corrupt(held_out, seed=0)

        def error(make, **kwargs):
            model = make(SHAPE, 8, units=(32,), seed=0, likelihood="optimal_normal", **kwargs)
            model.likelihood.data_range = None
            model.compile(keras.optimizers.Adam(5e-3))
            model.fit(x, epochs=60, batch_size=50, verbose=0)
            return np.square(model.reconstruct(noisy) - held_out).mean()

        denoised = error(m.denoising_autoencoder, corruption=kind)
        assert denoised < 0.5 * np.square(noisy - held_out).mean()
        assert denoised < 0.8 * error(m.autoencoder)

    def test_corruption_is_saved_and_other_parts_keep_it(self, tmp_path, images):
        model = self.model(corruption.SaltAndPepper(0.4, -1.0, 1.0))
        zoo.save(model, tmp_path / "preset")
        model.save(tmp_path / "m.keras")
        for other in (
            zoo.load(tmp_path / "preset"),
            keras.saving.load_model(tmp_path / "m.keras"),
            model.with_fitted_prior(images),
        ):
            assert isinstance(other, m.DenoisingAutoencoder)
            assert other.corruption.get_config() == {"rate": 0.4, "low": -1.0, "high": 1.0}

    def test_a_variational_model_can_denoise_too(self):
        model = m.vae(
            SHAPE, 3, units=(8,), seed=2,
            model_class=lambda *a, **k: m.DenoisingAutoencoder(*a, corruption=Negative(), **k),
        )  # fmt: skip
        x = ops.convert_to_tensor(pictures())
        seen = array(model.evidence(x, training=True).q.mean)
        np.testing.assert_allclose(seen, model.encode(1 - pictures()), atol=1e-5)


def test_active_share_counts_units_beside_the_largest(rng):
    x = pictures(2)
    model = m.autoencoder(SHAPE, 4, units=(), seed=0)
    code = np.array([[10.0, 2.0, -0.5, 0.0], [-1.0, 0.5, 0.2, 0.3]])
    model.encode = lambda x, condition=None: code
    np.testing.assert_allclose(metrics.active_share(model, x), [0.5, 1.0])
    np.testing.assert_allclose(metrics.active_share(model, x, threshold=0.25), [0.25, 0.75])
    np.testing.assert_allclose(metrics.active_share(model, x, threshold=0.0), [0.75, 1.0])
    with pytest.raises(ValueError, match="threshold=2"):
        metrics.active_share(model, x, threshold=2)


@pytest.mark.parametrize(
    "make",
    [m.autoencoder, m.sparse_autoencoder, m.denoising_autoencoder, m.contractive_autoencoder],
)
def test_collapse_of_codes_without_noise(make, images):
    model = make(SHAPE, 30, units=(8,), seed=0)
    with pytest.raises(ValueError, match="active_units.*Received: posterior=.*Point"):
        metrics.kl_per_dimension(model, images)
    report = metrics.collapse_report(model, images)
    assert report.kl is None and "KL n/a" in str(report)
    assert report.active.shape == (30,) and np.isfinite(report.used)
