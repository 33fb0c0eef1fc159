"""`fit` with the data on the device and many steps a call: the same as Keras' own loop."""

import random

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae import callbacks, models
from keras_vae.models import fast as fast_path
from keras_vae.models.fast import Chunk
from keras_vae.training import chunks
from tests.support import SHAPE, array, make_images
from tools.speed import benchmark, raw_loops

BACKEND = keras.backend.backend()
# Compilers may add in another order where several steps are one program.
LOSS, WEIGHT = 1e-5, 2e-6


@pytest.fixture(scope="module")
def x():
    return make_images(np.random.default_rng(0), 35)


@pytest.fixture
def two_steps_at_once(monkeypatch):
    """Several calls per epoch, the last of them with fewer steps."""
    monkeypatch.setattr(fast_path, "steps_at_once", lambda model: 2)


def tiny(optimizer=None, **kwargs):
    model = models.vae(SHAPE, 2, **{"units": (4,), "seed": 0, **kwargs})
    model.compile(optimizer or keras.optimizers.Adam(0.01))
    return model


def state_of(model):
    return [array(v) for v in (*model.variables, *model.optimizer.variables)]


def both(build, *args, **kwargs):
    """History and state after the same `fit` on either way."""
    runs = []
    for fast in (False, True):
        keras.utils.set_random_seed(1)
        model = build()
        history = model.fit(*args, verbose=0, fast=fast, **kwargs)
        assert isinstance(model.train_function, Chunk) == fast
        runs.append((history, state_of(model)))
    return runs


def assert_same(runs):
    (slow, before), (fast, after) = runs
    assert slow.epoch == fast.epoch and list(slow.history) == list(fast.history)
    for name, values in slow.history.items():
        np.testing.assert_allclose(fast.history[name], values, rtol=LOSS, err_msg=name)
    assert len(before) == len(after)
    for one, other in zip(before, after):
        np.testing.assert_allclose(other, one, rtol=WEIGHT, atol=WEIGHT)


def test_it_is_the_ordinary_fit(x, two_steps_at_once):
    """Shuffled, a last batch that is not full, several calls per epoch, validation, bytes."""
    build = lambda: tiny(keras.optimizers.SGD(1e-3, momentum=0.9))  # noqa: E731
    runs = both(build, (x > 0.5).astype("uint8"), batch_size=8, epochs=3, validation_data=x[:5])
    assert_same(runs)
    assert runs[1][0].params["steps"] == 5 and len(runs[1][0].history["val_loss"]) == 3


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others have no such pipeline")
def test_the_end_of_fit_waits_for_no_autotuning():
    """Its thread wakes ever more seldom; ending it took up to half of the training's time."""
    source = chunks.rows_of_chunks(10, 4, shuffle=True)
    assert source["x"].options().autotune.enabled is False
    batches = [array(rows) for rows in source["x"]]
    assert [len(rows) for rows in batches] == [4, 4, 2] and len(source["x"]) == 3
    assert sorted(np.concatenate(batches)) == list(range(10))
    ordered = chunks.rows_of_chunks(10, 4, shuffle=False)["x"]
    assert list(np.concatenate([array(rows) for rows in ordered])) == list(range(10))


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch's compiler takes a minute")
def test_with_and_without_xla(x, two_steps_at_once):
    def build():
        model = tiny()
        model.compile(keras.optimizers.Adam(0.01), jit_compile=True)
        return model

    assert_same(both(build, x, batch_size=8, epochs=2))


class _Unknown(keras.layers.Layer):
    """Something that XLA has no translation of."""

    def call(self, x):
        import tensorflow as tf

        return x + tf.reshape(tf.stop_gradient(tf.py_function(lambda: 0.0, [], "float32")), ())


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others compile at once, or nothing")
@pytest.mark.parametrize(
    "layer, compiled",
    [(None, True), (lambda: keras.layers.Dropout(0.5, seed=3), False), (_Unknown, False)],
    ids=["plain", "draws otherwise by XLA", "unknown to XLA"],
)
def test_long_training_goes_over_to_xla(x, layer, compiled, two_steps_at_once, monkeypatch):
    """Noise, random pixels, weights: nothing changes but by rounding."""
    ran = []

    class Program:
        def __init__(self, fn, jit_compile=None, **kwargs):
            self.program = function(fn, jit_compile=jit_compile, **kwargs)
            self.get_concrete_function = self.program.get_concrete_function
            self.jit_compile = jit_compile

        def __call__(self, *arguments):
            outputs = self.program(*arguments)
            if len(arguments) == 3:
                ran.append(self.jit_compile)
            return outputs

    def build():
        model = models.iwae(SHAPE, 2, samples=3, units=(4,), seed=0)
        if layer is not None:
            inputs = keras.Input(SHAPE)
            encoder = keras.Model(inputs, model.encoder(layer()(inputs)))
            model = model._with(encoder=encoder)
        model.compile(keras.optimizers.Adam(0.01))
        return model

    function = chunks.tf.function
    monkeypatch.setattr(chunks, "XLA_EARNED_BACK", 5)
    monkeypatch.setattr(chunks.tf, "function", Program)
    assert_same(both(build, x, batch_size=8, epochs=3))
    # Two chunks of two steps an epoch, and the third is what is left: XLA after the first epoch.
    assert ran == [False, False] + 4 * [compiled]
    # Fits that are too short count together.
    monkeypatch.setattr(chunks, "XLA_EARNED_BACK", 6)
    ran.clear()
    model = build()
    for _ in range(3):
        model.fit(x, batch_size=8, verbose=0, fast=True)
    assert ran == [False, False] * 2 + 2 * [compiled]


