"""Canary: each private name of Keras exists and does what the package relies on.

After an upgrade of Keras these tests fail first. Each failure names the function of
`training/keras_private.py` to mend; nothing else in the package has to change.
"""

import ast

import keras
import numpy as np
import pytest
from keras import ops

from keras_vae.training import keras_private
from tests.support import ROOT, array

BACKEND = keras.backend.backend()
X, Y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")


def network(**options):
    """A plain Keras model with another one in it, trained for a step."""
    inputs = keras.Input((3,))
    inner = keras.Model(inputs, keras.layers.Dense(2, name="inside")(inputs))
    outer = keras.Input((3,))
    model = keras.Model(outer, keras.layers.Activation("linear", name="outside")(inner(outer)))
    model.compile(**{"optimizer": "sgd", "loss": "mse", **options})
    model.fit(X, Y, verbose=0)
    return model


def loss_tracker():
    model = network()
    tracker = keras_private.loss_tracker(model)
    tracker.reset_state()
    tracker.update_state(3.0, sample_weight=1)
    tracker.update_state(6.0, sample_weight=2)
    assert float(model.get_metrics_result()["loss"]) == 5.0


def compiled_loss():
    assert keras_private.compiled_loss(network()) == "mse"
    model = network()
    model.compile(optimizer="sgd")
    assert keras_private.compiled_loss(model) is None


def drop_compiled_loss():
    model = network()
    wrong = ops.convert_to_tensor(Y + 2)
    assert float(model.compute_loss(X, Y, wrong)) == 4.0
    keras_private.drop_compiled_loss(model)
    if BACKEND == "jax":
        assert float(model.compute_loss(X, Y, wrong)) == 0.0
    else:
        with pytest.raises(ValueError, match="[Nn]o loss"):
            model.compute_loss(X, Y, wrong)


def has_compiled_metrics():
    assert not keras_private.has_compiled_metrics(network())
    assert keras_private.has_compiled_metrics(network(metrics=["mae"]))


def compiles_by_default():
    model = network(jit_compile="auto")
    assert keras_private.compiles_by_default(model) == model.jit_compile
    assert keras_private.compiles_by_default(network(jit_compile=False)) == model.jit_compile


def all_layers():
    names = [layer.name for layer in keras_private.all_layers(network())]
    assert {"inside", "outside"} <= set(names) and len(names) == len(set(names))


def know_input_shape():
    class Own(keras.Model):
        def call(self, x):
            return x

    model = Own()
    keras_private.know_input_shape(model, (None, 3))
    assert model.get_build_config() == {"input_shape": (None, 3)}


def replace_layer():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.part = keras.layers.Dense(2)
            self.part.build((None, 3))

    model, new = Model(), keras.layers.Dense(5)
    new.build((None, 3))
    keras_private.replace_layer(model, model.part, new)
    model.part = new
    assert [v.shape for v in model.trainable_variables] == [(3, 5), (5,)]


def forget():
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.one, self.other = keras.layers.Dense(1), keras.layers.Dense(1)

    model = Two()
    keras_private.forget(model, [model.one])
    assert model.layers == [model.other]


def is_graph():
    model = network()
    assert keras_private.is_graph(model) and keras_private.is_graph(model.layers[1])
    assert keras_private.is_graph(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    assert not keras_private.is_graph(model.layers[2])


def made_by():
    model = network()
    operation, (tensor,) = keras_private.made_by(model.outputs[0])
    assert operation is model.layers[2]
    operation, inputs = keras_private.made_by(tensor)
    assert operation is model.layers[1] and inputs == model.inputs
    assert keras_private.made_by(model.inputs[0])[1] == []


def copied(part):
    """Those attributes, and layers that are kept apart, as they are now."""
    values = {**vars(part), **keras_private.layers_apart(part)}
    return {n: values[n] for n in keras_private.CONSTANTS_OF_LAYERS & values.keys()}


def CONSTANTS_OF_LAYERS():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    before = [copied(part) for part in (model, model.layers[0])]
    model.add(keras.layers.ReLU())
    model.layers[0].trainable = False
    model.layers[0].dtype_policy = "mixed_bfloat16"
    after = [copied(part) for part in (model, model.layers[0])]
    changed = [
        {name for name, value in one.items() if value != other[name]}
        for one, other in zip(before, after, strict=True)
    ]
    assert changed == [{"_functional"}, {"_dtype_policy", "_trainable"}]


def layers_apart():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    apart = keras_private.layers_apart(model)
    assert ("_functional" in apart) == (BACKEND == "torch")


def WEIGHTS_APART():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    found = keras_private.layers_apart(layer)
    assert (keras_private.WEIGHTS_APART in found) == (BACKEND == "torch")


def OPERATIONS():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, ops.relu(ops.log1p(inputs * 2 - 1)))
    config = keras.saving.serialize_keras_object(model)
    named = {(la["module"], la["class_name"]) for la in config["config"]["layers"][1:]}
    known = {(module, n) for module, names in keras_private.OPERATIONS.items() for n in names}
    assert len(named) == 4 and named <= known
    for module, name in known:
        found = getattr(__import__(module, fromlist=[name]), name)
        assert issubclass(found, keras.Operation), (module, name)


