"""What a model refuses, what it takes, and that refusing costs it nothing."""

import contextlib
import importlib.util
import itertools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import models, objectives
from tests.support import ROOT, SHAPE
from tests.support.bad_inputs import (
    BAD_ATTRIBUTES,
    BAD_CODES,
    BAD_LABELS,
    BAD_WEIGHTS,
    BAD_X,
    BATCHES,
    CODES,
    GOOD,
    LABELS,
    VECTORS,
    N,
    changed,
)

METHODS = {
    "fit": lambda model, x: model.fit(x, verbose=0),
    "evaluate": lambda model, x: model.evaluate(x, verbose=0),
    "validation": lambda model, x: model.fit(GOOD, validation_data=(x, None), verbose=0),
    "validation alone": lambda model, x: model.fit(GOOD, validation_data=x, verbose=0),
    "encode": lambda model, x: model.encode(x),
    "posterior": lambda model, x: model.posterior(x),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "interpolate from": lambda model, x: model.interpolate(x, GOOD),
    "interpolate to": lambda model, x: model.interpolate(GOOD, x),
    "traverse": lambda model, x: model.traverse(x, dim=0),
    "log_likelihood": lambda model, x: model.log_likelihood(x, samples=2),
    "log_px": lambda model, x: model.log_px(x, CODES),
}


def tiny(**options):
    options = {"units": (4,), "seed": 0, **options}
    make = models.cvae if {"num_classes", "condition_dim"} & set(options) else models.vae
    return make(SHAPE, 2, **options)


# One model each for many tests: a refusal leaves it as it was.
@pytest.fixture(scope="module")
def plain():
    return tiny()


@pytest.fixture(scope="module")
def labelled():
    return tiny(num_classes=3)


@pytest.fixture(scope="module")
def attributed():
    return tiny(condition_dim=2, condition_names=("Big", "Red"))


def same_weights(model, before):
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def trains(model, y=None):
    """A good `fit`: a finite loss, one step, other weights."""
    before, step = model.get_weights(), int(ops.convert_to_numpy(model.step))
    loss = model.fit(GOOD, y, batch_size=N, verbose=0).history["loss"][0]
    assert np.isfinite(loss) and loss > 0
    assert int(ops.convert_to_numpy(model.step)) == step + 1
    kernels = [(a, b) for a, b in zip(before, model.get_weights()) if a.ndim == 2]
    assert kernels and all((a != b).any() for a, b in kernels)


@contextlib.contextmanager
def unmoved(model, error, match, y=None):
    """An error, and a model that is as it was."""
    weights, codes = model.get_weights(), model.encode(GOOD, y)
    with pytest.raises(error, match=match):
        yield
    same_weights(model, weights)
    np.testing.assert_array_equal(model.encode(GOOD, y), codes)


@contextlib.contextmanager
def refused(model, error, match, y=None):
    """An error, and a model that is as it was and can still be trained."""
    with unmoved(model, error, match, y):
        yield
    trains(model, y)


