"""What every quantizer keeps: shapes, layouts, configurations, gradients, refusals."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import quantizers
from tests.support import array
from tests.support.autodiff import gradient
from tests.support.quantizers import TINY

Vector = quantizers.VectorQuantizer


@pytest.fixture(params=TINY)
def quantizer(request):
    return TINY[request.param]()


def some(quantizer, rng, shape=(3, 2, 4)):
    return rng.normal(size=(*shape, quantizer.latent_dim)).astype("float32")


@pytest.mark.turns
class TestEach:
    def test_codes_are_maps_and_vectors_are_theirs(self, quantizer, rng):
        features, q = some(quantizer, rng), quantizer.codes_per_position
        codes = quantizer(features)
        assert keras.backend.standardize_dtype(codes.dtype) == "int32"
        assert tuple(codes.shape) == (3, *quantizer.code_map_shape((2, 4))) == (3, 2, 4 * q)
        assert quantizer.feature_map_shape((2, 4 * q)) == (2, 4)
        assert 0 <= array(codes).min() and array(codes).max() < quantizer.num_codes
        assert len(np.unique(array(codes))) > 1
        vectors = quantizer.lookup(codes)
        assert tuple(vectors.shape) == features.shape
        assert quantizer.vectors_shape(codes.shape) == features.shape
        found = quantizer.discretize(features)
        np.testing.assert_array_equal(array(found.codes), array(codes))
        np.testing.assert_allclose(array(found.vectors), array(vectors), atol=1e-6)
        assert tuple(found.commitment_loss.shape) == tuple(found.codebook_loss.shape) == (3,)
        expected = 0.5 * array(found.commitment_loss) + array(found.codebook_loss)
        np.testing.assert_allclose(array(found.loss(0.5)), expected, rtol=1e-5)
        np.testing.assert_array_equal(array(quantizer(features, training=True)), array(codes))

    def test_vectors_of_codes_are_quantized_to_themselves(self, quantizer, rng):
        """A code's vector is its own nearest; one of several stages only is the sum of them."""
        codes = rng.integers(0, quantizer.num_codes, (5, 2 * quantizer.codes_per_position))
        codes = codes.astype("int32")
        vectors = quantizer.lookup(codes)
        if isinstance(quantizer, quantizers.FiniteScalar):
            # tanh moves them, each to where no other level is.
            bounded = quantizer._bounded(vectors) / quantizer._width
            assert np.abs(array(bounded) - array(vectors)).max() < 0.6
        elif quantizer.takes_residuals and quantizer.codes_per_position == 1:
            np.testing.assert_array_equal(array(quantizer(vectors)), codes)

    def test_perplexity_and_usage_are_of_each_codebook(self, quantizer, rng):
        q, number = quantizer.codes_per_position, quantizer.num_codes
        codes = rng.integers(0, number, (4, 3, 5 * q)).astype("int32")
        weights = np.array([1, 0, 2, 1], "float32")
        each = codes.reshape(4, 15, q)
        counts = np.stack(
            [
                sum(w * np.bincount(row[:, i], minlength=number) for w, row in zip(weights, each))
                for i in range(q)
            ]
        )
        counts = counts[0] if q == 1 else counts
        np.testing.assert_allclose(array(quantizer.histogram(codes, weights)), counts)
        plain = array(quantizer.histogram(codes))
        assert float(quantizer.usage(codes)) == pytest.approx((plain > 0).mean())
        expected = np.mean(array(quantizers.perplexity(plain)))
        assert float(quantizer.perplexity(codes)) == pytest.approx(expected, rel=1e-5)

    def test_the_gradient_reaches_the_features(self, quantizer, rng):
        features = some(quantizer, rng)
        weights = ops.convert_to_tensor(rng.normal(size=features.shape).astype("float32"))

        def loss(z):
            return ops.sum(weights * quantizer.discretize(z, seed=0).vectors)

        slope = gradient(loss, features)
        assert np.isfinite(slope).all() and np.abs(slope).max() > 1e-4

    def test_features_of_zero_have_a_finite_gradient(self, quantizer):
        features = np.zeros((2, 3, quantizer.latent_dim), "float32")

        def loss(z):
            found = quantizer.discretize(z)
            return ops.sum(found.vectors) + ops.sum(found.loss())

        assert np.isfinite(gradient(loss, features)).all()

    def test_its_configuration_makes_it_again(self, quantizer, rng):
        features = some(quantizer, rng)
        config = keras.saving.serialize_keras_object(quantizer)
        other = keras.saving.deserialize_keras_object(config)
        assert type(other) is type(quantizer)
        assert other.get_config() == quantizer.get_config()
        other.set_weights(quantizer.get_weights())
        np.testing.assert_array_equal(array(other(features)), array(quantizer(features)))

    def test_seeds_give_the_same_and_stages_differ(self, quantizer):
        again = type(quantizer).from_config(quantizer.get_config())
        for a, b in zip(quantizer.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        books = [p.vectors for p in getattr(quantizer, "parts", ()) if hasattr(p, "vectors")]
        books = [array(book) for book in books if tuple(book.shape) == tuple(books[0].shape)]
        assert all((books[0] != other).any() for other in books[1:])

    def test_other_features_are_refused(self, quantizer, rng):
        for call in (quantizer, quantizer.discretize):
            with pytest.raises(ValueError, match=r"`features` must have shape \(n, ..., "):
                call(rng.normal(size=(2, 3, quantizer.latent_dim + 1)).astype("float32"))
        if quantizer.codes_per_position > 1:
            with pytest.raises(ValueError, match=r"`features\[:, None\]`"):
                quantizer(np.zeros((2, quantizer.latent_dim), "float32"))
            with pytest.raises(ValueError, match="a multiple of"):
                quantizer.feature_map_shape((2, 1))

    def test_training_adapts_what_no_gradient_trains(self, quantizer, rng):
        seed = keras.random.SeedGenerator(0)
        for _ in range(3):
            found = quantizer.discretize(some(quantizer, rng), training=True, seed=seed)
            quantizer.adapt(found.record, seed)
        assert all(np.isfinite(w).all() for w in quantizer.get_weights())
        frozen = [w.copy() for w in quantizer.get_weights()]
        quantizer.trainable = False
        quantizer.adapt(quantizer.discretize(some(quantizer, rng)).record, seed)
        for a, b in zip(frozen, quantizer.get_weights()):
            np.testing.assert_array_equal(a, b)


@pytest.mark.turns
class TestResidual:
    def test_the_gradient_passes_once_whatever_the_stages(self, rng):
        features = rng.normal(size=(2, 3, 4)).astype("float32")
        for stages in (1, 4):
            quantizer = quantizers.Residual(Vector(8, 4, seed=1), stages)
            slope = gradient(lambda z, by=quantizer: ops.sum(by.discretize(z).vectors), features)
            np.testing.assert_allclose(slope, 1.0)

    def test_more_stages_are_nearer(self, rng):
        quantizer, seed = TINY["residual_kmeans"](), keras.random.SeedGenerator(0)
        features = rng.normal(size=(200, 1, 4)).astype("float32")
        for _ in range(4):
            quantizer.adapt(quantizer.discretize(features).record, seed)
        codes = quantizer(features)
        errors = [
            np.square(array(quantizer.lookup(codes, stages=k)) - features).mean() for k in (1, 2, 3)
        ]
        assert errors[0] > 1.3 * errors[1] > 1.3**2 * errors[2]
        for stages in (0, 4, 1.5):
            with pytest.raises(ValueError, match="`stages` must be an integer from 1 to 3"):
                quantizer.lookup(codes, stages=stages)

    def test_dropout_keeps_the_first_stages_of_some_examples(self, rng):
        quantizer = quantizers.Residual(Vector(8, 4, seed=1), 4, dropout=0.5)
        features = rng.normal(size=(400, 1, 4)).astype("float32")
        found = quantizer.discretize(features, True, keras.random.SeedGenerator(0))
        kept = array(found.record[1])
        assert set(kept) == {1, 2, 3, 4}
        # Half keep all, and the others 1, 2, 3 or 4 alike.
        assert (kept == 4).mean() == pytest.approx(5 / 8, abs=0.1)
        for k in (1, 2, 3, 4):
            vectors = array(quantizer.lookup(found.codes, stages=k))
            np.testing.assert_allclose(
                array(found.vectors)[kept == k], vectors[kept == k], atol=1e-6
            )
        assert (array(quantizer.discretize(features).record[1]) == 4).all()

    def test_dropped_stages_do_not_move(self, rng, monkeypatch):
        quantizer = quantizers.Residual(Vector(8, 4, seed=1), 2, dropout=1.0)
        quantizer.steps.assign(5.0)
        monkeypatch.setattr(quantizer, "_stages_kept", lambda *_: ops.ones((6,)))
        before = [array(part.vectors) for part in quantizer.parts]
        seed = keras.random.SeedGenerator(0)
        features = rng.normal(size=(6, 3, 4)).astype("float32")
        quantizer.adapt(quantizer.discretize(features, True, seed).record, seed)
        after = [array(part.vectors) for part in quantizer.parts]
        assert (before[0] != after[0]).any()
        np.testing.assert_allclose(before[1], after[1], atol=1e-6)

    def test_pending_sums_are_those_of_one_batch(self, rng):
        first, second = (quantizers.Residual(Vector(8, 4, seed=1), 2) for _ in range(2))
        seed = keras.random.SeedGenerator(0)
        for quantizer in (first, second):
            quantizer.steps.assign(5.0)
            for part in quantizer.parts:
                part.idle.assign(np.zeros(8, "float32"))
        features = rng.normal(size=(6, 3, 4)).astype("float32")
        records = [first.discretize(half).record for half in (features[:3], features[3:])]
        pending = first.pending_sums()
        first.adapt(records[0], seed, None, pending, 0)
        first.adapt(records[1], seed, None, pending, 1)
        second.adapt(second.discretize(features).record, seed)
        for a, b in zip(first.parts, second.parts):
            np.testing.assert_allclose(array(a.vectors), array(b.vectors), rtol=1e-5, atol=1e-6)


@pytest.mark.turns
class TestGradients:
    def test_a_rotation_keeps_angles_to_the_gradient(self, rng):
        z, q, g = rng.normal(size=(3, 50, 4)).astype("float32")

        def cosine(a, b):
            return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

        def loss(z):
            rotated = quantizers.rotate(z, ops.convert_to_tensor(q))
            return ops.sum(rotated * ops.convert_to_tensor(g))

        np.testing.assert_allclose(cosine(gradient(loss, z), z), cosine(g, q), atol=1e-4)


@pytest.mark.turns
class TestStart:
    def test_kmeans_is_nearer_than_random_features(self, rng):
        features = np.concatenate([rng.normal(c, 0.1, (50, 2)) for c in range(-4, 4)])
        features = features.astype("float32")
        errors = {}
        for start in quantizers.STARTS:
            quantizer = Vector(8, 2, seed=0, start=start)
            quantizer.adapt(quantizer.discretize(features).record, keras.random.SeedGenerator(0))
            vectors = array(quantizer.lookup(quantizer(features)))
            errors[start] = np.square(vectors - features).mean()
        assert errors["kmeans"] < 0.5 * errors["features"]

    def test_examples_that_do_not_count_are_no_means(self):
        features = np.concatenate([np.zeros((4, 3, 2)), np.full((4, 3, 2), 100.0)])
        quantizer = Vector(4, 2, seed=0, start="kmeans")
        weights = np.repeat(np.float32([1, 0]), 4)
        seed = keras.random.SeedGenerator(0)
        record = quantizer.discretize(features.astype("float32")).record
        quantizer.adapt(record, seed, ops.convert_to_tensor(0.0 * weights))
        assert float(array(quantizer.started)) == 0.0
        quantizer.adapt(record, seed, ops.convert_to_tensor(weights))
        assert float(array(quantizer.started)) == 1.0
        np.testing.assert_allclose(array(quantizer.vectors), 0.0, atol=1e-6)


REFUSED = [
    (quantizers.FiniteScalar, {"levels": []}, "at least 3, one for each dimension"),
    (quantizers.FiniteScalar, {"levels": [8, 2]}, "LookupFree.*Received: levels=.8, 2."),
    (quantizers.FiniteScalar, {"levels": 8.5}, "must be integers"),
    (quantizers.FiniteScalar, {"levels": [64] * 5}, "at most 16,777,216 codes"),
    (quantizers.LookupFree, {"bits": 0}, "`bits` must be an integer from 1 to 24"),
    (quantizers.LookupFree, {"bits": 25}, "`quantizers.Heads`. Received: bits=25"),
    (quantizers.LookupFree, {"bits": 4, "entropy": -1.0}, "`entropy` must be at least 0"),
    (quantizers.LookupFree, {"bits": 4, "temperature": 0.0}, "`temperature` must be a positive"),
    (quantizers.SimVQ, {"num_codes": 1, "latent_dim": 2}, "`num_codes` must be"),
    (
        quantizers.SimVQ,
        {"num_codes": 4, "latent_dim": 2, "gradient": "x"},
        "`gradient` must be one",
    ),
    (Vector, {"num_codes": 4, "latent_dim": 2, "distance": "x"}, "`distance` must be one of"),
    (Vector, {"num_codes": 4, "latent_dim": 2, "start": "x"}, "`start` must be one of"),
]


@pytest.mark.parametrize("kind, arguments, match", REFUSED)
def test_values_out_of_range_are_refused(kind, arguments, match):
    with pytest.raises(ValueError, match=match):
        kind(**arguments)


def test_parts_that_do_not_fit_are_refused():
    a, b = Vector(8, 4), Vector(4, 4)
    for make, match in (
        (lambda: quantizers.Residual([a, b]), "equally many codes.*8, 4"),
        (lambda: quantizers.Residual([a, Vector(8, 3)]), "equally many dimensions.*4, 3"),
        (lambda: quantizers.Residual(a), "`stages` must be an integer"),
        (lambda: quantizers.Residual([a, Vector(8, 4)], 3), "`stages` must be left out"),
        (lambda: quantizers.Residual([]), "one quantizer or a list"),
        (lambda: quantizers.Residual("fsq", 2), "one quantizer or a list.*'fsq'"),
        (lambda: quantizers.Residual(a, 2, dropout=1.5), "`dropout` must be from 0 to 1"),
        (lambda: quantizers.Residual(a, 2, gradient="x"), "`gradient` must be one of"),
        (lambda: quantizers.Residual(quantizers.FiniteScalar([3]), 2), "finite scalars do not"),
        (lambda: quantizers.Residual(quantizers.Projected(a, 8), 2), "around all stages"),
        (lambda: quantizers.Heads(a, 2.5), "`heads` must be an integer"),
        (lambda: quantizers.Heads(a, shared=True), "`heads` must be an integer"),
        (lambda: quantizers.Projected(a, 0), "`latent_dim` must be an integer"),
        (lambda: quantizers.Projected(3, 4), "one quantizer or a list"),
        (lambda: quantizers.Quantize(Vector(8, 4, "gradient")), "`revive_after=None`"),
        (lambda: quantizers.Quantize(a, commitment=-1.0), "`commitment` must be at least 0"),
        (lambda: quantizers.Quantize("fsq"), "one quantizer or a list"),
    ):
        with pytest.raises(ValueError, match=match):
            make()


@pytest.mark.parametrize("weights", [None, [1.0, 0.0, 0.0]], ids=["all", "one"])
def test_codes_behind_a_map_are_as_long_as_the_first_features(weights):
    quantizer = quantizers.SimVQ(16, 4, seed=1)
    features = np.random.default_rng(0).normal(size=(3, 2, 2, 4)).astype("float32")
    features *= np.reshape([0.01, 5.0, 7.0], (3, 1, 1, 1)).astype("float32")
    kernel = array(quantizer.kernel)
    for x in (0.0 * features, features, 100.0 * features):
        found = quantizer.discretize(ops.convert_to_tensor(x), training=True)
        quantizer.adapt(found.record, keras.random.SeedGenerator(0), weights)
    counted = features if weights is None else features[:1]
    wanted, got = np.square(counted).mean(), np.square(array(quantizer.vectors)).mean()
    np.testing.assert_allclose(got, wanted, rtol=1e-4)
    np.testing.assert_array_equal(array(quantizer.kernel), kernel)


def test_short_features_take_more_than_the_shortest_code():
    """The paper's codes, of length 1, collapse onto one for an encoder that starts small."""
    x = 0.01 * np.random.default_rng(0).normal(size=(64, 4, 4, 4)).astype("float32")
    quantizer = quantizers.SimVQ(16, 4, seed=1)
    for expected in (range(1, 4), range(10, 17)):
        found = quantizer.discretize(ops.convert_to_tensor(x), training=True)
        assert len(np.unique(array(found.codes))) in expected
        quantizer.adapt(found.record, keras.random.SeedGenerator(0))