def optimized_variables():
    model = network()
    found = keras_private.optimized_variables(model.optimizer)
    assert [id(v) for v in found] == [id(v) for v in model.trainable_variables]
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    scaled.build(model.trainable_variables)
    assert len(keras_private.optimized_variables(scaled)) == len(model.trainable_variables)


def averages():
    model = network(optimizer=keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    pairs = keras_private.averages(model.optimizer)
    assert [id(v) for v, _ in pairs] == [id(v) for v in model.trainable_variables]
    before = [array(average) for _, average in pairs]
    for variable, _ in pairs:
        variable.assign(np.full(variable.shape, 8.0))
    model.optimizer.apply([ops.zeros(v.shape) for v, _ in pairs], [v for v, _ in pairs])
    for (_, average), old in zip(pairs, before, strict=True):
        np.testing.assert_allclose(array(average), 0.5 * old + 4.0, rtol=1e-6)


def adam_moments():
    optimizer = keras.optimizers.Adam(0.1, 0.75, 0.5)
    variables = [keras.Variable(np.ones(n, "float32")) for n in (2, 3)]
    optimizer.build(variables)
    optimizer.apply([ops.full(v.shape, 4.0) for v in variables], variables)
    # In the order that is asked for, not that of the optimizer.
    first, second = keras_private.adam_moments(optimizer, variables[::-1])
    for moments, value in ((first, 1.0), (second, 8.0)):
        assert [tuple(m.shape) for m in moments] == [(3,), (2,)]
        assert all((array(m) == value).all() for m in moments)


def SwapHook():
    swapped = []

    class Swap(keras_private.SwapHook):
        def swap(self, optimizer):
            swapped.append(optimizer)

    model = network(optimizer=keras.optimizers.SGD(0.1, use_ema=True))
    callback = Swap(swap_on_epoch=True)
    callback.set_model(model)
    # To the averages before validation, and back after it.
    callback.on_test_begin()
    assert len(swapped) == 1
    callback.on_test_end()
    assert [optimizer is model.optimizer for optimizer in swapped] == [True, True]


def INSIDE_FIT():
    seen = []

    class Model(keras.Model):
        def evaluate(self, *args, **kwargs):
            seen.append(kwargs.get(keras_private.INSIDE_FIT, False))
            return super().evaluate(*args, **kwargs)

    inputs = keras.Input((3,))
    model = Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, validation_data=(X, Y))
    model.evaluate(X, Y, verbose=0)
    assert seen == [True, False]


def SERIALIZED_MODULES():
    sequential = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for model, name in ((network(), "Functional"), (sequential, "Sequential")):
        config = keras.saving.serialize_keras_object(model)
        assert config["class_name"] == name
        known = {"keras"} | {
            m for m, names in keras_private.SERIALIZED_MODULES.items() if name in names
        }
        assert config["module"] in known
        assert type(keras.saving.deserialize_keras_object(config)) is type(model)


def array_of_and_put_back():
    variable = keras.Variable(np.ones(3, "float32"))
    value = keras_private.array_of(variable)
    assert (array(value) == 1.0).all()
    keras_private.put_back(variable, 2 * value)
    assert (array(variable) == 2.0).all()


