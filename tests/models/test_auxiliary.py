"""Auxiliary deep generative models: bounds by enumeration, labels that are missing."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import conditions, metrics, models, zoo
from keras_vae.models import auxiliary
from tests.support import SHAPE, array, reference

# The backends agree on what this computes (test_backends.py), so each test runs on one.
pytestmark = pytest.mark.turns

C, D, A = 3, 2, 2


def tiny(**kwargs):
    defaults = {"units": (5,), "seed": 0, "auxiliary_dim": A, "num_classes": C}
    return models.auxiliary_vae(SHAPE, D, **{**defaults, **kwargs})


def small(rng, classes=C, d=D, a=A, **kwargs):
    """A model of six pixels whose weights are larger than at the start."""
    model = models.auxiliary_vae(
        (6,), d, units=(5,), seed=0, auxiliary_dim=a, num_classes=classes, **kwargs
    )
    for part in parts(model):
        part.set_weights([0.7 * rng.normal(size=w.shape) for w in part.get_weights()])
    return model


def parts(model):
    found = [model.encoder, model.decoder, model.posterior_layer, model.auxiliary_encoder,
             model.auxiliary_posterior, model.auxiliary_decoder, model.auxiliary_prior]  # fmt: skip
    return found + ([model.classifier] if model.classifier else [])


def network(part, *inputs):
    """Dense layers of ReLUs, none after the last of a decoder and a classifier: NumPy."""
    x, values = np.concatenate(inputs, axis=-1), part.get_weights()
    pairs = list(zip(values[::2], values[1::2]))
    for i, (kernel, bias) in enumerate(pairs):
        x = x @ kernel.astype("float64") + bias
        x = np.maximum(x, 0) if len(pairs) == 1 or i < len(pairs) - 1 else x
    return x


def normal(layer, features):
    kernel, bias = (w.astype("float64") for w in layer.get_weights())
    mean, raw = np.split(features @ kernel + bias, 2, axis=-1)
    return mean, 10 * np.tanh(raw / 10)


def log_softmax(logits):
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def enumerated(model, x, noise):
    """For every class: log p(x|y,z), KL of z, log q(a|x) - log p(a|x,y,z), `(n, C)`;
    log q(y|a,x); and log q(z|..) - log p(z) of the samples."""
    a_dim, classes = model.auxiliary_dim, 1 if model.classifier is None else C
    mean, log_var = normal(model.auxiliary_posterior, network(model.auxiliary_encoder, x))
    a = mean + np.exp(log_var / 2) * noise[:, :a_dim]
    log_qa = reference.normal_log_prob(a, mean, log_var).sum(-1)
    log_qy = np.zeros((len(x), 1))
    if model.classifier is not None:
        log_qy = log_softmax(network(model.classifier, x, a))
    columns = []
    for c in range(classes):
        y = np.zeros((len(x), 0 if model.classifier is None else C))
        y[:, c : c + 1] = 1
        mean, log_var = normal(model.posterior_layer, network(model.encoder, x, a, y))
        z = mean + np.exp(log_var / 2) * noise[:, a_dim:]
        ratio_z = reference.normal_log_prob(z, mean, log_var).sum(-1)
        ratio_z -= reference.normal_log_prob(z, 0.0, 0.0).sum(-1)
        log_px = reference.bernoulli_log_prob(x, network(model.decoder, z, y)).sum(-1)
        p_mean, p_log_var = normal(model.auxiliary_prior, network(model.auxiliary_decoder, x, z, y))
        ratio_a = log_qa - reference.normal_log_prob(a, p_mean, p_log_var).sum(-1)
        kl = reference.normal_kl(mean, log_var, 0.0, 0.0).sum(-1)
        columns.append((log_px, kl, ratio_a, ratio_z))
    return [np.stack(values, axis=-1) for values in zip(*columns)] + [log_qy]


@pytest.fixture
def data(rng):
    x = rng.random((7, 6)).astype("float32")
    return x, np.array([0, -1, 2, -1, -1, 1, 2])


def scored(model, x, y, noise, **kwargs):
    y = None if y is None else ops.convert_to_tensor(y)
    evidence = model.evidence(ops.convert_to_tensor(x), y, noise=noise[None], **kwargs)
    loss, terms = model.objective(evidence)
    return evidence, array(loss), {name: array(value) for name, value in terms.items()}


class TestBounds:
    def test_labelled_and_unlabelled_examples_by_enumeration(self, rng, data):
        model, (x, y) = small(rng, classification=7.0), data
        noise = rng.standard_normal((7, A + D)).astype("float32")
        log_px, kl, ratio_a, _, log_qy = enumerated(model, x, noise)
        q, expected, classification = np.exp(log_qy), [], []
        for i, label in enumerate(y):
            bounds = [
                log_px[i, c] - kl[i, c] - ratio_a[i, c] - np.log(C) for c in range(C)
            ]  # fmt: skip
            if label >= 0:
                classification.append(-log_qy[i, label])
                expected.append(-bounds[label] + 7.0 * classification[-1])
            else:
                classification.append(0.0)
                entropy = -(q[i] * log_qy[i]).sum()
                expected.append(-(q[i] @ bounds) - entropy)
        _, loss, terms = scored(model, x, y, noise)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
        np.testing.assert_allclose(terms["classification_loss"], classification, rtol=1e-4)
        weights = np.where(y[:, None] >= 0, np.eye(C)[y], q)
        for name, values in (
            ("reconstruction_loss", -log_px), ("kl_loss", kl), ("auxiliary_loss", ratio_a)
        ):  # fmt: skip
            np.testing.assert_allclose(
                terms[name], (weights * values).sum(-1), rtol=1e-4, atol=1e-5
            )

    def test_examples_without_label_have_no_classification_loss(self, rng, data):
        x, y = data
        noise = rng.standard_normal((7, A + D)).astype("float32")
        plain, heavy = (
            scored(small(np.random.default_rng(0), classification=c), x, y, noise)
            for c in (0.0, 100.0)
        )
        assert (plain[2]["classification_loss"][y < 0] == 0).all()
        assert (plain[2]["classification_loss"][y >= 0] > 0.01).all()
        np.testing.assert_array_equal(plain[1][y < 0], heavy[1][y < 0])
        apart = heavy[1] - plain[1]
        np.testing.assert_allclose(apart, 100 * plain[2]["classification_loss"], rtol=1e-4)

    def test_no_labels_at_all_is_minus_one_everywhere(self, rng, data):
        model, (x, y) = small(rng), data
        noise = rng.standard_normal((7, A + D)).astype("float32")
        missing = scored(model, x, np.full(7, -1), noise)
        none = scored(model, x, None, noise)
        np.testing.assert_array_equal(missing[1], none[1])
        mixed = scored(model, x, y, noise)
        np.testing.assert_allclose(mixed[1][y < 0], none[1][y < 0], rtol=1e-6)
        assert (np.abs(mixed[1] - none[1])[y >= 0] > 0.01).all()

    def test_without_classes_it_is_the_auxiliary_bound(self, rng, data):
        model, (x, _) = small(rng, classes=None), data
        noise = rng.standard_normal((7, A + D)).astype("float32")
        log_px, kl, ratio_a, ratio_z, _ = enumerated(model, x, noise)
        evidence, loss, terms = scored(model, x, None, noise)
        np.testing.assert_allclose(loss, (-log_px + kl + ratio_a)[:, 0], rtol=1e-5)
        assert set(terms) == {"reconstruction_loss", "kl_loss", "auxiliary_loss"}
        found = array(evidence.log_weights)[0]
        np.testing.assert_allclose(found, (log_px - ratio_z - ratio_a)[:, 0], rtol=1e-5)

    def test_beta_weighs_the_divergences_of_z_and_a(self, rng, data):
        x, y = data
        noise = rng.standard_normal((7, A + D)).astype("float32")
        one, four = (
            scored(small(np.random.default_rng(0), beta=b), x, y, noise) for b in (1.0, 4.0)
        )
        added = 3 * (one[2]["kl_loss"] + one[2]["auxiliary_loss"])
        np.testing.assert_allclose(four[1] - one[1], added, rtol=1e-4, atol=1e-4)

    def test_importance_weights_are_sums_over_the_classes(self, rng, data):
        """Unlabelled log Σ_y w(y)/C; labelled w of that label."""
        model, (x, y) = small(rng), data
        noise = rng.standard_normal((7, A + D)).astype("float32")
        log_px, _, ratio_a, ratio_z, _ = enumerated(model, x, noise)
        joint = log_px - ratio_z - ratio_a
        expected = np.logaddexp.reduce(joint, axis=-1) - np.log(C)
        expected = np.where(y >= 0, joint[np.arange(7), y], expected)
        found = array(scored(model, x, y, noise)[0].log_weights)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    @pytest.mark.parametrize("classes", [None, C])
    def test_the_bound_reaches_the_likelihood_by_quadrature(self, classes, rng):
        """One latent dimension: log 1/C Σ_y ∫ p(x|y,z) p(z) dz; a changes nothing of it."""
        model = small(rng, classes, d=1, a=1)
        for layer in (model.posterior_layer, model.auxiliary_posterior, model.auxiliary_prior):
            kernel, bias = layer.get_weights()
            layer.set_weights([0.3 * kernel, np.array([0.1, 0.3])])
        x = (rng.random((4, 6)) < 0.5).astype("float32")
        z = np.linspace(-9, 9, 4001)[:, None]
        log_pz = reference.normal_log_prob(z, 0.0, 0.0)[:, 0] + np.log(18 / 4000)
        exact = []
        for c in range(classes or 1):
            y = np.zeros((len(z), classes or 0))
            y[:, c : c + 1] = 1
            logits = network(model.decoder, z, y)
            log_px = reference.bernoulli_log_prob(x[:, None], logits).sum(-1)
            exact.append(np.logaddexp.reduce(log_px + log_pz, axis=1))
        bound = model.log_likelihood(x, samples=5000, verbose=False)
        np.testing.assert_allclose(bound, reference.logmeanexp(np.stack(exact)), atol=0.05)
        if classes:
            y = np.array([0, 1, 2, 0])
            bound = model.log_likelihood(x, samples=5000, condition=y, verbose=False)
            np.testing.assert_allclose(bound, np.stack(exact)[y, np.arange(4)], atol=0.05)
        # The two terms of the ELBO are below it by what its posterior is off.
        terms = metrics.elbo(model, x, samples=20)
        assert terms["elbo"].mean < reference.logmeanexp(np.stack(exact)).mean()
        assert terms["elbo"].mean == pytest.approx(terms["reconstruction"].mean - terms["kl"].mean)
        assert terms["kl"].mean > 0


class TestLabels:
    def test_a_few_labels_name_what_the_others_are(self, rng):
        """Three kinds of pictures, four labels of each: the rest is read right."""
        labels = np.arange(120) % 3
        x = np.zeros((120, 6), "float32")
        x[np.arange(120), 2 * labels] = x[np.arange(120), 2 * labels + 1] = 1.0
        x = np.abs(x - (rng.random(x.shape) < 0.1)).astype("float32")
        y = np.where(np.arange(120) < 12, labels, -1)
        model = models.auxiliary_vae(
            (6,), 2, units=(16,), seed=0, auxiliary_dim=2, num_classes=3, classification=10.0
        )
        model.compile(keras.optimizers.Adam(5e-3))
        model.fit(x, y, batch_size=30, epochs=60, verbose=0)
        found = model.classify(x)
        assert found.shape == (120, 3)
        np.testing.assert_allclose(found.sum(-1), 1.0, rtol=1e-5)
        assert (found.argmax(-1) == labels)[12:].mean() > 0.85

    def test_class_probabilities_are_those_of_the_mean_of_a(self, rng, data):
        model, (x, _) = small(rng), data
        mean, _ = normal(model.auxiliary_posterior, network(model.auxiliary_encoder, x))
        expected = np.exp(log_softmax(network(model.classifier, x, mean)))
        np.testing.assert_allclose(model.classify(x), expected, rtol=1e-4)
        assert model.classify(x[:1]).shape == (1, C)

    def test_codes_are_of_the_label_or_of_the_most_probable_one(self, rng, data):
        model, (x, y) = small(rng), data
        most = model.classify(x).argmax(-1)
        known = model.encode(x, condition=most)
        np.testing.assert_array_equal(model.encode(x), known)
        mixed = np.where(y >= 0, y, most)
        np.testing.assert_array_equal(model.all_labels(x), most)
        np.testing.assert_array_equal(model.all_labels(x, y), mixed)
        np.testing.assert_array_equal(
            model.encode(x, condition=y), model.encode(x, condition=mixed)
        )
        others = [model.encode(x, condition=np.full(7, c)) for c in range(C)]
        assert np.abs(others[0] - others[1]).max() > 1e-3
        np.testing.assert_allclose(
            model.reconstruct(x), model.decode(known, condition=most), atol=1e-6
        )
        np.testing.assert_allclose(
            model.reconstruct(x, condition=mixed),
            model.decode(model.encode(x, condition=mixed), condition=mixed),
            atol=1e-6,
        )

    def test_samples_have_the_label_that_is_asked_for_or_one_of_their_own(self, rng):
        model = small(rng)
        seven = model.sample(7, seed=3)
        np.testing.assert_array_equal(seven, model.sample(7, seed=3))
        each = np.stack([model.sample(7, condition=c, seed=3) for c in range(C)])
        matches = np.abs(each - seven).max(-1) < 1e-6
        assert (matches.sum(0) == 1).all() and matches.any(1).sum() > 1
        some = model.sample(7, condition=[-1, 1, 1, 1, 1, 1, 1], seed=3)
        np.testing.assert_array_equal(some[1:], each[1][1:])
        np.testing.assert_array_equal(some[0], seven[0])
        drawn = np.random.default_rng(np.random.SeedSequence(0).spawn(1)[0]).integers(0, C, 3000)
        assert (np.bincount(drawn, minlength=C) > 900).all()

    def test_a_code_is_not_decoded_without_a_label(self, rng):
        model = small(rng)
        for condition in (None, -1, [0, -1, 2]):
            with pytest.raises(ValueError, match="decoded with a label.*Received: [13] of 3"):
                model.decode(np.zeros((3, D)), condition=condition)
            with pytest.raises(ValueError, match="decoded with a label"):
                model.log_px(np.zeros((3, 6)), np.zeros((3, D)), condition=condition)

    def test_labels_may_come_in_every_way_that_fit_takes(self, images):
        y = np.where(np.arange(64) % 4, -1, np.arange(64) % 3)
        held = (images[:8], y[:8])
        for data in (
            {"x": images},
            {"x": images, "y": y},
            {"x": images, "y": y.astype("float32")[:, None]},
            {"x": ((images[i : i + 16], y[i : i + 16]) for i in (0, 16)), "steps_per_epoch": 2},
            {"x": ((images[i : i + 16],) for i in (0, 16)), "steps_per_epoch": 2},
        ):
            model = tiny()
            history = model.fit(**data, validation_data=held, verbose=0).history
            assert np.isfinite(history["loss"]).all() and np.isfinite(history["val_loss"]).all()
        logs = model.evaluate(images, y, verbose=0, return_dict=True)
        assert logs["classification_loss"] > 0
        assert model.evaluate(images, verbose=0, return_dict=True)["classification_loss"] == 0

    def test_a_model_without_labels(self, images, tmp_path):
        model = tiny(num_classes=None)
        y = np.arange(64) % 3
        history = model.fit(images, y, batch_size=21, verbose=0).history
        assert np.isfinite(history["loss"]).all() and "label_loss" not in history
        np.testing.assert_allclose(
            model.reconstruct(images), model.decode(model.encode(images)), atol=1e-6
        )
        assert model.sample(3, seed=0).shape == (3, *SHAPE)
        zoo.save(model, tmp_path / "preset", golden=(images[:2],))
        loaded = zoo.load(tmp_path / "preset")
        np.testing.assert_array_equal(loaded.encode(images), model.encode(images))
        with pytest.raises(ValueError, match="Only a model with labels classifies"):
            model.classify(images)
        with pytest.raises(ValueError, match="unconditional"):
            model.encode(images, condition=y)

    def test_a_preset_of_a_model_with_labels(self, images, tmp_path):
        model = tiny()
        model.fit(images, np.arange(64) % 3, verbose=0)
        zoo.save(model, tmp_path / "preset", golden=(images[:2], np.array([0, 2])))
        loaded = zoo.load(tmp_path / "preset")
        np.testing.assert_array_equal(loaded.classify(images), model.classify(images))
        assert loaded.condition.optional and loaded.condition.dim == C

    def test_a_report_of_collapse_takes_the_labels_that_codes_were_found_with(self, rng, data):
        model, (x, y) = small(rng), data
        for condition in (None, y):
            report = metrics.collapse_report(model, x, condition)
            labels = model.all_labels(x, condition)
            z = model.encode(x, condition=condition)
            expected = model.log_px(x, z, condition=labels).mean()
            assert report.own == pytest.approx(expected, rel=1e-5)

    def test_the_auxiliary_variable_is_trained(self, images):
        model = tiny()
        before = [p.get_weights() for p in parts(model)]
        model.fit(images, np.arange(64) % 3, verbose=0)
        for old, part in zip(before, parts(model)):
            assert max(np.abs(a - b).max() for a, b in zip(old, part.get_weights())) > 1e-5


class TestBadInput:
    def test_labels(self, images):
        model = tiny()
        for y in (3, -2):
            with pytest.raises(ValueError, match=f"Labels must be from 0 to 2.*{y}"):
                model.fit(images, np.full(64, y), verbose=0)
        with pytest.raises(ValueError, match="integer labels"):
            model.fit(images, np.full(64, 0.5), verbose=0)

    def test_vectors_of_labels(self):
        labels = conditions.OptionalLabels(3)
        found = array(labels.encode(ops.convert_to_tensor([1, -1, 0])))
        np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 0], [1, 0, 0]])
        assert labels.check(-1, 2).tolist() == [-1, -1]
        assert labels.check([[1], [-1]], 2).tolist() == [1, -1]

    def test_parts(self):
        with pytest.raises(ValueError, match="auxiliary_dim=0"):
            tiny(auxiliary_dim=0)
        with pytest.raises(ValueError, match="no variance can be fitted"):
            tiny(likelihood="optimal_normal")
        with pytest.raises(ValueError, match="classification=-1"):
            tiny(classification=-1)
        model = tiny()
        others = {name: getattr(model, name) for name in auxiliary.OTHERS if name != "classifier"}
        parts = model.encoder, model.decoder, model.posterior_layer
        with pytest.raises(ValueError, match="classifier comes with.*classifier=None"):
            models.AuxiliaryVAE(*parts, condition=model.condition, **others)
        others["auxiliary_decoder"] = model.auxiliary_encoder
        with pytest.raises(ValueError, match="auxiliary_decoder must take inputs.*Received"):
            models.AuxiliaryVAE(
                *parts, condition=model.condition, classifier=model.classifier, **others
            )
