"""VQ-VAEs: the quantizer, the prior of codes, the model made of them."""

import keras
import numpy as np
import pytest
from autodiff import gradient
from conftest import SHAPE, array, make_images
from keras import ops

from keras_vae import likelihoods, metrics, models, objectives, priors, quantizers, zoo

K, D = 16, 4


def tiny(**options):
    options = {"network": "conv", "units": (4, 8), "prior_channels": 6, "prior_depth": 1, **options}
    return models.vq_vae(
        SHAPE, D, **{"num_codes": K, "seed": 0, "likelihood": "bernoulli", **options}
    )


def shaken(model, scale=0.3):
    """The model with other weights: fresh biases are zero and hide what they do."""
    rng = np.random.default_rng(5)
    values = [
        value if variable is model.step else value + scale * rng.standard_normal(value.shape)
        for variable, value in zip(model.weights, model.get_weights())
    ]
    model.set_weights(values)
    return model


@pytest.fixture
def model():
    return shaken(tiny())


@pytest.fixture
def labelled():
    return shaken(tiny(num_classes=3))


LABELS = np.arange(64) % 3


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


class TestGradient:
    def test_it_goes_straight_through(self, rng, model):
        """At the encoder's output it is the one at the decoder's input."""
        features = rng.normal(size=(3, 2, 2, D)).astype("float32")
        vectors = model.quantizer.lookup(model.quantizer(features))
        direction = ops.convert_to_tensor(rng.normal(size=(3, *SHAPE)).astype("float32"))

        def seen(decoded):
            return ops.sum(direction * model.decoder(decoded))

        straight = gradient(lambda z: seen(quantizers.straight_through(z, vectors)), features)
        at_input = gradient(seen, array(vectors).astype("float32"))
        assert np.abs(at_input).max() > 1e-3
        np.testing.assert_allclose(straight, at_input, rtol=1e-4, atol=1e-6)

    def test_of_the_commitment_it_is_two_beta_times_the_way(self, rng, model):
        features = rng.normal(size=(3, 2, 2, D)).astype("float32")
        codes = model.quantizer(features)
        vectors = model.quantizer.lookup(codes)
        zeros = ops.zeros((3,))

        def loss(learned):
            def of(features, vectors):
                evidence = objectives.QuantizedEvidence(
                    None, codes, features, vectors, learned, 0.0, zeros, zeros, 0, True
                )
                return ops.sum(objectives.Quantized(0.25)(evidence)[0])

            return of

        way = features - array(vectors)
        fixed = ops.convert_to_tensor(features)
        found = gradient(lambda z: loss(True)(z, vectors), features)
        np.testing.assert_allclose(found, 2 * 0.25 * way, rtol=1e-4, atol=1e-6)
        moved = array(vectors).astype("float32")
        found = gradient(lambda e: loss(True)(fixed, e), moved)
        np.testing.assert_allclose(found, -2 * way, rtol=1e-4, atol=1e-6)
        # A codebook of running averages has no loss: only its commitment counts.
        plain = array(loss(False)(fixed, vectors))
        assert plain == pytest.approx(0.25 * np.square(way).sum(), rel=1e-5)
        assert array(loss(True)(fixed, vectors)) == pytest.approx(5 * plain, rel=1e-5)

    def test_the_encoder_learns_and_the_prior_does_not_reach_it(self, images):
        """With the decoder's and the prior's weights frozen at 0, nothing pulls but β."""
        model = tiny(commitment=0.0)
        model.decoder.set_weights([0 * w for w in model.decoder.get_weights()])
        model.decoder.trainable = False
        before = [w.copy() for w in model.encoder.get_weights()]
        model.fit(images, batch_size=64, verbose=0)
        for a, b in zip(before, model.encoder.get_weights()):
            np.testing.assert_array_equal(a, b)
        other = tiny(commitment=0.0)
        other.fit(images, batch_size=64, verbose=0)
        assert any((a != b).any() for a, b in zip(before, other.encoder.get_weights()))