@pytest.mark.turns
class TestData:
    @pytest.mark.parametrize("method", ["fit", "evaluate"])
    @pytest.mark.parametrize("bad", BAD_X)
    def test_bad_data_is_refused_where_state_can_be_lost(self, plain, bad, method):
        x, error, match = BAD_X[bad]
        with refused(plain, error, match):
            METHODS[method](plain, x)

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_checks_its_data(self, plain, method):
        """One input for each kind of check: test_checks.py has them all."""
        for bad in ("other shape", "one NaN", "float pixels", "strings"):
            x, error, match = BAD_X[bad]
            with unmoved(plain, error, match):
                METHODS[method](plain, x)
        trains(plain)

    @pytest.mark.parametrize("x", [None, 3, "mnist", b"", {"x": GOOD}, object()])
    def test_what_is_no_data_at_all(self, plain, x):
        for method in (plain.fit, plain.evaluate):
            with refused(plain, (TypeError, ValueError), "`x` (is missing|must be an array)"):
                method(x, verbose=0)
        with refused(plain, TypeError, "`x` must be an array of numbers"):
            plain.encode(x if x != 3 else "3")

    def test_several_arrays_are_no_data(self, plain):
        with refused(
            plain, ValueError, r"\(n, 8, 8, 1\)... Received: shape \(2, 8, 8, 8, 1\)|shape"
        ):
            plain.fit([GOOD, GOOD], verbose=0)
        with refused(plain, ValueError, "`x` must be an array: each example of the same shape"):
            plain.fit((GOOD, LABELS), verbose=0)

    def test_the_hint_about_pixels_is_given_for_pixels_only(self, plain):
        for x in (GOOD.astype("int32") - 5, changed(256).astype("int32"), changed(255.5)):
            with pytest.raises(ValueError, match=r"lie in \[0, 1\]. Received") as caught:
                plain.encode(x)
            assert "255" not in str(caught.value).split("Received")[0]

    def test_the_other_end_of_an_interpolation_is_as_long(self, plain):
        with refused(plain, ValueError, "as many examples as each other. Received: 8 and 3"):
            plain.interpolate(GOOD, GOOD[:3])

    def test_any_finite_number_where_there_is_no_range(self):
        from keras_vae import likelihoods

        model = tiny(likelihood=likelihoods.Normal(1.0, data_range=None))
        x = 1000 * (GOOD - 0.5)
        assert np.isfinite(model.encode(x)).all()
        with refused(model, ValueError, "must be finite"):
            model.encode(changed(np.nan))


@pytest.mark.turns
class TestConditions:
    @pytest.mark.parametrize("y, match", BAD_LABELS)
    def test_bad_labels(self, labelled, y, match):
        with unmoved(labelled, ValueError, match, LABELS):
            labelled.fit(GOOD, y, verbose=0)
        with refused(labelled, ValueError, match, LABELS):
            labelled.evaluate(GOOD, y, verbose=0)
        with refused(labelled, ValueError, match, LABELS):
            labelled.fit(GOOD, LABELS, validation_data=(GOOD, y), verbose=0)

    def test_every_method_checks_its_conditions(self, labelled, attributed):
        """A missing and a bad one: test_checks.py has them all."""
        for model, good, bad in (
            (labelled, LABELS, BAD_LABELS[:2]),
            (attributed, VECTORS, BAD_ATTRIBUTES[:2]),
        ):
            for y, match in bad:
                for use in conditional_uses(model):
                    with unmoved(model, ValueError, match, good):
                        use(y)
            trains(model, good)

    @pytest.mark.parametrize("y, match", BAD_ATTRIBUTES)
    def test_bad_attributes(self, attributed, y, match):
        with unmoved(attributed, ValueError, match, VECTORS):
            attributed.fit(GOOD, y, verbose=0)
        with refused(attributed, ValueError, match, VECTORS):
            attributed.evaluate(GOOD, y, verbose=0)
        with refused(attributed, ValueError, match, VECTORS):
            attributed.fit(GOOD, VECTORS, validation_data=(GOOD, y), verbose=0)
        with refused(attributed, ValueError, "conditional|Conditions|attributes", VECTORS):
            attributed.edit(GOOD, y, Big=1)

    def test_an_unconditional_model_takes_none(self, plain):
        for use in conditional_uses(plain):
            with unmoved(plain, ValueError, "unconditional: leave `condition` out. .* ndarray"):
                use(LABELS)
        with refused(plain, ValueError, "unconditional: leave `condition` out"):
            plain.edit(GOOD, LABELS, Big=1)

    def test_labels_of_an_unconditional_model_make_no_difference(self):
        losses = {
            tiny().fit(GOOD, y, verbose=0, shuffle=False).history["loss"][0]
            for y in (None, LABELS, LABELS.tolist(), np.eye(3)[LABELS], np.full(N, 1e9))
        }
        assert len(losses) == 1

    def test_labels_of_an_unconditional_model_are_still_one_each(self, plain):
        for method in (plain.fit, plain.evaluate):
            with refused(plain, ValueError, "`y` must hold one value for each .* 5 for 8"):
                method(GOOD, LABELS[:5], verbose=0)
            with refused(plain, TypeError, "`y` must be an array of numbers"):
                method(GOOD, ["a"] * N, verbose=0)
            with refused(plain, ValueError, "`y` must hold at least one"):
                method(GOOD, 3, verbose=0)

    def test_forms_of_good_labels(self, labelled):
        expected = labelled.encode(GOOD, LABELS)
        forms = [LABELS.tolist(), LABELS.astype("float32"), LABELS[:, None], *tensors(LABELS)]
        for y in forms:
            np.testing.assert_array_equal(labelled.encode(GOOD, y), expected)
        ones = labelled.encode(GOOD, np.ones(N, "int32"))
        np.testing.assert_array_equal(labelled.encode(GOOD, 1), ones)
        assert np.abs(ones - expected).max() > 1e-3