def test_conditions_weights_and_what_an_optimizer_has(x):
    """Labels, weights, a validation split, a schedule, moving averages, clipping."""

    def build():
        model = models.cvae(SHAPE, 2, units=(4,), num_classes=3, seed=0)
        rate = keras.optimizers.schedules.CosineDecay(0.01, 8)
        model.compile(keras.optimizers.Adam(rate, use_ema=True, global_clipnorm=1.0))
        return model

    y, weights = np.arange(35) % 3, np.linspace(0.1, 2.0, 35)
    assert_same(
        both(build, x, y, batch_size=8, epochs=2, sample_weight=weights, validation_split=0.2)
    )


def test_data_for_validation_comes_before_a_split(x):
    """Keras then trains on all rows."""
    runs = both(tiny, x, batch_size=8, validation_split=0.5, validation_data=x[:4])
    assert_same(runs)
    assert runs[1][0].params["steps"] == 5


def test_the_order_of_rows_is_that_of_resume(x, two_steps_at_once, tmp_path):
    """`Resume` shuffles by a seed of its own; nothing shuffles the chunks once more."""
    kept = []
    for fast in (False, True):
        model = tiny()
        resume = callbacks.Resume(tmp_path / str(fast), seed=3)
        # Python's generator, by which Keras would shuffle.
        random.seed(7)
        history = model.fit(x, batch_size=4, epochs=3, verbose=0, fast=fast, callbacks=[resume])
        kept.append((history, state_of(model)))
    assert_same(kept)


def test_the_data_leaves_the_device_after_fit(x):
    model = tiny()
    model.fit(x, verbose=0, fast=True)
    assert model._resident is None and "_resident" not in model.__dict__
    with pytest.raises(FloatingPointError):
        model.fit(x * np.float32(1.0), verbose=0, fast=True, callbacks=[_Poison()])
    assert "_resident" not in model.__dict__