class TestPrior:
    @pytest.fixture(params=[3, 5])
    def prior(self, request):
        prior = priors.GatedPixelCNN(
            7, (4, 5), condition_dim=3, channels=12, depth=3, kernel_size=request.param, seed=0
        )
        rng = np.random.default_rng(1)
        prior.set_weights([w + 0.3 * rng.standard_normal(w.shape) for w in prior.get_weights()])
        return prior

    def test_no_output_sees_itself_or_what_comes_after(self, rng, prior):
        """∂ output i / ∂ input j is exactly 0 for j >= i, and not for all j < i."""
        embedded = rng.normal(size=(1, 4, 5, 12)).astype("float32")
        condition = np.eye(3, dtype="float32")[:1]
        weights = ops.convert_to_tensor(rng.normal(size=7).astype("float32"))
        reached = 0
        for i in range(20):
            place = np.zeros((1, 4, 5, 1), "float32")
            place.reshape(-1)[i] = 1
            place = ops.convert_to_tensor(place)

            def output(x, place=place):
                return ops.sum(prior.logits(x, condition) * weights * place)

            each = np.abs(gradient(output, embedded)).sum(-1).reshape(-1)
            assert (each[i:] == 0).all(), i
            reached += (each[:i] > 0).sum()
            if i % 5:
                assert each[i - 1] > 0
        # Of 190 earlier positions all but those that three layers do not reach.
        assert reached > 150

    def test_changing_a_code_changes_later_outputs_only(self, rng, prior):
        codes = rng.integers(0, 7, (1, 4, 5))
        condition = np.eye(3, dtype="float32")[:1]
        before = array(prior(codes, condition)).reshape(20, 7)
        for i in range(20):
            changed = codes.copy()
            changed.reshape(-1)[i] = (changed.reshape(-1)[i] + 1) % 7
            after = array(prior(changed, condition)).reshape(20, 7)
            np.testing.assert_array_equal(before[: i + 1], after[: i + 1])
            assert i % 5 == 4 or (before[i + 1] != after[i + 1]).any()

    def test_it_is_a_distribution(self, rng):
        """The probabilities of all maps sum to one."""
        prior = priors.GatedPixelCNN(3, (2, 2), channels=4, depth=2, seed=0)
        prior.set_weights([w + 0.5 * rng.standard_normal(w.shape) for w in prior.get_weights()])
        every = np.stack(np.meshgrid(*[range(3)] * 4), -1).reshape(-1, 2, 2)
        log_prob = array(prior.log_prob(every))
        assert log_prob.shape == (81,) and log_prob.std() > 0.1
        assert np.exp(log_prob).sum() == pytest.approx(1.0, rel=1e-5)

    def test_log_prob_is_the_sum_over_positions(self, rng, prior):
        codes = rng.integers(0, 7, (3, 4, 5))
        condition = np.eye(3, dtype="float32")
        logits = array(prior(codes, condition))
        top = logits.max(-1, keepdims=True)
        each = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
        expected = np.take_along_axis(each, codes[..., None], -1).sum((1, 2, 3))
        np.testing.assert_allclose(array(prior.log_prob(codes, condition)), expected, rtol=1e-5)

    def test_drawing_step_by_step_uses_the_probabilities_of_the_whole(self, rng, prior):
        """The Gumbel maximum over the direct logits gives the same codes."""
        condition = np.eye(3, dtype="float32")[[0, 1, 2, 2]]
        codes = prior.sample(4, np.random.default_rng(3), condition)
        noise = np.random.default_rng(3).gumbel(size=(4, 4, 5, 7))
        direct = (array(prior(codes, condition)) + noise).argmax(-1)
        np.testing.assert_array_equal(codes, direct)
        assert codes.dtype == np.int32 and codes.min() >= 0 and codes.max() < 7

    def test_temperature_zero_takes_the_most_probable(self, prior):
        condition = np.eye(3, dtype="float32")
        codes = prior.sample(3, np.random.default_rng(0), condition, temperature=0.0)
        np.testing.assert_array_equal(codes, array(prior(codes, condition)).argmax(-1))

    def test_draws_follow_the_distribution(self, rng):
        prior = priors.GatedPixelCNN(3, (1, 2), channels=4, depth=1, seed=0)
        prior.set_weights([w + 0.5 * rng.standard_normal(w.shape) for w in prior.get_weights()])
        n = 4000
        drawn = prior.sample(n, np.random.default_rng(0)).reshape(n, 2)
        found = np.bincount(drawn @ [3, 1], minlength=9) / n
        every = np.array([[[a, b]] for a in range(3) for b in range(3)])
        expected = np.exp(array(prior.log_prob(every)))
        assert np.abs(found - expected).max() < 5 * np.sqrt(0.25 / n)
        assert expected.std() > 0.03

    def test_the_condition_decides(self, rng, prior):
        codes = np.repeat(rng.integers(0, 7, (1, 4, 5)), 3, axis=0)
        log_prob = array(prior.log_prob(codes, np.eye(3, dtype="float32")))
        assert np.ptp(log_prob) > 0.1

    @pytest.mark.parametrize(
        "options, match",
        [
            ({"map_shape": (4,)}, r"\(height, width\). Received: map_shape=\(4,\)"),
            ({"kernel_size": 4}, "odd integer of at least 3. Received: kernel_size=4"),
            ({"depth": 0}, "`depth` must be an integer of at least 1"),
        ],
    )
    def test_sizes_out_of_range_are_refused(self, options, match):
        with pytest.raises(ValueError, match=match):
            priors.GatedPixelCNN(**{"num_codes": 7, "map_shape": (4, 5), **options})


