"""Data with missing values: densities, bounds and imputation against exact ones."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import likelihoods, models
from tests.support import SHAPE, array, reference, tensor
from tests.support.autodiff import jacobian

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns

NAN = np.float32(np.nan)


def tiny(**kwargs):
    return models.miwae(SHAPE, 2, **{"units": (8,), "seed": 0, "samples": 3, **kwargs})


@pytest.fixture
def holes(images, rng):
    return models.mark_missing(images, rng.random(images.shape) < 0.5)


class TestObserved:
    def test_it_sums_over_what_is_known(self, rng):
        x, outputs = rng.random((3, 4)).astype("float32"), rng.normal(size=(2, 3, 4))
        expected = reference.bernoulli_log_prob(x, outputs)
        expected[:, 0, 1:3] = 0
        expected[:, 2] = 0
        x[0, 1:3] = x[2] = NAN
        found = array(likelihoods.Observed("bernoulli").log_prob(tensor(x), tensor(outputs)))
        np.testing.assert_allclose(found, expected.sum(-1), rtol=1e-5)

    def test_missing_values_have_no_gradient_and_spoil_none(self):
        x = tensor([[0.2, np.nan, 0.9]])
        for layer in ("normal", "bernoulli", "logcosh"):
            observed = likelihoods.Observed(layer)
            slope = jacobian(
                lambda out: observed.log_prob(x, ops.reshape(out, (1, 1, 3)))[0],  # noqa: B023
                [0.1, 0.2, 0.3],
            )[0]
            assert np.isfinite(slope).all() and slope[1] == 0 and slope[0] != 0

    def test_dynamic_binarisation_keeps_the_holes(self, rng):
        x = np.where(rng.random((50, 4)) < 0.5, NAN, 0.5).astype("float32")
        layer = likelihoods.Observed("dynamic_bernoulli")
        drawn = array(layer.observe(tensor(x), keras.random.SeedGenerator(0)))
        for found in (drawn, layer.observe_numpy(x, rng)):
            np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
            assert set(np.unique(found[~np.isnan(found)])) == {0.0, 1.0}

    def test_what_looks_at_more_than_a_pixel_is_refused(self):
        with pytest.raises(ValueError, match="single pixels.*variance='optimal'"):
            likelihoods.Observed(likelihoods.Normal("optimal"))
        with pytest.raises(ValueError, match="single pixels.*MSSSIM"):
            likelihoods.Observed(likelihoods.MSSSIM())


class TestInput:
    def test_a_mask_is_the_same_as_marks(self, images, rng):
        missing = rng.random(images.shape) < 0.3
        runs = []
        for x, kwargs in (
            (models.mark_missing(images, missing), {}),
            (images, {"missing": missing}),
            (np.where(missing, 7.0, images).astype("float32"), {"missing": missing}),
        ):
            model = tiny()
            runs.append(model.fit(x, batch_size=16, verbose=0, shuffle=False, **kwargs).history)
        assert runs[0]["loss"] == runs[1]["loss"] == runs[2]["loss"]
        with pytest.raises(ValueError, match="booleans.*shape"):
            tiny().fit(images, missing=missing[:2])

    def test_only_this_model_takes_nan(self, holes):
        assert np.isfinite(tiny().encode(holes)).all()
        with pytest.raises(ValueError, match="`x` must be finite"):
            models.vae(SHAPE, 2, units=(8,)).encode(holes)
        with pytest.raises(ValueError, match="`x` must be finite"):
            models.iwae(SHAPE, 2, units=(8,), samples=2).fit(holes)
        wrong = holes.copy()
        wrong[0, 0, 0] = np.inf
        with pytest.raises(ValueError, match="1 NaN or infinite"):
            tiny().encode(wrong)
        wrong[0, 0, 0] = 2.0
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            tiny().encode(wrong)

    def test_what_is_missing_does_not_matter(self, holes):
        """Neither to codes nor to the bound, whatever the value was."""
        model = tiny()
        zero = np.where(np.isnan(holes), 0.0, holes).astype("float32")
        np.testing.assert_array_equal(model.encode(holes), model.encode(zero))
        whole = model.log_likelihood(zero[:4], 5, verbose=False)
        assert (model.log_likelihood(holes[:4], 5, verbose=False) > whole).all()

    def test_a_row_without_any_value(self):
        x = np.full((2, *SHAPE), NAN)
        model = tiny()
        np.testing.assert_allclose(model.log_likelihood(x, 20_000, verbose=False), 0.0, atol=0.05)
        assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()

    def test_without_holes_it_is_the_iwae(self, images):
        iwae = models.iwae(
            SHAPE, 2, units=(8,), likelihood="bernoulli", samples=3, seed=0, activation="relu"
        )
        noise = np.random.default_rng(0).standard_normal((3, 64, 2), "float32")
        first, second = (
            array(m.objective(m.evidence(ops.convert_to_tensor(images), noise=noise))[0])
            for m in (iwae, tiny())
        )
        np.testing.assert_allclose(first, second, rtol=1e-6)

    def test_a_data_set_of_batches(self, holes):
        model = tiny()
        batches = ((holes[i : i + 16],) for i in (0, 16, 32))
        history = model.fit(batches, steps_per_epoch=3, verbose=0).history
        assert np.isfinite(history["loss"]).all()


class TestLinearGaussian:
    """Decoder x = Wz + b + noise, an encoder that is any but right: exact answers exist."""

    def setup_method(self):
        rng = np.random.default_rng(2)
        self.variance, d, k = 0.4, 5, 2
        self.weights, self.bias = rng.normal(size=(d, k)), rng.normal(size=d)
        self.model = models.miwae(
            (d,), k, units=(), seed=0,
            likelihood=likelihoods.Normal(self.variance, data_range=None),
        )  # fmt: skip
        layer = self.model.posterior_layer
        # Wider than the posterior, so that no weight is far above the others.
        kernel, _ = layer.get_weights()
        layer.set_weights([0.1 * kernel, np.array([0.0, 0.0, 0.8, 0.8])])
        self.model.decoder.set_weights([self.weights.T, self.bias])
        x = rng.normal(size=(6, k)) @ self.weights.T + self.bias
        self.x = (x + self.variance**0.5 * rng.normal(size=x.shape)).astype("float32")
        self.missing = np.zeros((6, d), bool)
        for row, columns in enumerate(([0], [1, 3], [2, 3, 4], [0, 1, 2, 3], [], [4, 0])):
            self.missing[row, columns] = True

    def exact(self):
        """E[x_mis|x_obs] and log p(x_obs), row by row."""
        covariance = self.weights @ self.weights.T + self.variance * np.eye(5)
        filled, bounds = self.x.astype("float64"), []
        for row, gone in zip(filled, self.missing):
            here = ~gone
            own = covariance[np.ix_(here, here)]
            apart = row[here] - self.bias[here]
            solved = np.linalg.solve(own, apart)
            row[gone] = self.bias[gone] + covariance[np.ix_(gone, here)] @ solved
            size = here.sum() * np.log(2 * np.pi) + np.linalg.slogdet(own)[1]
            bounds.append(-0.5 * (size + apart @ solved))
        return filled, np.array(bounds)

    def test_imputation_is_the_conditional_mean(self):
        expected, _ = self.exact()
        found = self.model.impute(self.x, self.missing, samples=40_000, verbose=False)
        np.testing.assert_array_equal(found[~self.missing], self.x[~self.missing])
        np.testing.assert_allclose(found, expected, atol=0.06)
        # Not so the code alone, nor the mean over samples without their weights.
        marked = models.mark_missing(self.x, self.missing)
        naive = np.abs(self.model.reconstruct(marked) - expected)[self.missing]
        assert naive.max() > 0.3

    def test_the_bound_is_that_of_what_is_known(self):
        _, expected = self.exact()
        marked = models.mark_missing(self.x, self.missing)
        found = self.model.log_likelihood(marked, samples=40_000, verbose=False)
        np.testing.assert_allclose(found, expected, atol=0.1)

    def test_chunks_of_samples_are_weighed_against_each_other(self):
        """The NumPy formula over all samples at once."""
        marked = models.mark_missing(self.x[1:3], self.missing[1:3])
        found = self.model.impute(marked, samples=30, batch_size=14, verbose=False)
        rng = np.random.default_rng(0)
        noise = np.concatenate(
            [rng.standard_normal((k, 1, 2), "float32") for _ in range(2) for k in (14, 14, 2)]
        )
        for row in range(2):
            drawn = noise[30 * row : 30 * (row + 1)]
            one = marked[row : row + 1]
            evidence = self.model.evidence(ops.convert_to_tensor(one), noise=drawn)
            weights = np.exp(array(evidence.log_weights)[:, 0])
            means = array(evidence.z)[:, 0] @ self.weights.T + self.bias
            expected = (weights[:, None] * means).sum(0) / weights.sum()
            gone = np.isnan(one[0])
            np.testing.assert_allclose(found[row, gone], expected[gone], rtol=1e-4)

    def test_it_is_the_same_at_every_call(self):
        runs = [self.model.impute(self.x, self.missing, samples=9, seed=s) for s in (1, 1, 2)]
        np.testing.assert_array_equal(runs[0], runs[1])
        assert np.abs(runs[0] - runs[2]).max() > 1e-4