class _Poison(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        bias = self.model.decoder.layers[-2].bias
        bias.assign(bias * np.nan)


def test_a_train_function_made_again_is_of_the_same_kind(x):
    """As whoever freezes a layer in a callback must do."""

    class Again(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.make_train_function(force=True)

    assert_same(both(tiny, x, batch_size=8, epochs=2, callbacks=[Again()]))


def test_a_procedure_of_its_own(x):
    """Two optimizers, each with its own slots."""

    def build():
        model = models.factor_vae(SHAPE, 2, units=(4,), discriminator_units=(4,), seed=0)
        model.compile(keras.optimizers.Adam(0.01))
        return model

    assert_same(both(build, x, batch_size=8, epochs=2))


def test_convolutions_and_few_examples(x):
    """Fewer than a batch, and batches of one."""
    build = lambda: tiny(network="conv", units=(2,), hidden=4)  # noqa: E731
    assert_same(both(build, x[:3], epochs=2))
    assert_same(both(build, x[:3], batch_size=1, shuffle=False))


def test_callbacks_of_epochs_work(x, tmp_path):
    def callbacks():
        return [
            keras.callbacks.LearningRateScheduler(lambda epoch: 0.02 / (epoch + 1)),
            keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=2),
            keras.callbacks.ModelCheckpoint(
                tmp_path / "{epoch}.weights.h5", save_weights_only=True
            ),
            keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        ]

    model, plain = tiny(), tiny()
    for one, fast in ((model, True), (plain, False)):
        keras.utils.set_random_seed(1)
        history = one.fit(x, epochs=9, callbacks=callbacks(), verbose=0, fast=fast)
        assert history.epoch == [0, 1, 2]
        if fast:
            seen = [(tmp_path / f"{n}.weights.h5").stat().st_size for n in (1, 2, 3)]
            assert all(seen)
    for one, other in zip(state_of(model), state_of(plain)):
        np.testing.assert_allclose(one, other, rtol=WEIGHT, atol=WEIGHT)
    assert float(ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.02 / 3)


def test_it_is_chosen_where_it_applies_and_says_why_not(x):
    model = tiny()
    model.fit(x, verbose=0, batch_size=1, epochs=6)
    assert isinstance(model.train_function, Chunk)
    assert model.why_not_fast(x, batch_size=1, epochs=6) is None
    # 28 of 35 are left for training.
    split = {"batch_size": 1, "epochs": 6, "validation_split": 0.2}
    assert model.why_not_fast(x, **split).startswith("168 steps are too few")
    assert model.why_not_fast(x, epochs=100) is None
    model.fit(x, verbose=0, batch_size=1, epochs=6, steps_per_epoch=1)
    assert not isinstance(model.train_function, Chunk)
    before = state_of(model)

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.seen = batch

    look = Look()
    saver = keras.callbacks.ModelCheckpoint("m.keras", save_freq=3)
    cases = {
        "no array but a source of batches": (iter([x]), {}),
        "Look wants to see every batch": (x, {"callbacks": [look]}),
        "ModelCheckpoint wants to see every batch": (x, {"callbacks": saver}),
        "`class_weight` is given": (x, {"class_weight": {0: 1.0}}),
        "`steps_per_epoch` is given": (x, {"steps_per_epoch": 1}),
        "`shuffle` is 'batch'": (x, {"shuffle": "batch"}),
        "leaves no example": (x, {"validation_split": 0.999}),
    }
    for text, (data, arguments) in cases.items():
        assert text in model.why_not_fast(data, **arguments)
        if data is x:
            with pytest.raises(ValueError, match="Received: fast=True"):
                model.fit(data, fast=True, **arguments)
    with pytest.raises(ValueError, match="`fast` must be .*Received: fast='yes'"):
        model.fit(x, fast="yes")
    for one, other in zip(before, state_of(model)):
        np.testing.assert_array_equal(one, other)
    model.fit(x, verbose=0, batch_size=1, epochs=6, callbacks=[look])
    assert look.seen == 34
    for text, arguments in (
        ("run_eagerly", {"run_eagerly": True}),
        ("steps_per_execution", {"steps_per_execution": 2}),
        ("metrics", {"metrics": ["mse"]}),
    ):
        model.compile("adam", **arguments)
        assert text in model.why_not_fast(x)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras' distributions are not TensorFlow's")
def test_a_distribution_of_keras_rules_it_out(x, monkeypatch):
    assert tiny().why_not_fast(x, epochs=200) is None
    monkeypatch.setattr(keras.distribution, "distribution", lambda: "data parallel")
    assert tiny().why_not_fast(x, epochs=200) == "a `keras.distribution` is set"


def test_a_loss_that_is_no_number_is_found_at_its_step(x):
    messages = []
    for fast in (False, True):
        model = tiny(keras.optimizers.SGD(1e30))
        before = model.get_weights()
        with pytest.raises(FloatingPointError, match="since epoch 1, batch") as caught:
            model.fit(x, batch_size=8, verbose=0, shuffle=False, fast=fast)
        messages.append(str(caught.value).split(". ")[0])
        for one, other in zip(before, model.get_weights()):
            np.testing.assert_array_equal(one, other)
        model.compile(keras.optimizers.SGD(1e-3))
        assert np.isfinite(model.fit(x, verbose=0, fast=fast).history["loss"]).all()
    assert messages[0] == messages[1]


def test_the_progress_bar_counts_steps(x, two_steps_at_once, capsys):
    tiny().fit(x, batch_size=8, verbose=1, fast=True)
    text = capsys.readouterr().out
    assert "5/5" in text and "1/3" not in text and "loss: " in text


@pytest.mark.skipif(BACKEND == "jax", reason="JAX compiles Keras' own Adam into one pass")
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_the_backends_own_adam_is_adam(network, monkeypatch):
    """Weights and moments after steps with the same gradients."""
    if BACKEND == "torch":
        from keras_vae.training import torch as training
    else:
        from keras_vae.training import tensorflow as training
    rng, used, fused = np.random.default_rng(0), [], training._fused_adam
    shapes = [tuple(v.shape) for v in tiny(network=network).trainable_variables]
    targets = [[rng.standard_normal(s, "float32") for s in shapes] for _ in range(4)]

    def moved(native):
        monkeypatch.setattr(training, "_fused_adam", lambda *args: (used.append(1), fused(*args)))
        if not native:
            monkeypatch.setattr(training, "_is_plain_adam", lambda *_: False)
        rate = keras.optimizers.schedules.CosineDecay(0.02, 9)
        model = tiny(keras.optimizers.Adam(rate, 0.8, 0.99, 1e-3), network=network)
        model.optimizer.build(model.trainable_variables)
        for target in targets:

            def loss(target=target):
                pairs = zip(model.trainable_variables, target, strict=True)
                return sum(ops.sum(ops.square(v - t)) for v, t in pairs), ()

            model.minimize(loss, model.optimizer, model.trainable_variables)
        return state_of(model)

    for one, other in zip(moved(True), moved(False), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert len(used) == 4


@pytest.mark.parametrize("optimizer", [keras.optimizers.Adam, keras.optimizers.RMSprop])
def test_a_row_that_is_read_twice_has_one_gradient(optimizer):
    """As a codebook's vectors are: the sum of both, and not each squared by itself."""

    def moved(read):
        model = tiny(optimizer(0.02))
        model.optimizer.build(model.trainable_variables)
        for _ in range(3):
            model.minimize(
                lambda: (sum(map(read, model.trainable_variables)), ()),
                model.optimizer,
                model.trainable_variables,
            )
        return state_of(model)

    def rows(v):
        return ops.sum(ops.square(ops.take(ops.convert_to_tensor(v), [0, 0], axis=0) - 0.3))

    def first(v):
        return 2 * ops.sum(ops.square(ops.convert_to_tensor(v)[0] - 0.3))

    for one, other in zip(moved(rows), moved(first), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's gradients may lie in another order")
@pytest.mark.parametrize("network", ["dense", "conv"])
def test_fused_adam_trains_as_that_of_keras(x, network, monkeypatch):
    from keras_vae.training import torch as training
    from keras_vae.training import torch_replay

    # Without replays each step chooses again.
    monkeypatch.setattr(torch_replay, "record", lambda step, arrays: (step(arrays), None))

    def build():
        rate = keras.optimizers.schedules.CosineDecay(0.02, 9)
        return tiny(keras.optimizers.Adam(rate), network=network)

    one = both(build, x, batch_size=8, epochs=2)
    used = []
    monkeypatch.setattr(training, "_is_plain_adam", lambda *_: bool(used.append(1)))
    other = both(build, x, batch_size=8, epochs=2)
    assert len(used) == 20
    for pair in zip(one, other):
        assert_same(pair)


@pytest.mark.parametrize(
    "option",
    [
        {"amsgrad": True},
        {"weight_decay": 0.1},
        {"clipnorm": 0.1},
        {"clipvalue": 1e-3},
        {"global_clipnorm": 0.1},
        {"use_ema": True},
        {"gradient_accumulation_steps": 2},
        {"loss_scale_factor": 2.0},
        None,
    ],
    ids=lambda option: next(iter(option or ["AdamW"])),
)
def test_adam_with_anything_more_is_that_of_keras(option):
    from keras_vae.training import adam

    make = keras.optimizers.AdamW if option is None else keras.optimizers.Adam
    for optimizer, plain in ((keras.optimizers.Adam(0.01), True), (make(**option or {}), False)):
        model = tiny(optimizer)
        model.optimizer.build(model.trainable_variables)
        assert adam.is_plain(model.optimizer, model.trainable_variables) == plain


@pytest.mark.parametrize("name", ["A", "B", "C", "D"])
def test_the_benchmark_trains_the_same_network_twice(name):
    (encoder, decoder), shape, _, attributes = benchmark.networks()[name]
    latent_dim = encoder[-1][1] // 2
    by_hand = raw_loops.initial((encoder, decoder), shape, latent_dim, attributes)
    model = benchmark.model_of((encoder, decoder), shape, attributes)
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    assert sorted(shapes) == sorted(v.shape for v in by_hand)


def test_a_loop_by_hand_of_a_vq_vae_learns(x):
    network = [("conv", 8, 0)], [("up", 1, 0)]
    epoch = raw_loops.LOOPS[BACKEND](network, x, 0, 8)
    first = epoch()
    for _ in range(20):
        last = epoch()
    assert last < first - 0.5


def test_a_loop_by_hand_learns(x):
    encoder = [("dense", 8, 1), ("dense", 4, 0)]
    decoder = [("dense", 8, 1), ("dense", 64, 0), ("reshape", SHAPE)]
    epoch = raw_loops.LOOPS[BACKEND]((encoder, decoder), x, 2, 8)
    first = epoch()
    # ln 2 a pixel before it has learned anything, besides the KL.
    assert first == pytest.approx(64 * np.log(2), rel=0.1)
    for _ in range(20):
        last = epoch()
    assert last < first - 0.5


@pytest.mark.slow
def test_fit_is_not_far_slower_than_a_loop_by_hand(tmp_path):
    """Far outside the noise; `python -m tools benchmark` measures."""
    row = benchmark.measure("A", rounds=3, steps=20)
    assert row["ratio_cpu"] > 0.3
    benchmark.plot([row], tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 1000
