"""Priors over maps of codes: choices by temperature, top-k, top-p and guidance; the transformer."""

import itertools

import numpy as np
import pytest
from keras import ops

from keras_vae import models, priors
from keras_vae.priors import codes as code_priors
from keras_vae.priors import guidance as guiding
from tests.support import array, tensor
from tests.support.autodiff import gradient
from tests.support.quantized import shaken, tiny

KINDS = {
    "pixelcnn": (priors.GatedPixelCNN, {"channels": 6, "depth": 2}),
    "transformer": (priors.CodeTransformer, {"width": 8, "depth": 2, "heads": 2}),
}


def moved(prior, scale=0.5):
    rng = np.random.default_rng(1)
    prior.set_weights([w + scale * rng.standard_normal(w.shape) for w in prior.get_weights()])
    return prior


@pytest.fixture(params=sorted(KINDS))
def make(request):
    kind, sizes = KINDS[request.param]

    def make(num_codes, map_shape, condition_dim=None, **options):
        return moved(kind(num_codes, map_shape, condition_dim, seed=0, **{**sizes, **options}))

    return make


def filtered(logits, temperature=1.0, top_k=None, top_p=None):
    """Probabilities of one position, written another way."""
    p = np.exp(logits / temperature - (logits / temperature).max())
    p /= p.sum()
    order = sorted(range(len(p)), key=lambda k: -p[k])
    kept = order[:top_k] if top_k else order
    if top_p:
        total, nucleus = sum(p[k] for k in kept), []
        while not nucleus or sum(p[k] for k in nucleus) / total < top_p:
            nucleus.append(kept[len(nucleus)])
            if len(nucleus) == len(kept):
                break
        kept = nucleus
    return np.array([p[k] if k in kept else 0.0 for k in range(len(p))]) / sum(p[k] for k in kept)


def probabilities(prior, condition=None, guidance=1.0, **choice):
    """Of every map of 2 × 2 codes, by enumeration: a dict."""
    every = np.array(list(itertools.product(range(prior.num_codes), repeat=4))).reshape(-1, 2, 2)
    given = []
    if condition is not None:
        both = (guiding.flagged(np.tile(condition, (len(every), 1)), drop) for drop in (0, 1))
        given = [array(prior(every, rows)).reshape(-1, 4, prior.num_codes) for rows in both]
        logits = (1 - guidance) * given[1] + guidance * given[0]
    else:
        logits = array(prior(every)).reshape(-1, 4, prior.num_codes)
    flat = every.reshape(-1, 4)
    return {
        tuple(codes): np.prod([filtered(row[i], **choice)[codes[i]] for i in range(4)])
        for codes, row in zip(flat, logits, strict=True)
    }


@pytest.mark.turns
class TestEnumeration:
    """Frequencies of draws against exact probabilities, on maps of 2 × 2."""

    @pytest.mark.parametrize(
        "choice",
        [
            {},
            {"temperature": 0.6},
            {"temperature": 1.5},
            {"top_k": 2},
            {"top_k": 1},
            {"top_p": 0.7},
            {"temperature": 0.8, "top_k": 2, "top_p": 0.6},
            {"guidance": 3.0},
            {"guidance": 0.0},
            {"guidance": 2.0, "temperature": 0.7, "top_p": 0.9},
        ],
    )
    def test_frequencies_are_the_probabilities(self, make, choice):
        condition = None
        if "guidance" in choice:
            prior = make(3, (2, 2), 2, condition_dropout=0.2)
            condition = np.array([[0.0, 1.0]], "float32")
        else:
            prior = make(3, (2, 2))
        n = 4000
        given = None if condition is None else tensor(np.tile(condition, (n, 1)))
        drawn = prior.sample(n, np.random.default_rng(0), given, **choice).reshape(n, 4)
        exact = probabilities(prior, condition, **choice)
        assert sum(exact.values()) == pytest.approx(1.0, rel=1e-5)
        found = dict.fromkeys(exact, 0.0)
        for codes in drawn:
            found[tuple(codes)] += 1 / n
        for codes, p in exact.items():
            # Rare maps are drawn once or not at all.
            rare = 3 / n if p > 0 else 0.0
            assert abs(found[codes] - p) <= 5 * np.sqrt(p * (1 - p) / n) + rare, codes

    def test_guidance_at_0_and_1_is_without_and_with(self, make):
        prior = make(3, (2, 2), 2, condition_dropout=0.2)
        y = tensor(np.tile([[0.0, 1.0]], (5, 1)))
        codes = np.arange(20).reshape(5, 2, 2) % 3
        without = array(prior(codes, guiding.flagged(y, 1.0)))
        other = array(prior(codes, guiding.flagged(1.0 - y, 1.0)))
        np.testing.assert_array_equal(without, other)
        assert np.abs(array(prior(codes, y)) - without).max() > 0.1
        flagged, plain = prior(codes, guiding.flagged(y)), prior(codes, y)
        np.testing.assert_array_equal(array(flagged), array(plain))


