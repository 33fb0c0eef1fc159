"""Every private name of Keras that this package uses, and why.

No other file has one. `tests/training/test_keras_private.py` tries each of them, so that a new
version of Keras fails there first.
"""

import contextlib
import operator

import keras
from keras.src.models.functional import Functional as _Functional
from keras.src.trainers import data_adapters

# Keras gives this keyword to the `evaluate` that its own `fit` calls: the data of that call
# was checked when `fit` began, and checking it at each epoch would cost a pass over it.
INSIDE_FIT = "_use_cached_eval_dataset"

# Files name these modules in place of `keras`: the private ones that a preset may name.
SERIALIZED_MODULES = {
    "keras.src.models.functional": {"Functional"},
    "keras.src.models.sequential": {"Sequential"},
}

# `x * 2 - 1` in a network is named by these modules. Only what a network's own tensors go
# through: nothing that takes a function, and nothing whose result is larger than what it is
# given but for broadcasting.
_ARITHMETIC = """
Abs Absolute Add All Amax Amin Any Average Ceil Clip Concatenate Cos Cosh Cumsum Divide DivideNoNan
Equal Exp ExpandDims Expm1 Flip Floor FloorDivide GetItem Greater GreaterEqual Isfinite Isinf Isnan
Less LessEqual Log Log10 Log1p Log2 Logaddexp LogicalAnd LogicalNot LogicalOr Max Maximum Mean Min
Minimum Mod Moveaxis Multiply NanToNum Negative NotEqual OnesLike Power Prod Ravel Reciprocal
Reshape Roll Round Sign Sin Sinh Sort Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Tan
Tanh Transpose TrueDivide Var Where ZerosLike
"""
_ACTIVATIONS = """
Celu Elu Gelu Glu HardShrink HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid LogSoftmax
Normalize Relu Relu6 Selu Sigmoid Silu SoftShrink Softmax Softplus Softsign SparsePlus
SparseSigmoid Sparsemax Squareplus TanhShrink Threshold
"""
OPERATIONS = {
    "keras.src.ops.core": {"Cast", "StopGradient"},
    "keras.src.ops.math": {"Logsumexp", "Rsqrt", "Erf"},
    "keras.src.ops.nn": set(_ACTIVATIONS.split()),
    "keras.src.ops.numpy": set(_ARITHMETIC.split()),
}

# The mean that Keras logs as `loss`: a tracker of our own with that name would be hidden by it.
# An `attrgetter`, so that a training step enters no file for it.
loss_tracker = operator.attrgetter("_loss_tracker")


# Attributes that a compiled function has as constants: the dtype policy, whether weights are
# trained, and the network that a `Sequential` is made of.
CONSTANTS_OF_LAYERS = {"_dtype_policy", "_trainable", "_functional", "_fixed"}


def compiled_loss(model):
    """The `loss` of `compile`: a model with an objective must refuse one."""
    return model._compile_config.config["loss"]


def drop_compiled_loss(model):
    """Forgets the loss of an earlier `compile`, which compiling without a loss leaves in place."""
    model._compile_loss = None


# What `fit` and `evaluate` ask for batches; they take one in place of data.
DataAdapter = data_adapters.data_adapter.DataAdapter


def is_loader(source):
    """Whether a source is a `DataLoader` of PyTorch; not a question that imports PyTorch."""
    return data_adapters.is_torch_dataloader(source)


def is_keras_source(source):
    """Whether a source is one of those libraries' data sets that Keras has an adapter for."""
    kinds = (data_adapters.is_tf_dataset, is_loader, data_adapters.is_grain_dataset)
    return any(kind(source) for kind in kinds)


def adapter(source, shuffle):
    """Keras' own adapter of a source; a `PyDataset` may give batches of any form."""
    found = data_adapters.get_data_adapter(source, shuffle=shuffle)
    if isinstance(source, keras.utils.PyDataset):
        found._standardize_batch = lambda batch: batch
    return found


def batches_of(adapter):
    """The batches of one pass, as NumPy or as a `PyDataset` gives them."""
    if isinstance(adapter, data_adapters.PyDatasetAdapter):
        return adapter._get_iterator()
    return adapter.get_numpy_iterator()


def reads_ahead(adapter):
    """Whether an adapter has workers of its own."""
    return getattr(adapter, "enqueuer", None) is not None


def build_compiled_metrics(model, shape):
    """Builds the metrics of `compile` for arrays `(n, *shape)`; Keras would take y for them."""
    metrics = model._compile_metrics
    if metrics is not None and not metrics.built:
        numbers = keras.KerasTensor((None, *shape), "float32")
        metrics.build(numbers, numbers)


def compiled_loss_weights(model):
    """The `loss_weights` of `compile`, which mean nothing without its `loss`."""
    return model._compile_config.config["loss_weights"]


def has_compiled_metrics(model):
    """Whether the model is compiled with `metrics`, which need the outputs of each batch."""
    return model._compile_metrics is not None


def compiles_by_default(model):
    """What `jit_compile="auto"` means for this model here; Keras keeps only its meaning."""
    return model._resolve_auto_jit_compile()


def is_graph(network):
    """Whether a network is a graph of layers: functional, or a `Sequential` that is built."""
    return isinstance(network, (keras.Sequential, _Functional)) and bool(network.outputs)


