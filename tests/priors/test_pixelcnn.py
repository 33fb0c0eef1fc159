"""The PixelCNN over codes."""

import numpy as np
import pytest
from keras import ops

from keras_vae import priors
from tests.support import array
from tests.support.autodiff import gradient


@pytest.mark.turns
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


def test_its_convolutions_are_sums_of_products(rng):
    block = priors.GatedPixelCNN(7, (4, 5), channels=3, depth=1, seed=0).blocks[0]
    for layer in (block.vertical, block.horizontal, block.across, block.out):
        kernel, bias = (rng.normal(size=w.shape).astype("float32") for w in layer.get_weights())
        layer.set_weights([kernel, bias])
        height, width, depth, _ = kernel.shape
        x = rng.normal(size=(2, 5, 6, depth)).astype("float32")
        expected = bias + sum(
            x[:, i : 6 - height + i, j : 7 - width + j] @ kernel[i, j]
            for i in range(height)
            for j in range(width)
        )
        np.testing.assert_allclose(array(layer(x)), expected, rtol=1e-4, atol=1e-5)