class TestLoss:
    @pytest.mark.parametrize("codebook", quantizers.CODEBOOKS)
    def test_it_does_not_depend_on_the_batch_size(self, images, codebook):
        model = shaken(tiny(codebook=codebook))
        logs = [
            model.evaluate(np.repeat(images[:1], n, axis=0), verbose=0, return_dict=True)
            for n in (1, 2, 8)
        ]
        for other in logs[1:]:
            assert other == pytest.approx(logs[0], rel=1e-5)
        whole = model.evaluate(images, batch_size=64, verbose=0, return_dict=True)
        parts = model.evaluate(images, batch_size=16, verbose=0, return_dict=True)
        whole.pop("perplexity"), parts.pop("perplexity")
        assert parts == pytest.approx(whole, rel=1e-5)

    def test_terms_are_the_numpy_reference(self, images, model):
        x = images[:5]
        logs = model.evaluate(x, verbose=0, return_dict=True)
        features = array(model.encoder(x))
        vectors = array(model.quantizer.vectors)
        codes = np.square(features[..., None, :] - vectors).sum(-1).argmin(-1)
        logits = array(model.decoder(vectors[codes].astype("float32")))
        cross_entropy = np.log1p(np.exp(logits)) - x * logits
        expected = {
            "reconstruction_loss": cross_entropy.sum((1, 2, 3)).mean(),
            "commitment_loss": np.square(features - vectors[codes]).sum((1, 2, 3)).mean(),
            "prior_loss": -array(model.prior.log_prob(codes)).mean(),
            "perplexity": metrics.codebook_usage(codes, K).perplexity,
        }
        expected["loss"] = (
            expected["reconstruction_loss"]
            + 0.25 * expected["commitment_loss"]
            + expected["prior_loss"]
        )
        assert logs == pytest.approx(expected, rel=1e-4)
        bound = model.log_likelihood(x)
        assert -bound.mean() == pytest.approx(
            expected["reconstruction_loss"] + expected["prior_loss"], rel=1e-4
        )

    def test_distances_are_sums_over_the_map(self, rng):
        """Four times the positions, four times the nats, as for pixels."""
        features, vectors = rng.normal(size=(2, 3, 2, 2, D)).astype("float32")

        def commitment(repeat):
            big = (
                ops.convert_to_tensor(np.tile(a, (1, repeat, 2, 1))) for a in (features, vectors)
            )
            zeros = ops.zeros((3,))
            evidence = objectives.QuantizedEvidence(
                None, None, *big, False, 0.0, zeros, zeros, 0, True
            )
            return array(objectives.Quantized()(evidence)[1]["commitment_loss"])

        np.testing.assert_allclose(commitment(2), 2 * commitment(1), rtol=1e-5)

    def test_all_of_it_falls_in_training(self, images):
        model = tiny()
        history = model.fit(images, epochs=40, batch_size=16, verbose=0).history
        assert history["reconstruction_loss"][-1] < 0.7 * history["reconstruction_loss"][0]
        assert history["loss"][-1] < 0.8 * history["loss"][0]
        assert 1 <= history["perplexity"][-1] <= K
        again = model.fit_prior(images, epochs=40, batch_size=16, verbose=0).history["loss"]
        assert again[-1] < 0.9 * again[0]

    def test_sample_weights_multiply_losses(self, images, model):
        weighted = model.evaluate(
            images, sample_weight=np.full(64, 2.0), verbose=0, return_dict=True
        )
        plain = model.evaluate(images, verbose=0, return_dict=True)
        assert weighted["loss"] == pytest.approx(2 * plain["loss"], rel=1e-5)
        # Its terms too, of which it is the sum; but not what is no part of it.
        assert weighted["prior_loss"] == pytest.approx(2 * plain["prior_loss"], rel=1e-5)
        assert weighted["perplexity"] == pytest.approx(plain["perplexity"], rel=1e-5)


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
