"""The loss of a VQ-VAE and its gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import metrics, objectives, quantizers
from tests.support import SHAPE, array
from tests.support.autodiff import gradient
from tests.support.quantized import D, K, shaken, tiny

pytestmark = pytest.mark.turns


def scored(discretized):
    """The loss of codes alone."""
    zeros = ops.zeros((3,))
    evidence = objectives.QuantizedEvidence(None, discretized, 0.0, zeros, zeros, 0, True)
    return objectives.Quantized(0.25)(evidence)[0]


@pytest.fixture
def model():
    return shaken(tiny())


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
        found = {}
        for codebook in quantizers.CODEBOOKS:
            quantizer = quantizers.VectorQuantizer(K, D, codebook, revive_after=None)
            quantizer.vectors.assign(array(model.quantizer.vectors).astype("float32"))
            way = features - array(quantizer.lookup(quantizer(features)))
            slope = gradient(lambda z, by=quantizer: ops.sum(scored(by.discretize(z))), features)
            np.testing.assert_allclose(slope, 2 * 0.25 * way, rtol=1e-4, atol=1e-6)
            found[codebook] = array(scored(quantizer.discretize(features)))
        # A codebook of running averages has no loss: only its commitment counts.
        plain = 0.25 * np.square(way).sum((1, 2, 3))
        np.testing.assert_allclose(found["ema"], plain, rtol=1e-5)
        np.testing.assert_allclose(found["gradient"], 5 * plain, rtol=1e-5)

    def test_of_a_learned_codebook_it_is_minus_two_times_the_way(self, images):
        """The encoder and the decoder are frozen: only ‖sg(z) - e‖² moves codes."""
        model = tiny(codebook="gradient", revive_after=None, commitment=0.0)
        model.encoder.trainable = model.decoder.trainable = model.prior.trainable = False
        before, features = array(model.quantizer.vectors), array(model.encoder(images))
        codes = model.encode(images)
        model.compile(keras.optimizers.SGD(1e-3))
        model.fit(images, batch_size=64, verbose=0)
        way = np.zeros_like(before)
        np.add.at(way, codes, features - before[codes])
        expected = before + 1e-3 * 2 * way / 64
        np.testing.assert_allclose(array(model.quantizer.vectors), expected, atol=1e-6)

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
        quantizer = quantizers.VectorQuantizer(K, D, seed=0)
        features = rng.normal(size=(3, 2, 2, D)).astype("float32")
        large = quantizer.discretize(np.tile(features, (1, 2, 2, 1)))
        small = quantizer.discretize(features)
        np.testing.assert_allclose(
            array(large.commitment_loss), 4 * array(small.commitment_loss), rtol=1e-5
        )

    @pytest.mark.slow
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