def conditional_uses(model):
    return [
        lambda y: model.encode(GOOD, y),
        lambda y: model.posterior(GOOD, y),
        lambda y: model.reconstruct(GOOD, y),
        lambda y: model.decode(CODES, y),
        lambda y: model.sample(N, condition=y),
        lambda y: model.interpolate(GOOD, GOOD, 3, condition=y),
        lambda y: model.traverse(GOOD, 0, [0.0], condition=y),
        lambda y: model.log_likelihood(GOOD, 2, condition=y),
        lambda y: model.log_px(GOOD, CODES, y),
    ]


@pytest.mark.turns
class TestNumbers:
    # test_checks.py has them all.
    @pytest.mark.parametrize("z, error, match", [BAD_CODES[1], BAD_CODES[4]])
    def test_bad_codes(self, plain, z, error, match):
        with refused(plain, error, match):
            plain.decode(z)
        with refused(plain, error, match):
            plain.log_px(GOOD, z)

    @pytest.mark.parametrize("n", [0, True])
    def test_bad_counts(self, plain, n):
        match = "must be an integer of at least 1. Received: "
        calls = {
            "n": lambda: plain.sample(n),
            "steps": lambda: plain.interpolate(GOOD, GOOD, steps=n),
            "samples": lambda: plain.log_likelihood(GOOD, samples=n),
            "batch_size": lambda: plain.encode(GOOD, batch_size=n),
        }
        for name, call in calls.items():
            with unmoved(plain, ValueError, f"`{name}` {match}{name}="):
                call()
        if n is not None:
            for method in (plain.fit, plain.evaluate):
                with unmoved(plain, ValueError, f"`batch_size` {match}batch_size="):
                    method(GOOD, batch_size=n, verbose=0)
        trains(plain)

    def test_good_counts_of_any_integer_type(self, plain):
        for n in (3, np.int64(3), np.uint8(3)):
            assert plain.sample(n).shape == (3, *SHAPE)

    def test_an_interpolation_has_two_ends(self, plain):
        with refused(plain, ValueError, "`steps` must be at least 2. Received: steps=1"):
            plain.interpolate(GOOD, GOOD, steps=1)
        way = plain.interpolate(GOOD, GOOD[::-1], steps=2)
        np.testing.assert_allclose(way[:, 0], plain.reconstruct(GOOD), atol=1e-6)
        np.testing.assert_allclose(way[:, 1], plain.reconstruct(GOOD[::-1]), atol=1e-6)

    @pytest.mark.once
    @pytest.mark.parametrize("dim", [-1, 2, 1.0, "0", None])
    def test_bad_dimensions(self, plain, dim):
        with refused(plain, ValueError, "`dim` must be from 0 to 1. Received: dim="):
            plain.traverse(GOOD, dim)

    @pytest.mark.once
    @pytest.mark.parametrize("values", [[], [np.nan], [0.0, np.inf], 1.0, [[0.0, 1.0]]])
    def test_bad_values(self, plain, values):
        with refused(plain, ValueError, "`values` must be a list of finite numbers"):
            plain.traverse(GOOD, 0, values)

    @pytest.mark.parametrize("weights", BAD_WEIGHTS)
    def test_sample_weights_of_another_length(self, plain, weights):
        for method in (plain.fit, plain.evaluate):
            with refused(plain, ValueError, "`sample_weight` must"):
                method(GOOD, sample_weight=weights, verbose=0)
        with refused(plain, ValueError, "`sample_weight` must"):
            plain.fit(GOOD, validation_data=(GOOD, None, weights), verbose=0)

    def test_sample_weights_that_are_no_numbers(self, plain):
        for weights, error in ((np.full(N, np.nan), ValueError), (["a"] * N, TypeError)):
            with refused(plain, error, "`sample_weight` must be (finite|an array of numbers)"):
                plain.fit(GOOD, sample_weight=weights, verbose=0)

    def test_sample_weights_count(self):
        """Of data without y too, and in every form; Keras alone would drop them."""
        weights = np.array([0, 0, 0, 0, 1, 1, 1, 1], "float32")
        losses, validation = [], []
        for given in (weights, weights[:, None], weights.tolist(), None):
            model = tiny()
            model.compile(optimizer=keras.optimizers.SGD(0.0))
            options = {"verbose": 0, "shuffle": False, "batch_size": N}
            data = (GOOD, None, given)
            history = model.fit(GOOD, sample_weight=given, validation_data=data, **options).history
            losses.append(history["loss"][0])
            validation.append(history["val_loss"][0])
        assert losses[0] == losses[1] == losses[2] < 0.8 * losses[3]
        assert validation[0] == validation[1] == validation[2] < 0.8 * validation[3]

    def test_validation_data_of_too_many_parts(self, plain):
        with refused(plain, ValueError, r"x, \(x, y\) or \(x, y, sample_weight\).*4 parts"):
            plain.fit(GOOD, validation_data=(GOOD, None, None, None), verbose=0)

    def test_every_form_of_validation_data_is_the_same(self):
        labelled = tiny(num_classes=3)
        forms = [(GOOD, LABELS), [GOOD, LABELS], (GOOD, LABELS, np.ones(N)), batches("tf", LABELS)]
        losses = []
        for form in forms:
            labelled.compile(optimizer=keras.optimizers.SGD(0.0))
            reset_noise(labelled)
            history = labelled.fit(GOOD, LABELS, validation_data=form, verbose=0).history
            losses.append(history["val_kl_loss"][0])
        np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
        kl = labelled.posterior(GOOD, LABELS).kl(labelled.prior).mean()
        assert losses[0] == pytest.approx(kl, rel=1e-4)