def made_by(tensor):
    """The operation that made a symbolic tensor, and the symbolic tensors that it was made of."""
    operation, node, _ = tensor._keras_history
    return operation, list(operation._inbound_nodes[node].input_tensors)


def all_layers(model):
    """The layers of a model and of the models in it; `model.layers` has the outer ones only."""
    return list(model._flatten_layers(include_self=False))


def know_input_shape(model, shape):
    """Has a model know the shape of its input, as Keras does of one that it built itself."""
    model._build_shapes_dict = {"input_shape": shape}


def replace_layer(model, old, new):
    """Has a model track one layer in place of another; by itself it would track both."""
    model._tracker.replace_tracked_value("layers", old, new)


def layers_apart(part):
    """Layers of a layer by name, where PyTorch keeps them in a dict of its own; else empty."""
    return getattr(part, "_modules", {})


# What that dict has besides: the weights, in a collection that Keras makes anew now and then.
WEIGHTS_APART = "_torch_params"


def forget(model, tracked):
    """Has a model no longer track layers or metrics."""
    for value in tracked:
        model._tracker.untrack(value)


def optimized_variables(optimizer):
    """The variables that an optimizer was built for: `variables` has only its own."""
    return optimizer._trainable_variables


def averages(optimizer):
    """Pairs of a variable and its moving average, of an optimizer with `use_ema`."""
    averaged = optimizer._model_variables_moving_average
    return list(zip(optimizer._trainable_variables, averaged, strict=True))


def ended_a_step(optimizer):
    """1 where the last batch of an optimizer that accumulates gradients ended a step, else 0.

    Keras counts the batches; its public `iterations` are the steps.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    batches = keras.ops.convert_to_tensor(optimizer._iterations)
    ended = keras.ops.equal(keras.ops.mod(batches, optimizer.gradient_accumulation_steps), 0)
    return keras.ops.cast(ended, "int32")


def adam_moments(optimizer, variables):
    """Adam's two moments of the variables, `(first, second)`: for a backend's own Adam."""
    places = [optimizer._get_variable_index(v) for v in variables]
    return (
        [optimizer._momentums[i] for i in places],
        [optimizer._velocities[i] for i in places],
    )


class SwapHook(keras.callbacks.SwapEMAWeights):
    """Keras' callback, which leaves the swap itself to the method `swap(optimizer)`.

    Keras has one private method for TensorFlow and one for the other backends.
    """

    def swap(self, optimizer):
        raise NotImplementedError

    def _tf_swap_variables(self, optimizer):
        self.swap(optimizer)

    def _backend_swap_variables(self, optimizer):
        self.swap(optimizer)


def array_of(variable):
    """A variable's array on JAX, or None where Keras has lent it to a step: `value` would raise."""
    return variable._value


def put_back(variable, array):
    """Gives a variable its array back: `assign` converts it, and reads the one that is gone."""
    variable._value = array


def end_jax_steps(model):
    """Assigns the state that the last step on JAX returned: after an error Keras does not."""
    state = getattr(model, "_jax_state", None) or {}
    if not any(array.is_deleted() for group in state.values() for array in group or ()):
        model.jax_state_sync()
    model._jax_state = None


# What a step on JAX is given and gives back, by the number of its groups.
_GROUPS = {
    4: ("trainable", "non_trainable", "optimizer", "metrics"),
    3: ("trainable", "non_trainable", "metrics"),
    2: ("trainable", "non_trainable"),
}


def hand_over(model, state):
    """Has Keras hold the state after a step on JAX, which it assigns when `fit` ends or fails."""
    model._jax_state = {
        f"{name}_variables": group for name, group in zip(_GROUPS[len(state)], state, strict=True)
    }


def is_lent(model):
    """Whether a model's arrays on JAX are with a step, so that its variables are empty."""
    return bool(getattr(model, "_jax_state", None)) and not model._jax_state_synced


class StepHook:
    """A base class of models whose steps on JAX all go through the method `kept_step(step)`.

    Keras has one private method that makes the functions of a batch from the steps.
    """

    def kept_step(self, step):
        raise NotImplementedError

    def _make_function(self, step_function, concatenate_outputs=False):
        return super()._make_function(self.kept_step(step_function), concatenate_outputs)


class BuiltHook:
    """A base class of models on TensorFlow that `fit` need not build: they are.

    Keras 3.15 builds a distributed model from a mean of batches, which a last batch of another
    size makes impossible.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass


@contextlib.contextmanager
def computing_is_asked(ask):
    """Calls `ask` where Keras on PyTorch follows a layer by computing it, and not by its shapes.

    Keras tries the device `meta` first, and takes the processor after any error.
    """
    if keras.backend.backend() != "torch":
        yield
        return
    try:
        from keras.src.backend.torch import core
    except ImportError:
        # Where Keras 3.16 has it.
        from keras.src.backend.torch.ops import core

    scope = core.device_scope

    def asked(device):
        if device == core.DEFAULT_DEVICE and keras.src.backend.in_stateless_scope():
            ask()
        return scope(device)

    core.device_scope = asked
    try:
        yield
    finally:
        core.device_scope = scope
