"""The vector quantizer and its codebook."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import quantizers
from tests.support import array
from tests.support.quantized import K, tiny


def filled(quantizer, vectors):
    quantizer.vectors.assign(np.asarray(vectors, "float32"))
    return quantizer


def trained(quantizer, batches, seed=0):
    """The codebook after each batch of features `(n, d)`."""
    generator = keras.random.SeedGenerator(seed)
    for batch in batches:
        features = ops.convert_to_tensor(batch.astype("float32"))
        quantizer.adapt_codes(features, quantizer(features), generator)
        yield array(quantizer.vectors)


class TestNearest:
    def test_it_is_the_nearest_code(self, rng):
        quantizer = filled(quantizers.VectorQuantizer(32, 3), vectors := rng.normal(size=(32, 3)))
        z = rng.normal(size=(5, 4, 2, 3)).astype("float32")
        codes = quantizer(z)
        distances = np.square(z[..., None, :] - vectors).sum(-1)
        np.testing.assert_array_equal(array(codes), distances.argmin(-1))
        assert keras.backend.standardize_dtype(codes.dtype) == "int32"
        found = array(quantizer.lookup(codes))
        np.testing.assert_allclose(found, vectors[distances.argmin(-1)], rtol=1e-6)

    def test_codes_far_from_the_origin_are_told_apart(self, rng):
        """‖z‖² - 2 z·e + ‖e‖² in float32 would round every difference away."""
        vectors = 3000 + rng.normal(size=(32, 3))
        quantizer = filled(quantizers.VectorQuantizer(32, 3), vectors)
        vectors = array(quantizer.vectors)
        z = (3000 + rng.normal(size=(200, 3))).astype("float32")
        distances = np.square(z[:, None] - vectors).sum(-1)
        wrong = array(quantizer(z)) != distances.argmin(-1)
        assert wrong.mean() <= 0.01

    def test_half_precision_features_are_compared_in_float32(self, rng):
        quantizer = filled(quantizers.VectorQuantizer(8, 2), rng.normal(size=(8, 2)))
        z = ops.cast(rng.normal(size=(50, 2)), "bfloat16")
        np.testing.assert_array_equal(array(quantizer(z)), array(quantizer(ops.cast(z, "float32"))))
        assert keras.backend.standardize_dtype(quantizer.lookup(quantizer(z)).dtype) == "float32"

    @pytest.mark.parametrize(
        "options, match",
        [
            ({"num_codes": 1}, "`num_codes` must be an integer of at least 2"),
            ({"latent_dim": 0}, "`latent_dim`.*at least 1"),
            ({"codebook": "mean"}, "('ema', 'gradient'). Received: codebook='mean'"),
            ({"decay": 1.0}, r"\[0, 1\). Received: decay=1.0"),
            ({"revive_after": 0}, "`revive_after` must be None or"),
        ],
    )
    def test_values_out_of_range_are_refused(self, options, match):
        with pytest.raises(ValueError, match=match.replace("('ema', 'gradient')", ".*")):
            quantizers.VectorQuantizer(**{"num_codes": 8, "latent_dim": 2, **options})


class TestPerplexity:
    def test_uniform_use_gives_the_number_of_codes(self):
        assert float(quantizers.perplexity(np.full(K, 7.0))) == pytest.approx(K, rel=1e-6)

    def test_it_is_at_most_that_and_at_least_one(self, rng):
        for _ in range(20):
            counts = rng.integers(0, 5, K) * (rng.random(K) < 0.7) + (np.arange(K) == 0)
            share = counts[counts > 0] / counts.sum()
            found = float(quantizers.perplexity(counts))
            assert found == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-5)
            assert 1 <= found <= K * (1 + 1e-6)
        assert float(quantizers.perplexity(np.eye(K)[3])) == 1.0


class TestRunningAverages:
    def test_they_are_the_formula(self, rng):
        quantizer = quantizers.VectorQuantizer(5, 2, decay=0.9, revive_after=None)
        vectors = rng.normal(size=(5, 2))
        filled(quantizer, vectors)
        batches = rng.normal(size=(4, 30, 2)).astype("float32")
        counts, sums = np.zeros(5), np.zeros((5, 2))
        for t, (batch, found) in enumerate(zip(batches, trained(quantizer, batches)), 1):
            nearest = np.square(batch[:, None] - vectors).sum(-1).argmin(-1)
            hot = np.eye(5)[nearest]
            counts = 0.9 * counts + 0.1 * hot.sum(0)
            sums = 0.9 * sums + 0.1 * hot.T @ batch
            bias = 1 - 0.9**t
            small = 1e-5
            vectors = (sums / bias + small * vectors) / (counts / bias + small)[:, None]
            np.testing.assert_allclose(found, vectors, rtol=1e-4, atol=1e-5)
        # The vectors are a ratio, in which a factor of both averages does not show.
        np.testing.assert_allclose(array(quantizer.counts), counts, rtol=1e-5)
        np.testing.assert_allclose(array(quantizer.sums), sums, rtol=1e-4, atol=1e-5)

    def test_of_the_first_batch_codes_are_the_means(self, rng):
        """Debiased: without that they would be a hundredth of the way from zero."""
        quantizer = filled(quantizers.VectorQuantizer(2, 1, revive_after=None), [[-1.0], [1.0]])
        batch = np.concatenate([rng.normal(-5, 1, 50), rng.normal(5, 1, 50)])[:, None]
        (found,) = trained(quantizer, [batch])
        expected = [[batch[batch < 0].mean()], [batch[batch > 0].mean()]]
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    @pytest.mark.parametrize("revive_after", [1, 3, 100])
    def test_codes_stay_in_the_hull_of_the_data(self, rng, revive_after):
        """Features on a crescent far from the origin, which moves."""
        quantizer = quantizers.VectorQuantizer(K, 2, decay=0.9, revive_after=revive_after, seed=0)
        angles = rng.uniform(0, np.pi, (40, 60))
        batches = np.stack([np.cos(angles), np.sin(angles)], -1) + [8.0, -5.0]
        batches += np.linspace(0, 1, 40)[:, None, None]
        ways = np.linspace(0, 2 * np.pi, 64)
        ways = np.stack([np.cos(ways), np.sin(ways)])
        reached = np.full(64, -np.inf)
        for batch, codes in zip(batches, trained(quantizer, batches)):
            reached = np.maximum(reached, (batch @ ways).max(0))
            assert (codes @ ways <= reached + 1e-3).all()
        # Those that the data has left behind are dead until they are revived.
        used = len(np.unique(array(quantizer(batches[-1].astype("float32")))))
        assert used > (K / 2 if revive_after < 100 else 2)

    def test_an_unused_code_stays_where_it_is(self):
        quantizer = filled(
            quantizers.VectorQuantizer(3, 1, revive_after=None), [[0.0], [1.0], [99.0]]
        )
        batches = [np.array([[0.1], [0.9]])] * 50
        *_, found = trained(quantizer, batches)
        np.testing.assert_allclose(found, [[0.1], [0.9], [99.0]], rtol=1e-4)

    def test_weights_count(self, rng):
        """An example of weight 0 moves nothing, one of weight 2 counts twice."""
        codebooks = []
        batch = rng.normal(size=(4, 3, 2)).astype("float32")
        for rows, weights in (
            (batch, [1.0, 2.0, 0.0, 1.0]),
            (batch[[0, 1, 1, 3]], None),
        ):
            quantizer = quantizers.VectorQuantizer(4, 2, revive_after=None, seed=1)
            codes = quantizer(rows)
            generator = keras.random.SeedGenerator(0)
            weights = None if weights is None else np.array(weights, "float32")
            quantizer.adapt_codes(rows, codes, generator, weights)
            codebooks.append(array(quantizer.vectors))
            assert array(quantizer.histogram(codes, weights)).sum() == pytest.approx(12)
        np.testing.assert_allclose(*codebooks, rtol=1e-5)

    def test_a_frozen_codebook_stays(self, rng):
        quantizer = quantizers.VectorQuantizer(4, 2, seed=1)
        before = [w.copy() for w in quantizer.get_weights()]
        quantizer.trainable = False
        assert len(list(trained(quantizer, rng.normal(size=(3, 10, 2))))) == 3
        for a, b in zip(before, quantizer.get_weights()):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("codebook", quantizers.CODEBOOKS)
class TestRevival:
    def make(self, codebook, revive_after):
        quantizer = quantizers.VectorQuantizer(
            K, 2, codebook=codebook, revive_after=revive_after, seed=0
        )
        return filled(quantizer, np.concatenate([np.zeros((1, 2)), np.full((K - 1, 2), 99.0)]))

    def test_fresh_codes_start_on_the_first_batch(self, rng, codebook):
        quantizer = self.make(codebook, 100)
        batch = rng.normal(size=(200, 2))
        (found,) = trained(quantizer, [batch])
        nearest = np.square(found[:, None] - batch).sum(-1).min(1)
        assert (nearest[1:] < 1e-8).all()
        assert len(np.unique(array(quantizer(batch.astype("float32"))))) > K / 2

    def test_codes_are_revived_after_so_many_steps_and_no_sooner(self, rng, codebook):
        quantizer = self.make(codebook, 3)
        quantizer.idle.assign(np.zeros(K, "float32"))
        batches = rng.normal(size=(3, 200, 2))
        first, second, third = trained(quantizer, batches)
        assert (first[1:] == 99).all() and (second[1:] == 99).all()
        assert np.abs(third).max() < 10
        nearest = np.square(third[1:, None] - batches[2]).sum(-1).min(1)
        assert (nearest < 1e-8).all()
        # The code that was used is not moved there.
        assert np.square(third[:1, None] - batches[2]).sum(-1).min() > 1e-8

    def test_without_it_dead_codes_stay_dead(self, rng, codebook):
        quantizer = self.make(codebook, None)
        *_, found = trained(quantizer, rng.normal(size=(20, 50, 2)))
        assert (found[1:] == 99).all()

    def test_training_brings_dead_codes_back(self, images, codebook):
        model = tiny(codebook=codebook, revive_after=2)
        away = array(model.quantizer.vectors)
        away[1:] = 99.0
        model.quantizer.vectors.assign(away)
        assert len(np.unique(model.encode(images))) == 1
        model.fit(images, epochs=8, batch_size=16, verbose=0)
        assert len(np.unique(model.encode(images))) > 4
        assert np.abs(array(model.quantizer.vectors)).max() < 99
