"""The masked transformer: its bound, its draws step by step and in one program, its export."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import priors
from keras_vae.export.signatures import signatures
from tests.support import array, tensor
from tests.support.quantized import shaken, tiny


def moved(prior, scale=0.5):
    rng = np.random.default_rng(1)
    prior.set_weights([w + scale * rng.standard_normal(w.shape) for w in prior.get_weights()])
    return prior


def small(num_codes=3, map_shape=(2, 2), condition_dim=None, **options):
    options = {"width": 8, "depth": 2, "heads": 2, "seed": 0, "steps": 4, **options}
    return moved(priors.MaskedTransformer(num_codes, map_shape, condition_dim, **options))


def shares(logits):
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


@pytest.mark.turns
class TestBound:
    def test_it_is_the_mean_over_all_masks(self, rng):
        prior = small()
        codes = rng.integers(0, 3, (5, 4))
        expected = np.zeros(5)
        for size in range(1, 5):
            for places in itertools.combinations(range(4), size):
                masked = codes.copy()
                masked[:, places] = 3
                each = shares(array(prior(masked.reshape(5, 2, 2))).reshape(5, 4, 3))
                each = np.take_along_axis(each, codes[..., None], -1)[..., 0]
                # Sizes are equally probable, and so are the masks of a size.
                p = 1 / 4 / math.comb(4, size)
                expected += p * 4 / size * each[:, places].sum(-1)
        found = array(prior.log_prob(codes.reshape(5, 2, 2)))
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_of_all_maps_it_sums_to_at_most_1(self):
        every = np.array(list(itertools.product(range(3), repeat=4))).reshape(-1, 2, 2)
        total = np.exp(array(small().log_prob(every))).sum()
        assert 0.3 < total < 1.0

    def test_training_estimates_it_without_bias(self, rng):
        prior = small()
        codes = np.tile(rng.integers(0, 3, (1, 2, 2)), (4000, 1, 1))
        seed = keras.random.SeedGenerator(0)
        found = array(prior.training_log_prob(codes, None, seed))
        exact = array(prior.log_prob(codes[:1]))[0]
        assert abs(found.mean() - exact) < 5 * found.std() / np.sqrt(4000)
        assert found.std() > 0.1

    def test_larger_maps_have_fixed_masks(self, rng):
        prior = small(map_shape=(3, 4))
        codes = rng.integers(0, 3, (2, 3, 4))
        first, second = (array(prior.log_prob(codes)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert sum(weight * mask.sum() for mask, weight in prior._masks()) == pytest.approx(12)


class TestDraws:
    def test_in_one_step_positions_are_independent(self):
        prior = small(map_shape=(1, 2), steps=1)
        n = 4000
        drawn = prior.sample(n, np.random.default_rng(0)).reshape(n, 2)
        p = np.exp(shares(array(prior(np.full((1, 1, 2), 3))))[0, 0])
        found = np.bincount(drawn @ [3, 1], minlength=9) / n
        expected = np.outer(p[0], p[1]).reshape(-1)
        assert np.abs(found - expected).max() < 5 * np.sqrt(0.25 / n)

    def test_with_random_choices_one_by_one_it_is_any_order(self):
        """Where noise alone decides what is kept, a draw has a random order: exact by sums."""
        prior = small(2, (1, 2), steps=2, choice_temperature=1e6)
        n = 4000
        drawn = prior.sample(n, np.random.default_rng(0)).reshape(n, 2)
        expected = np.zeros((2, 2))
        free = np.exp(shares(array(prior(np.full((1, 1, 2), 2))))[0, 0])
        for a, b in itertools.product(range(2), repeat=2):
            first = np.exp(shares(array(prior(np.array([[[a, 2]]]))))[0, 0])
            second = np.exp(shares(array(prior(np.array([[[2, b]]]))))[0, 0])
            expected[a, b] = 0.5 * free[0, a] * first[1, b] + 0.5 * free[1, b] * second[0, a]
        found = np.bincount(drawn @ [2, 1], minlength=4) / n
        assert np.abs(found - expected.reshape(-1)).max() < 5 * np.sqrt(0.25 / n)

    @pytest.mark.parametrize("length, steps", [(64, 8), (64, 64), (9, 4), (4, 8), (5, 1)])
    def test_each_step_keeps_at_least_one_and_the_last_all(self, length, steps):
        prior = small(map_shape=(1, length), steps=steps, depth=1)
        left = [length, *prior._schedule(prior.steps)]
        assert left[-1] == 0 and (np.diff(left) < 0).all()
        assert len(left) == 1 + min(steps, length)

    def test_one_program_gives_the_same_codes(self):
        prior = small(7, (3, 4), 2, steps=5)
        y = tensor([[0.0, 1.0], [1.0, 0.5]])
        drawn = prior.sample(2, np.random.default_rng(3), y)
        noise = np.random.default_rng(3).gumbel(size=(2, *prior.noise_shape))
        np.testing.assert_array_equal(array(prior.transform(tensor(noise), y)), drawn)
        assert drawn.shape == (2, 3, 4) and drawn.dtype == np.int32
        assert drawn.min() >= 0 and drawn.max() < 7

    @pytest.mark.turns
    def test_choices_and_guidance(self):
        prior = small(7, (2, 3), 2, condition_dropout=0.1)
        y = tensor([[0.0, 1.0]] * 3)
        cold = prior.sample(3, np.random.default_rng(0), y, temperature=0.0)
        one = prior.sample(3, np.random.default_rng(1), y, top_k=1, temperature=1e-6)
        np.testing.assert_array_equal(cold, one)
        guided = prior.sample(3, np.random.default_rng(0), y, guidance=5.0)
        assert (guided != prior.sample(3, np.random.default_rng(0), y)).any()
        without = prior.sample(3, np.random.default_rng(0), y, guidance=0.0)
        other = prior.sample(3, np.random.default_rng(0), 1.0 - y, guidance=0.0)
        np.testing.assert_array_equal(without, other)
        with pytest.raises(ValueError, match="`steps` must be an integer of at least 1"):
            prior.sample(1, np.random.default_rng(0), y[:1], steps=0)


@pytest.mark.turns
class TestModel:
    def test_it_learns_draws_is_saved_and_has_a_signature(self, images, tmp_path):
        model = tiny(num_classes=3)
        model.prior = priors.MaskedTransformer(16, (2, 2), 3, 8, 1, 2, 3, seed=0)
        model = shaken(model)
        labels = np.arange(64) % 3
        assert np.isfinite(model.fit(images, labels, verbose=0).history["prior_loss"]).all()
        before = model.code_log_prob(images, labels).mean()
        model.fit_prior(images, labels, epochs=40, verbose=0)
        assert model.code_log_prob(images, labels).mean() > before + 0.5
        drawn = model.sample(4, condition=1, seed=2)
        assert np.isfinite(model.log_likelihood(images[:3], condition=labels[:3])).all()
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(loaded.sample(4, condition=1, seed=2), drawn)

        signature = signatures(model)["sample"]
        noise = np.random.default_rng(2).gumbel(size=(4, *model.prior.noise_shape))
        noise = noise.astype("float32")
        ones = np.ones(4, "int32")
        found = signature.call(noise=tensor(noise), condition=ops.convert_to_tensor(ones))
        np.testing.assert_allclose(array(found["image"]), drawn, atol=1e-5)
        reference = signature.reference(noise=noise, condition=ones)["image"]
        np.testing.assert_allclose(reference, drawn, atol=1e-5)

    def test_one_by_one_has_no_signature(self):
        with pytest.raises(ValueError, match="one by one, in Python; `priors.MaskedTransformer"):
            signatures(tiny(), "sample")