@pytest.mark.turns
class TestTransformer:
    @pytest.fixture
    def prior(self):
        return moved(
            priors.CodeTransformer(7, (3, 4), condition_dim=3, width=12, depth=2, heads=3, seed=0),
            0.3,
        )

    def test_no_output_sees_itself_or_what_comes_after(self, rng, prior):
        """∂ output i / ∂ input j is exactly 0 for j >= i, and never for j < i."""
        embedded = rng.normal(size=(1, 3, 4, 12)).astype("float32")
        condition = np.eye(3, dtype="float32")[:1]
        weights = ops.convert_to_tensor(rng.normal(size=7).astype("float32"))
        for i in range(12):
            place = np.zeros((1, 3, 4, 1), "float32")
            place.reshape(-1)[i] = 1
            place = ops.convert_to_tensor(place)

            def output(x, place=place):
                return ops.sum(prior.logits(x, condition) * weights * place)

            each = np.abs(gradient(output, embedded)).sum(-1).reshape(-1)
            assert (each[i:] == 0).all() and (each[:i] > 0).all()

    def test_drawing_step_by_step_uses_the_probabilities_of_the_whole(self, prior):
        condition = np.eye(3, dtype="float32")[[0, 1, 2, 2]]
        codes = prior.sample(4, np.random.default_rng(3), condition)
        noise = np.random.default_rng(3).gumbel(size=(4, 3, 4, 7))
        direct = (array(prior(codes, condition)) + noise).argmax(-1)
        np.testing.assert_array_equal(codes, direct)
        cold = prior.sample(4, np.random.default_rng(0), condition, temperature=0.0)
        np.testing.assert_array_equal(cold, array(prior(cold, condition)).argmax(-1))

    def test_equal_seeds_give_equal_weights_and_configuration(self, prior):
        again = priors.CodeTransformer.from_config(prior.get_config())
        fresh = priors.CodeTransformer(7, (3, 4), 3, 12, 2, 3, seed=0)
        for mine, theirs in zip(fresh.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        # The sum of a few weights, the same on every backend.
        assert fresh.get_weights()[0].sum() == pytest.approx(1.0226, abs=1e-3)

    @pytest.mark.turns
    def test_it_stands_in_a_model(self, images, tmp_path):
        import keras

        model = tiny(num_classes=3)
        model.prior = priors.CodeTransformer(16, (2, 2), 3, 8, 1, 2, 0, condition_dropout=0.3)
        model = shaken(model)
        labels = np.arange(64) % 3
        losses = model.fit(images, labels, epochs=2, verbose=0).history["prior_loss"]
        assert np.isfinite(losses).all()
        history = model.fit_prior(images, labels, epochs=30, verbose=0).history["loss"]
        assert history[-1] < 0.9 * history[0]
        codes = model.sample_codes(5, condition=1, seed=2, guidance=2.0, top_p=0.9)
        assert codes.shape == (5, 2, 2)
        direct = model.prior.sample(
            5, np.random.default_rng(2), tensor(np.eye(3)[[1] * 5]), guidance=2.0, top_p=0.9
        )
        np.testing.assert_array_equal(codes, direct)
        np.testing.assert_array_equal(
            model.sample(5, 1, seed=2, guidance=2.0, top_p=0.9), model.decode(codes)
        )
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(
            loaded.sample_codes(5, condition=1, seed=2, guidance=2.0, top_p=0.9), codes
        )

    def test_sizes_out_of_range_are_refused(self):
        with pytest.raises(ValueError, match="multiple of `heads`. Received: width=10, heads=4"):
            priors.CodeTransformer(7, (2, 2), width=10)


class TestDropout:
    def test_a_part_of_the_conditions_is_dropped_in_training_only(self, images):
        model = tiny(num_classes=3, condition_dropout=0.5)
        y = model.condition.encode(ops.convert_to_tensor(np.arange(64) % 3))
        given = array(guiding.of_training(model.prior, y, model.seed_generator))
        assert given.shape == (64, 4) and set(np.unique(given)) == {0.0, 1.0}
        assert (given.sum(-1) == 1).all() and 15 < given[:, 3].sum() < 49
        # The draws move on from step to step.
        again = array(guiding.of_training(model.prior, y, model.seed_generator))
        assert (again != given).any()
        kept = given[:, 3] == 0
        np.testing.assert_array_equal(given[kept, :3], array(y)[kept])

    def test_none_without_it(self):
        model = tiny(num_classes=3)
        y = model.condition.encode(ops.convert_to_tensor(np.arange(6) % 3))
        assert guiding.of_training(model.prior, y, model.seed_generator) is y
        assert model.prior.blocks[0].condition.kernel.shape[0] == 3


@pytest.mark.once
class TestErrors:
    @pytest.mark.parametrize(
        "options, match",
        [
            ({"temperature": -1.0}, "finite number of at least 0. Received: temperature=-1"),
            ({"top_k": 0}, "integer from 1 to 16, or None for all codes. Received: top_k=0"),
            ({"top_k": 17}, "Received: top_k=17"),
            ({"top_p": 0.0}, "above 0 and at most 1, or None. Received: top_p=0.0"),
            ({"top_p": 1.5}, "Received: top_p=1.5"),
            ({"guidance": -1.0}, "at least 0 and finite. Received: guidance=-1"),
            ({"guidance": 2.0}, "`condition_dropout=0.1` and train it. Received: guidance=2.0"),
        ],
    )
    def test_wrong_choices_are_refused(self, options, match):
        with pytest.raises(ValueError, match=match):
            tiny(num_classes=3).sample(2, condition=1, **options)

    def test_guidance_needs_a_condition(self):
        with pytest.raises(ValueError, match="give `condition=` of a conditional model"):
            tiny().sample(2, guidance=2.0)

    def test_dropout_of_no_condition(self):
        with pytest.raises(ValueError, match="has none to drop"):
            priors.GatedPixelCNN(3, (2, 2), condition_dropout=0.1)
        with pytest.raises(ValueError, match="below 1. Received: condition_dropout=1.0"):
            models.vq_vae((8, 8, 1), 4, num_classes=3, condition_dropout=1.0)

    def test_choose_keeps_at_least_one(self):
        logits = np.log([[0.5, 0.3, 0.2]])
        zeros = np.zeros((1, 3))
        for choice in ({"top_k": 1}, {"top_p": 1e-9}):
            for noise in itertools.permutations([0.0, 5.0, 10.0]):
                drawn = code_priors.choose(logits, np.array([noise]), **choice)
                assert drawn == [0]
        assert code_priors.choose(logits, zeros + [0, 9, 0], top_k=2) == [1]
        assert code_priors.choose(logits, zeros + [0, 0, 9], top_p=0.7) == [0]
