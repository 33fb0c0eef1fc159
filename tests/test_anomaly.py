"""Detectors of anomalies: scores that are known, thresholds, and scikit-learn's protocol."""

import keras
import numpy as np
import pytest

from keras_vae import likelihoods, models
from keras_vae.anomaly import Detector, _mutated
from tests.support.linear import linear_gaussian

pytestmark = pytest.mark.turns


def small(shape, **kwargs):
    likelihood = likelihoods.Normal(data_range=None)
    model = models.vae(shape, 2, units=(16,), likelihood=likelihood, seed=0, **kwargs)
    model.compile(keras.optimizers.Adam(1e-2))
    return model


def planted(n=200, outliers=20, seed=0):
    """Points about a line, and some far from it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 1)) * [1.0, 0.5, -1.0, 2.0] + 0.1 * rng.normal(size=(n, 4))
    x[:outliers] = 2.0 * rng.normal(size=(outliers, 4))
    return x, np.arange(n) < outliers


class TestScores:
    def test_the_bound_ranks_as_mahalanobis_distances(self, rng):
        """The model is probabilistic PCA: log p(x) = c - ½ (x - b)ᵀ (W Wᵀ + σ² I)⁻¹ (x - b)."""
        model, x, log_px = linear_gaussian(rng, d=6, k=1)
        detector = Detector(model, epochs=0).fit(x)
        assert detector.model_ is model and detector.background_ is None
        weights, bias = (w.astype("float64") for w in model.decoder.get_weights())
        off = x - bias
        inverse = np.linalg.inv(weights.T @ weights + 0.5 * np.eye(6))
        distances = np.einsum("ni,ij,nj->n", off, inverse, off)
        np.testing.assert_array_equal(np.argsort(detector.decision_scores_), np.argsort(distances))
        np.testing.assert_allclose(detector.decision_scores_, -log_px, atol=1e-3)
        differences = np.ptp(detector.decision_scores_ - 0.5 * distances)
        assert differences < 1e-3

    def test_the_reconstruction_is_that_of_the_mean_code(self, rng):
        model, x, _ = linear_gaussian(rng)
        detector = Detector(model, "reconstruction", epochs=0).fit(x)
        error = np.square(model.reconstruct(x) - x).sum(axis=1)
        expected = error + 3 * np.log(2 * np.pi * 0.5)
        np.testing.assert_allclose(detector.decision_scores_, expected, rtol=1e-4)

    def test_the_ratio_is_the_difference_of_two_bounds(self):
        x, _ = planted()
        detector = Detector(small, "likelihood_ratio", epochs=3).fit(x)
        ours, theirs = (
            m.log_likelihood(x, 50, seed=0, verbose=False)
            for m in (detector.model_, detector.background_)
        )
        np.testing.assert_allclose(detector.decision_scores_, theirs - ours, rtol=1e-6)
        assert np.abs(ours - theirs).max() > 1e-3

    @pytest.mark.parametrize(
        "score, least", [("bound", 0.95), ("reconstruction", 0.98), ("likelihood_ratio", 0.75)]
    )
    def test_planted_anomalies_are_found(self, score, least):
        x, outlier = planted()
        detector = Detector(small, score, epochs=100, batch_size=50).fit(x)
        scores = detector.decision_scores_
        # The area under the ROC curve: how often an anomaly is above another example.
        area = (scores[outlier][:, None] > scores[~outlier]).mean()
        assert area > least
        assert detector.labels_[outlier].mean() > 0.5 > 10 * detector.labels_[~outlier].mean()

    @pytest.mark.once
    def test_mutated_values_are_of_other_examples_and_categories_stay_whole(self, rng):
        x = np.arange(4000.0).reshape(1000, 4)
        found = _mutated(x, rng, None)
        assert (found % 4 == np.arange(4)).all()
        assert (found != x).mean() == pytest.approx(0.2, abs=0.02)
        onehot = np.eye(3)[rng.integers(0, 3, 1000)]
        both = _mutated(np.hstack([onehot, onehot]), rng, (3, 3))
        np.testing.assert_array_equal(both.reshape(1000, 2, 3).sum(-1), 1.0)
        assert (both[:, :3] != both[:, 3:]).any(axis=1).mean() == pytest.approx(0.24, abs=0.05)


class TestThreshold:
    @pytest.mark.parametrize("contamination", [0.05, 0.1, 0.25, 0.5])
    def test_it_is_the_quantile_of_the_contamination(self, rng, contamination):
        model, x, _ = linear_gaussian(rng)
        detector = Detector(model, contamination=contamination, epochs=0).fit(x)
        scores = np.sort(detector.decision_scores_)
        place = 19 * (1.0 - contamination)
        low = int(place)
        expected = scores[low] + (place - low) * (scores[min(low + 1, 19)] - scores[low])
        assert detector.threshold_ == pytest.approx(expected, rel=1e-12)
        assert detector.labels_.sum() == 20 * contamination
        np.testing.assert_array_equal(detector.labels_, detector.predict(x))
        np.testing.assert_array_equal(
            detector.predict(x), detector.decision_function(x) > detector.threshold_
        )
        np.testing.assert_array_equal(detector.fit_predict(x), detector.labels_)


class TestFit:
    def test_it_trains_a_copy_with_the_models_optimizer(self):
        x, _ = planted()
        model = small((4,))
        model.compile(keras.optimizers.SGD(1e-3))
        before = model.get_weights()
        keras.utils.set_random_seed(1)
        detector = Detector(model, epochs=2).fit(x)
        for weights, old in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(weights, old)
        assert isinstance(detector.model_.optimizer, keras.optimizers.SGD)
        assert int(keras.ops.convert_to_numpy(detector.model_.step)) == 4
        first = detector.decision_scores_
        keras.utils.set_random_seed(1)
        np.testing.assert_allclose(detector.fit(x).decision_scores_, first, rtol=1e-6)
        assert np.abs(Detector(model, epochs=0).fit(x).decision_scores_ - first).max() > 1e-3

    def test_tables_with_missing_values(self):
        table = {
            "size": np.r_[np.full(40, 1.0) + np.linspace(-0.1, 0.1, 40), 50.0],
            "kind": np.array(["a", "b"] * 20 + [None], object),
        }
        columns = likelihoods.Columns({"size": "normal", "kind": ["a", "b"]})
        model = models.miwae((3,), 2, units=(8,), likelihood=columns, samples=2, seed=0)
        detector = Detector(model, contamination=0.01, epochs=2).fit(table)
        assert detector.labels_.tolist() == [0] * 40 + [1] and detector.n_features_in_ == 3
        ratio = Detector(model, "likelihood_ratio", epochs=2).fit(table)
        assert np.isfinite(ratio.decision_function(table)).all()
        assert ratio.background_.likelihood.get_config() == ratio.model_.likelihood.get_config()

    @pytest.mark.once
    @pytest.mark.parametrize(
        "arguments, error, match",
        [
            ({"score": "best"}, ValueError, "`score` must be one of.*'best'"),
            ({"contamination": 0.6}, ValueError, "at most 0.5.*0.6"),
            ({"epochs": -1}, ValueError, "`epochs` must be.*-1"),
            ({"epochs": 0, "score": "likelihood_ratio"}, ValueError, "second model"),
            (
                {"model": lambda s: keras.Input(s)},
                TypeError,
                "or a function.*Received: KerasTensor",
            ),
            ({"model": 3}, TypeError, "Received: int"),
            ({"model": lambda s: models.cvae(s, 2, num_classes=2)}, ValueError, "unconditional"),
            ({"model": lambda s: models.autoencoder(s, 2)}, ValueError, "no bound on log p"),
            ({"model": lambda s: models.vae(s, 2)}, ValueError, r"`X` must lie in \[0, 1\]"),
        ],
    )
    def test_what_it_refuses(self, arguments, error, match):
        with pytest.raises(error, match=match):
            Detector(**{"model": small, **arguments}).fit(planted()[0])

    @pytest.mark.once
    def test_before_fit(self):
        with pytest.raises(ValueError, match=r"call `fit\(X\)` first"):
            Detector(small).predict(planted()[0])


@pytest.mark.once
class TestParameters:
    def test_they_are_those_of_the_constructor(self):
        detector = Detector(small, "reconstruction", contamination=0.2)
        expected = {
            "model": small,
            "score": "reconstruction",
            "contamination": 0.2,
            "epochs": 100,
            "batch_size": 128,
            "seed": 0,
        }
        assert detector.get_params() == expected
        assert detector.set_params(epochs=3, score="bound") is detector
        assert detector.get_params() == {**expected, "epochs": 3, "score": "bound"}
        with pytest.raises(ValueError, match="Received: colour"):
            detector.set_params(seed=1, colour="red")
        assert detector.seed == 0
        assert "score='bound', contamination=0.2, epochs=3" in repr(detector)

    def test_it_is_cloned_and_stands_in_pipelines(self):
        base = pytest.importorskip("sklearn.base")
        from sklearn.exceptions import NotFittedError
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        x, outlier = planted()
        detector = Detector(small, epochs=1).fit(x)
        clone = base.clone(detector)
        assert clone.get_params() == detector.get_params() and not hasattr(clone, "threshold_")
        assert base.is_outlier_detector(clone)
        pipeline = make_pipeline(StandardScaler(), clone)
        with pytest.raises(NotFittedError):
            pipeline.predict(x)
        pipeline.set_params(detector__contamination=0.5).fit(x)
        assert pipeline.predict(x).sum() == len(x) // 2
        scaled = StandardScaler().fit_transform(x)
        np.testing.assert_allclose(
            pipeline.decision_function(x), clone.decision_function(scaled), rtol=1e-6
        )

    @pytest.mark.parametrize(
        "name",
        [
            "check_dict_unchanged",
            "check_estimators_dtypes",
            "check_estimators_overwrite_params",
            "check_fit2d_1feature",
            "check_get_params_invariance",
            "check_n_features_in",
            "check_set_params",
        ],
    )
    def test_checks_of_scikit_learn(self, name):
        checks = pytest.importorskip("sklearn.utils.estimator_checks")
        getattr(checks, name)("Detector", Detector(small, epochs=1))