def reset_noise(model):
    model.seed_generator.state.assign(np.zeros(model.seed_generator.state.shape))


def tensors(array):
    """The array as a tensor of every library that is here."""
    import tensorflow as tf

    found = [tf.constant(array)]
    if importlib.util.find_spec("jax"):
        import jax

        found.append(jax.numpy.asarray(array))
    if importlib.util.find_spec("torch"):
        import torch

        tensor = torch.tensor(array)
        found.append(tensor.requires_grad_() if tensor.is_floating_point() else tensor)
    return found


class TestTypes:
    BINARY = (GOOD > 0.5).astype("float32")

    def forms(self):
        x = self.BINARY
        yield from (x.astype(t) for t in ("bool", "uint8", "int64", "float64", "float16"))
        yield x.tolist()
        yield list(x)
        yield np.asfortranarray(x)
        yield from tensors(x)
        yield from tensors(x.astype("uint8"))
        if importlib.util.find_spec("jax"):
            import jax

            yield jax.numpy.asarray(x, "bfloat16")
        if importlib.util.find_spec("torch"):
            import torch

            yield torch.tensor(x, dtype=torch.bfloat16)

    def test_inference_gives_the_values_of_float32(self, plain):
        x = self.BINARY
        expected = {
            "encode": plain.encode(x),
            "reconstruct": plain.reconstruct(x),
            "log_px": plain.log_px(x, CODES),
            "log_likelihood": plain.log_likelihood(x, 3, verbose=False),
            "way": plain.interpolate(x, x[::-1], 3),
            "traversal": plain.traverse(x, 1, [0.5]),
        }
        forms = list(self.forms())
        assert len(forms) >= 10
        for form in forms:
            found = {
                "encode": plain.encode(form),
                "reconstruct": plain.reconstruct(form),
                "log_px": plain.log_px(form, CODES),
                "log_likelihood": plain.log_likelihood(form, 3, verbose=False),
                "way": plain.interpolate(form, x[::-1], 3),
                "traversal": plain.traverse(form, 1, [0.5]),
            }
            for name, value in expected.items():
                # The order in memory may change the order of a sum.
                np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-6, err_msg=name)
                assert found[name].dtype == value.dtype

    def test_training_gives_the_values_of_float32(self):
        model = tiny()
        model.compile(optimizer=keras.optimizers.SGD(0.0))

        def losses(x):
            reset_noise(model)
            fitted = model.fit(x, verbose=0, shuffle=False).history["loss"][0]
            return fitted, model.evaluate(x, verbose=0, return_dict=True)["loss"]

        expected = losses(self.BINARY)
        assert expected[0] != expected[1]
        for form in self.forms():
            assert losses(form) == expected

    def test_codes_and_grey_values(self, plain):
        expected = plain.decode(CODES)
        for z in (CODES.tolist(), CODES.astype("float64"), *tensors(CODES)):
            np.testing.assert_array_equal(plain.decode(z), expected)
        half = GOOD.astype("float16")
        np.testing.assert_array_equal(plain.encode(half), plain.encode(half.astype("float32")))
        np.testing.assert_array_equal(plain.encode(GOOD.astype("float64")), plain.encode(GOOD))

    def test_the_callers_array_is_left_alone(self, plain):
        x = GOOD.copy()
        x.flags.writeable = False
        plain.fit(x, verbose=0)
        plain.traverse(x, 0)
        np.testing.assert_array_equal(x, GOOD)