def end_jax_steps():
    """Keras lends the weights to a step; an error leaves them with none."""
    model, seen = network(), []

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            # Not `self.model`, which gives the weights back.
            seen.extend(keras_private.array_of(v) for v in model.trainable_variables)
            raise KeyboardInterrupt

    before = [array(v) for v in model.trainable_variables]
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0, callbacks=[Stop()])
    assert all(value is None for value in seen) and seen
    keras_private.end_jax_steps(model)
    after = [array(v) for v in model.trainable_variables]
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


def hand_over_and_is_lent():
    """What a step hands over is what the variables get, though an exception follows at once."""
    handed = []

    class Model(keras_private.StepHook, keras.Model):
        def kept_step(self, step):
            def kept(state, data):
                _, state = step(state, data)
                handed.extend([array + 1 for array in group] for group in state)
                keras_private.hand_over(self, handed)
                assert keras_private.is_lent(self)
                raise KeyboardInterrupt

            return kept

    inputs = keras.Input((3,))
    model = Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", "mse")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0)
    keras_private.end_jax_steps(model)
    assert not keras_private.is_lent(model)
    for variable, value in zip(model.trainable_variables, handed[0], strict=True):
        np.testing.assert_array_equal(array(variable), array(value))


def StepHook():
    """Every step of `fit`, `evaluate` and `predict` goes through `kept_step`."""
    seen = []

    class Model(keras_private.StepHook, keras.Model):
        def kept_step(self, step):
            def kept(state, data):
                seen.append(len(state))
                return step(state, data)

            return kept

    inputs = keras.Input((3,))
    model = Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, batch_size=len(X))
    model.evaluate(X, Y, verbose=0, batch_size=len(X))
    model.predict(X, verbose=0, batch_size=len(X))
    assert seen == [4, 3, 2]


def ended_a_step():
    """1 after the last of the batches that make an optimizer step."""
    model = network(optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2))
    ended = []
    for _ in range(4):
        model.train_on_batch(X, Y)
        ended.append(int(array(keras_private.ended_a_step(model.optimizer))))
    # `network` has trained on one batch.
    assert ended == [1, 0, 1, 0]


class Rows(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[:2]


def DataAdapter_and_adapter_and_batches_of_and_reads_ahead():
    """Keras takes an adapter in place of data, and a `PyDataset` may give bare arrays."""
    found = keras_private.adapter(Rows(), False)
    assert isinstance(found, keras_private.DataAdapter) and found.num_batches == 2
    parts = list(keras_private.batches_of(found))
    assert len(parts) == 2 and np.array_equal(parts[0], X[:2])
    assert not keras_private.reads_ahead(found)
    assert keras_private.reads_ahead(keras_private.adapter(Rows(workers=2), False))
    asked = []

    class Adapter(keras_private.DataAdapter):
        num_batches, batch_size, has_partial_batch, partial_batch_size = 1, None, None, None

        def get_numpy_iterator(self):
            asked.append(1)
            yield X, Y

        get_jax_iterator = get_numpy_iterator

        def get_torch_dataloader(self):
            return self.get_numpy_iterator()

        def get_tf_dataset(self):
            import tensorflow as tf

            return tf.data.Dataset.from_tensors(next(self.get_numpy_iterator()))

    network().fit(Adapter(), verbose=0)
    assert asked


def is_keras_source_and_is_loader():
    import tensorflow as tf

    assert keras_private.is_keras_source(tf.data.Dataset.range(3))
    assert not keras_private.is_keras_source(Rows()) and not keras_private.is_keras_source([X])
    assert not keras_private.is_loader(tf.data.Dataset.range(3))
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader([1.0])
    assert keras_private.is_keras_source(loader) and keras_private.is_loader(loader)


def build_compiled_metrics():
    model = network()
    model.compile("sgd", metrics=["mae"])
    keras_private.build_compiled_metrics(model, (2,))
    keras_private.build_compiled_metrics(model, (2,))
    logs = model.compute_metrics(None, np.ones((1, 2)), np.zeros((1, 2)))
    assert float(array(logs["mae"])) == 1.0


def compiled_loss_weights():
    assert keras_private.compiled_loss_weights(network()) is None
    model = network()
    model.compile("sgd", loss_weights=[2.0])
    assert keras_private.compiled_loss_weights(model) == [2.0]


def train_function():
    """`fit` calls `make_train_function()`, and an unforced one keeps what is there."""
    forced = []

    class Model(keras.Model):
        def make_train_function(self, force=False):
            forced.append(force)
            super().make_train_function(force)

    inputs = keras.Input((3,))
    model = Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    function = model.train_function
    model.fit(X, Y, verbose=0)
    assert forced == [False, False] and model.train_function is function
    model.train_function = None
    model.fit(X, Y, verbose=0)
    assert model.train_function not in (None, function)


def computing_is_asked():
    class Computed(keras.layers.Layer):
        def call(self, x):
            if BACKEND == "torch" and x.device.type == "meta":
                raise RuntimeError("no such operation")
            return x

    asked = []
    with keras_private.computing_is_asked(lambda: asked.append(True)):
        keras.layers.Dense(2)(keras.Input((2,)))
        assert not asked
        Computed()(keras.Input((2,)))
    assert bool(asked) == (BACKEND == "torch")


def BuiltHook():
    """Keras has the method that the hook replaces, by which it builds a distributed model."""
    assert callable(keras.Model._maybe_symbolic_build)

    class Model(keras_private.BuiltHook, keras.Model):
        pass

    # Keras' own would take a batch of it.
    Model()._maybe_symbolic_build(iterator="none")


CHECKS = [
    loss_tracker,
    compiled_loss,
    drop_compiled_loss,
    has_compiled_metrics,
    compiles_by_default,
    all_layers,
    replace_layer,
    optimized_variables,
    averages,
    adam_moments,
    SwapHook,
    INSIDE_FIT,
    SERIALIZED_MODULES,
    train_function,
    forget,
    know_input_shape,
    is_graph,
    made_by,
    CONSTANTS_OF_LAYERS,
    OPERATIONS,
    WEIGHTS_APART,
    layers_apart,
    ended_a_step,
    DataAdapter_and_adapter_and_batches_of_and_reads_ahead,
    is_keras_source_and_is_loader,
    build_compiled_metrics,
    compiled_loss_weights,
    computing_is_asked,
    *([BuiltHook] if BACKEND == "tensorflow" else []),
    *(
        [array_of_and_put_back, end_jax_steps, hand_over_and_is_lent, StepHook]
        if BACKEND == "jax"
        else []
    ),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_keras_still_has_what_we_use(check):
    try:
        check()
    except Exception as error:
        raise AssertionError(
            f"Keras {keras.__version__} has changed what `{check.__name__}` of "
            "keras_vae/training/keras_private.py stands for (of `train_function`: "
            "keras_vae/models/fitting.py). Mend it there, so that this check passes again."
        ) from error


def test_every_name_has_a_check():
    public = {name for name in vars(keras_private) if not name.startswith("_")}
    checked = {name for check in CHECKS for name in check.__name__.split("_and_")}
    of_jax = {"array_of", "put_back", "end_jax_steps", "hand_over", "is_lent", "StepHook"}
    of_one = of_jax | {"BuiltHook"}
    assert public - {"contextlib", "keras", "operator", "data_adapters"} - of_one <= checked


def keras_names():
    """Private names of what the package gets from Keras, on this backend."""
    model = network(optimizer="adam")
    things = [
        *(model, *model.layers, model.optimizer, model.optimizer.iterations),
        *(keras.metrics.Mean(), keras.random.SeedGenerator(0), keras.utils.PyDataset),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()),
        *(kind for kind in vars(keras.callbacks).values() if isinstance(kind, type)),
    ]
    names = {name for thing in things for name in dir(thing)}
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


@pytest.mark.once
def test_no_other_file_has_a_private_name_of_keras():
    """An attribute or a string of that name, unless a class here has a method of that name."""
    files = [p for part in ("keras_vae", "tools") for p in (ROOT / part).rglob("*.py")]
    files.remove(ROOT / "keras_vae" / "training" / "keras_private.py")
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}
    nodes = [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]
    methods = {
        child.name
        for _, node in nodes
        if isinstance(node, ast.ClassDef)
        for child in node.body
        if isinstance(child, ast.FunctionDef)
    }
    names, found = keras_names() - methods, []
    assert {"_loss_tracker", "_tracker", "_momentums", "_flatten_layers"} <= names
    for path, node in nodes:
        name = getattr(node, "attr", None) or getattr(node, "value", None)
        if isinstance(name, str) and (name in names or "keras.src" in name):
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            text = ast.unparse(node)
            found += [f"{path.relative_to(ROOT)}:{node.lineno}: {text}"] * ("keras.src" in text)
    assert found == []