def batches(kind, y=None, x=GOOD, size=3):
    """x in batches of a kind of source."""
    if kind == "tf":
        import tensorflow as tf

        data = (x,) if y is None else (x, y)
        return tf.data.Dataset.from_tensor_slices(data).batch(size)
    if kind == "loader":
        torch = pytest.importorskip("torch")
        data = [torch.tensor(a) for a in ((x,) if y is None else (x, y))]
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), size)
    parts = [
        (x[i : i + size],) if y is None else (x[i : i + size], y[i : i + size])
        for i in range(0, max(len(x), 1), size)
    ]
    if kind == "generator":
        return (part for part in parts)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return len(parts)

        def __getitem__(self, index):
            return parts[index]

    return Batches()


def of_one_batch(kind, *arrays):
    """A source whose first batch is exactly this."""
    if kind == "tf":
        import tensorflow as tf

        return tf.data.Dataset.from_tensors(arrays)
    if kind == "loader":
        torch = pytest.importorskip("torch")
        tensors = tuple(torch.tensor(np.asarray(a)) for a in arrays)
        return torch.utils.data.DataLoader([tensors], batch_size=None)
    if kind == "generator":
        return (batch for batch in [arrays])

    class One(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return arrays

    return One()


KINDS = ["tf", "PyDataset", "loader", "generator"]
# Each on one kind of source, and on each kind one of every kind of check.
BAD_BATCHES = sorted(
    {(bad, KINDS[i % 4]) for i, bad in enumerate(BATCHES)}
    | set(itertools.product(("other shape", "one NaN", "float pixels"), KINDS))
)


@pytest.mark.turns
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
class TestSources:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("conditional", [False, True])
    def test_every_batch_is_seen_once(self, kind, conditional):
        y = LABELS if conditional else None
        model = tiny(num_classes=3) if conditional else tiny()
        model.compile(optimizer=keras.optimizers.SGD(0.0))
        # KL is the same for any noise: the mean over all examples, each counted once.
        kl = model.posterior(GOOD, y).kl(model.prior)
        history = model.fit(batches(kind, y), verbose=0).history
        assert int(ops.convert_to_numpy(model.step)) == 3
        assert history["kl_loss"][0] == pytest.approx(kl.mean(), rel=1e-4)
        assert history["kl_loss"][0] != pytest.approx(kl[3:].mean(), rel=1e-3)
        logs = model.evaluate(batches(kind, y), verbose=0, return_dict=True)
        assert logs["kl_loss"] == pytest.approx(kl.mean(), rel=1e-4)

    @pytest.mark.parametrize("kind", KINDS)
    def test_labels_of_an_unconditional_model_are_ignored(self, kind):
        histories = []
        for y in (None, LABELS):
            model = tiny()
            history = model.fit(batches(kind, y), shuffle=False, verbose=0).history
            histories.append(history["loss"][0])
        assert histories[0] == pytest.approx(histories[1], rel=1e-6)

    def test_batches_that_are_no_tuples(self):
        """Keras takes a bare x from data sets, but from generators only tuples."""
        expected = tiny().fit(batches("PyDataset"), shuffle=False, verbose=0).history["loss"]
        dataset = batches("tf").map(lambda x: x)
        assert not isinstance(next(iter(dataset)), tuple)
        assert tiny().fit(dataset, verbose=0).history["loss"] == pytest.approx(expected)

    def test_a_generator_that_never_ends(self):
        def endless():
            while True:
                yield (GOOD[:4],)

        model = tiny()
        model.fit(endless(), steps_per_epoch=3, epochs=2, verbose=0)
        assert int(ops.convert_to_numpy(model.step)) == 6

    @pytest.mark.parametrize("bad, kind", BAD_BATCHES)
    def test_a_bad_first_batch_is_refused(self, plain, kind, bad):
        x, error, match = BATCHES[bad]
        if kind == "loader" and bad == "strings":
            pytest.skip("PyTorch has no tensors of strings")
        for use in (
            lambda source: plain.fit(source, verbose=0),
            lambda source: plain.evaluate(source, verbose=0),
            lambda source: plain.fit(GOOD, validation_data=source, verbose=0),
        ):
            with unmoved(plain, error, r"(?s)the first batch.*" + _of_a_batch(match)):
                use(of_one_batch(kind, x))
        trains(plain)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        "y, match",
        [
            (LABELS + 1, "Labels must be from 0 to 2"),
            (LABELS[:5], "8 integer labels"),
            (LABELS + 0.5, "8 integer labels"),
            (np.int64(1), r"must (have shape \(8,\)|hold at least one)"),
        ],
    )
    def test_bad_labels_in_the_first_batch_are_refused(self, labelled, kind, y, match):
        with refused(labelled, ValueError, match, LABELS):
            labelled.fit(of_one_batch(kind, GOOD, y), verbose=0)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_condition_for_all_is_none_in_a_batch(self, attributed, kind):
        with refused(attributed, ValueError, r"shape \(8, 2\). Received: shape \(2,\)", VECTORS):
            attributed.fit(of_one_batch(kind, GOOD, VECTORS[0]), verbose=0)

    @pytest.mark.parametrize("kind", KINDS)
    def test_missing_labels_and_bad_weights_in_the_first_batch(self, labelled, kind):
        with refused(labelled, ValueError, "conditional: give `y`", LABELS):
            labelled.fit(of_one_batch(kind, GOOD), verbose=0)
        with refused(labelled, ValueError, "`sample_weight` must have shape", LABELS):
            labelled.fit(of_one_batch(kind, GOOD, LABELS, np.ones(5)), verbose=0)

    def test_sources_without_a_batch(self, plain):
        for source in (batches("tf").take(0), (x for x in [])):
            with refused(plain, ValueError, "gives no batch"):
                plain.fit(source, verbose=0)


def _of_a_batch(match):
    return match.replace("single example add", ".*add")


class RaisingELBO(objectives.ELBO):
    """Fails inside the step, where no check can foresee it."""

    def __init__(self):
        super().__init__()
        self.fails = {True: False, False: False}

    def __call__(self, evidence):
        if self.fails[evidence.training]:
            raise RuntimeError("inside the step")
        return super().__call__(evidence)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
class TestFailures:
    """A failure that only the step itself finds costs no weights either."""

    @pytest.fixture
    def model(self):
        parts = tiny()
        model = models.VAE(
            parts.encoder, parts.decoder, parts.posterior_layer, objective=RaisingELBO(), seed=0
        )
        model.compile(optimizer=keras.optimizers.Adam(0.01))
        return model

    @contextlib.contextmanager
    def failing(self, model, training):
        model.objective.fails[training] = True
        weights, codes = model.get_weights(), model.encode(GOOD)
        with pytest.raises(RuntimeError, match="inside the step"):
            yield
        same_weights(model, weights)
        np.testing.assert_array_equal(model.encode(GOOD), codes)
        model.objective.fails[training] = False

    def test_in_the_first_step_of_all(self, model):
        with self.failing(model, training=True):
            model.fit(GOOD, verbose=0)
        trains(model)
        model.evaluate(GOOD, verbose=0)

    def test_in_the_first_step_of_a_later_fit(self, model):
        model.fit(GOOD, epochs=2, verbose=0)
        slots = [ops.convert_to_numpy(v) for v in model.optimizer.variables]
        assert max(np.abs(slot).max() for slot in slots) > 0
        model.train_function = None  # as after `compile`: the next step is traced anew
        with self.failing(model, training=True):
            model.fit(GOOD, verbose=0)
        for old, new in zip(slots, model.optimizer.variables, strict=True):
            np.testing.assert_array_equal(old, ops.convert_to_numpy(new))
        trains(model)

    def test_in_evaluate(self, model):
        with self.failing(model, training=False):
            model.evaluate(GOOD, verbose=0)
        assert np.isfinite(model.evaluate(GOOD, verbose=0))[0]
        trains(model)

    def test_in_validation(self, model):
        """The epoch before it is kept, as its weights are."""
        model.objective.fails[False] = True
        before = model.get_weights()
        with pytest.raises(RuntimeError, match="inside the step"):
            model.fit(GOOD, validation_data=GOOD, verbose=0)
        assert any((a != b).any() for a, b in zip(before, model.get_weights()))
        assert np.isfinite(model.encode(GOOD)).all()
        model.objective.fails[False] = False
        assert len(model.fit(GOOD, validation_data=GOOD, verbose=0).history["val_loss"]) == 1
        trains(model)

    def test_of_a_later_batch(self, model):
        """A second batch of another shape: the first step is kept, and no more."""
        expected = tiny()
        expected.compile(optimizer=keras.optimizers.Adam(0.01))
        expected.fit(GOOD[:4], batch_size=4, shuffle=False, verbose=0)
        start = model.get_weights()
        for method in (model.fit, model.evaluate):
            source = ((x,) for x in (GOOD[:4], np.zeros((4, 5, 5, 1), "float32")))
            with pytest.raises(Exception, match="(?s)shape|size|match"):
                method(source, verbose=0)
            for a, b, c in zip(model.get_weights(), expected.get_weights(), start, strict=True):
                # TensorFlow may have counted the step that it could not finish.
                if a.ndim:
                    np.testing.assert_allclose(a, b, atol=1e-6)
                    assert a.ndim < 2 or (a != c).any()
            np.testing.assert_allclose(model.encode(GOOD), expected.encode(GOOD), atol=1e-5)
        trains(model)

    def test_of_the_source_itself(self, model):
        def source():
            yield (GOOD[:4],)
            yield (GOOD[4:],)
            raise KeyboardInterrupt

        for method in (model.fit, model.evaluate):
            with pytest.raises(BaseException):  # noqa: B017 (TensorFlow has its own)
                method(source(), verbose=0)
            assert np.isfinite(model.encode(GOOD)).all()
        trains(model)

    def test_of_a_callback(self, model):
        def fail(batch, logs):
            raise RuntimeError("in a callback")

        callback = keras.callbacks.LambdaCallback(on_train_batch_end=fail)
        before = model.get_weights()
        with pytest.raises(RuntimeError, match="in a callback"):
            model.fit(GOOD, callbacks=[callback], verbose=0)
        assert any((a != b).any() for a, b in zip(before, model.get_weights()))
        assert np.isfinite(model.encode(GOOD)).all()
        trains(model)


class TestCompiling:
    def test_the_objective_is_the_only_loss(self):
        model = tiny()
        model.compile(optimizer="adam", loss="mse")
        before = model.get_weights()
        with pytest.raises(ValueError, match="compile it without `loss`.*Received: loss='mse'"):
            model.fit(GOOD, verbose=0)
        same_weights(model, before)
        model.compile(optimizer="adam")
        trains(model)

    def test_freezing_after_the_optimizer_is_built(self):
        model = tiny()
        trains(model)
        model.encoder.trainable = False
        before = model.get_weights()
        with pytest.raises(ValueError, match=r"call `model.compile\(...\)` again.* 6 .* of 8"):
            model.fit(GOOD, verbose=0)
        same_weights(model, before)
        model.compile(optimizer=keras.optimizers.Adam(0.01))
        frozen, free = model.encoder.get_weights(), model.decoder.get_weights()
        model.fit(GOOD, verbose=0)
        for a, b in zip(frozen, model.encoder.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert any((a != b).any() for a, b in zip(free, model.decoder.get_weights()))
        model.encoder.trainable = True
        with pytest.raises(ValueError, match=r"call `model.compile\(...\)` again.* 8 .* of 6"):
            model.fit(GOOD, verbose=0)
        model.compile(optimizer=keras.optimizers.Adam(0.01))
        trains(model)

    def test_evaluating_first_does_not_choose_another_optimizer(self):
        evaluated, fresh = tiny(), tiny()
        evaluated.evaluate(GOOD, verbose=0)
        for model in (evaluated, fresh):
            trains(model)
            assert type(model.optimizer).__name__ == "Adam"
            assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)

    def test_mixed_precision_trains_twice(self):
        keras.config.set_dtype_policy("mixed_float16")
        try:
            model = tiny()
            for _ in range(2):
                assert np.isfinite(model.fit(GOOD, verbose=0).history["loss"][0])
        finally:
            keras.config.set_dtype_policy("float32")


@pytest.mark.once
@pytest.mark.parametrize("backend", ["numpy", "openvino"])
def test_an_unknown_backend(backend):
    if backend == "openvino" and not importlib.util.find_spec("openvino"):
        pytest.skip("openvino is not installed")
    done = subprocess.run(
        [sys.executable, "-c", "import keras_vae"],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: keras_vae trains on TensorFlow, JAX and PyTorch.")
    assert "'tensorflow', 'jax' or 'torch'" in last
    assert last.endswith(f"KERAS_BACKEND='{backend}'")
