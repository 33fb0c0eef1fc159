"""Signatures of exported models: names, shapes, meanings.

The same for every backend: the child process traces `call`, the parity report
compares with `reference`.
"""

import dataclasses
from collections.abc import Callable

from keras import ops

NAMES = ("encode", "decode", "reconstruct", "sample", "transport")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One input or output, without its batch axis."""

    shape: tuple
    dtype: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class Signature:
    """One function of an exported file.

    Attributes:
        inputs, outputs: dicts of name to `Tensor`.
        call: function from tensors by input name to a dict of tensors by output name.
        reference: the same with NumPy arrays and the public methods of the model.
        chooses: whether it contains a choice (a code, a class, a component, the units to
            keep): between two almost equal values rounding may choose either, which
            changes the outputs.
    """

    inputs: dict
    outputs: dict
    call: Callable
    reference: Callable
    chooses: bool = False


def data_name(model):
    """The name of the data in signatures: "image" for images, else "data"."""
    return "image" if len(model.data_shape) == 3 else "data"


def signatures(model, names=None):
    """The signatures of a model.

    Args:
        model: a `models.VAE`.
        names: some of "encode", "decode", "reconstruct", "sample" and "transport"; by
            default all that the model has.

    Returns:
        Dict of name to `Signature`, in the order of `NAMES`.

    Raises:
        ValueError: an unknown name, a signature that the model lacks, or no names.
    """
    every = _quantized(model) if model.codes_are_integers else _continuous(model)
    wanted = every if names is None else (names,) if isinstance(names, str) else tuple(names)
    if not wanted or not set(wanted) <= set(every):
        hint = "" if "sample" in every else f" {_why_no_sample(model)}"
        raise ValueError(
            f"`signatures` must be some of {', '.join(every)}.{hint} Received: signatures={names!r}"
        )
    return {name: every[name] for name in NAMES if name in wanted}


def _why_no_sample(model):
    if model.codes_are_integers:
        return (
            "This prior draws its codes one by one, in Python; `priors.MaskedTransformer` does not."
        )
    return (
        f"Codes of {type(model.prior).__name__} are not made of normal noise: draw them with "
        "`model.prior.sample(n, rng)` where there are any, and decode them."
    )


def _data(model):
    """Specifications of the data as an input and of means of p(x|z) as an output."""
    low_high = model.likelihood.data_range
    span = "any finite numbers" if low_high is None else "in [{:g}, {:g}]".format(*low_high)
    if len(model.data_shape) == 3:
        span = f"height × width × channels, {span}"
    data = data_name(model)
    x = {data: Tensor(model.data_shape, "float32", f"data, {span}")}
    mean_of_x = {data: Tensor(model.data_shape, "float32", f"mean of p(x|z), {span}")}
    return x, mean_of_x


def _quantized(model):
    data = data_name(model)
    x, mean_of_x = _data(model)
    q = model.quantizer.codes_per_position
    width = "width" if q == 1 else f"(width × {q} codes of a position)"
    meaning = f"height × {width}, from 0 to {model.num_codes - 1}"
    codes = {"codes": Tensor(model.code_shape, "int32", meaning)}

    def encode(**inputs):
        return {"codes": model.infer(inputs[data])[0]}

    def decode(codes):
        return {data: model.likelihood.mean(model.generate(codes))}

    def reconstruct(**inputs):
        return decode(model.infer(inputs[data])[0])

    def encode_numpy(**inputs):
        return {"codes": model.encode(inputs[data])}

    def decode_numpy(codes):
        return {data: model.decode(codes)}

    def reconstruct_numpy(**inputs):
        return {data: model.reconstruct(inputs[data])}

    every = {
        "encode": Signature(x, codes, encode, encode_numpy, chooses=True),
        "decode": Signature(codes, mean_of_x, decode, decode_numpy),
        "reconstruct": Signature(x, mean_of_x, reconstruct, reconstruct_numpy, chooses=True),
    }
    if getattr(model.prior, "from_noise", False):
        every["sample"] = _sample_of_codes(model, data, mean_of_x)
    return every


def _sample_of_codes(model, data, mean_of_x):
    """The signature of a prior that draws all codes of a map in a few parallel steps."""
    meaning = "standard Gumbel noise, -log(-log(u)) of uniform u, drawn anew for each sample"
    inputs = {"noise": Tensor(model.prior.noise_shape, "float32", meaning)}
    if model.condition is not None:
        inputs["condition"] = _condition(model.condition)

    def codes_of(noise, condition):
        encoded = None if condition is None else model.condition.encode(condition)
        return model.prior.transform(noise, encoded)

    def sample(noise, condition=None):
        return {data: model.likelihood.mean(model.generate(codes_of(noise, condition)))}

    def sample_numpy(noise, condition=None):
        codes = codes_of(ops.convert_to_tensor(noise), condition)
        return {data: model.decode(ops.convert_to_numpy(codes))}

    return Signature(inputs, mean_of_x, sample, sample_numpy, chooses=True)


def _continuous(model):
    data = data_name(model)
    x, mean_of_x = _data(model)
    codes = model.code_shape
    z = {"z": Tensor(codes, "float32", "code")}
    meaning = "standard normal noise, drawn anew for each sample"
    noise = {"noise": Tensor(model.prior.noise_shape, "float32", meaning)}
    q = {"mean": Tensor(codes, "float32", "mean of q(z|x): the code to keep")}
    if model.posterior_layer.is_diagonal_normal:
        q["log_var"] = Tensor(codes, "float32", "log-variance of q(z|x)")
    # Posteriors without a mean in closed form give their centre.
    parts = {"mean": "center", "log_var": "log_var"}
    condition = {}
    if model.condition is not None:
        condition["condition"] = _condition(model.condition)

    def posterior(condition, inputs):
        return model.posterior_layer.distribution(*model.infer(inputs[data], condition))

    def encode(condition=None, **inputs):
        posterior_of_x = posterior(condition, inputs)
        return {name: getattr(posterior_of_x, parts[name]) for name in q}

    def decode(z, condition=None):
        return {data: model.likelihood.mean(model.generate(z, condition))}

    def reconstruct(condition=None, **inputs):
        x = inputs[data]
        return {data: model.call(x if condition is None else (x, condition))}

    def sample(noise, condition=None):
        return decode(_prior(model, condition).transform(noise), condition)

    def encode_numpy(condition=None, **inputs):
        posterior_of_x = model.posterior(inputs[data], condition)
        return {name: getattr(posterior_of_x, parts[name]) for name in q}

    def decode_numpy(z, condition=None):
        return {data: model.decode(z, condition)}

    def reconstruct_numpy(condition=None, **inputs):
        return {data: model.reconstruct(inputs[data], condition)}

    def sample_numpy(noise, condition=None):
        z = ops.convert_to_numpy(_prior(model, condition).transform(ops.convert_to_tensor(noise)))
        return decode_numpy(z, condition)

    chooses = model.posterior_layer.chooses
    every = {
        "encode": Signature(x | condition, q, encode, encode_numpy, chooses),
        "decode": Signature(z | condition, mean_of_x, decode, decode_numpy),
        "reconstruct": Signature(x | condition, mean_of_x, reconstruct, reconstruct_numpy, chooses),
    }
    if model.prior.from_noise:
        every["sample"] = Signature(
            noise | condition, mean_of_x, sample, sample_numpy, model.prior.chooses
        )
    if model.can_transport:
        every["transport"] = _transport(model, z, condition["condition"])
    return every


def _transport(model, z, condition):
    """The signature that carries codes from one condition to another, for edits."""
    inputs = {
        **z,
        "condition": condition,
        "new_condition": dataclasses.replace(condition, meaning=f"wanted {condition.meaning}"),
        "guidance": Tensor((), "float32", "how far the code goes; 0 leaves it where it is"),
    }

    def transport(z, condition, new_condition, guidance):
        own, new = (model.condition.encode(y) for y in (condition, new_condition))
        return {"z": model.prior.transported(z, own, new, guidance)}

    def transport_numpy(z, condition, new_condition, guidance):
        return {"z": model.transport(z, condition, new_condition, guidance=guidance)}

    return Signature(inputs, {"z": z["z"]}, transport, transport_numpy)


def _prior(model, condition):
    encoded = None if condition is None else model.condition.encode(condition)
    return model.prior.distribution(encoded)


def _condition(condition):
    if condition.are_labels:
        missing = ", or -1: the most probable one" if condition.optional else ""
        return Tensor((), "int32", f"label from 0 to {condition.dim - 1}{missing}")
    return Tensor((condition.dim,), "float32", type(condition).__name__.lower())


def describe(tensors, batch_size):
    """Inputs or outputs as JSON: shapes with their batch axis, -1 for any size."""
    batch = -1 if batch_size is None else batch_size
    return {
        name: {"shape": [batch, *t.shape], "dtype": t.dtype, "meaning": t.meaning}
        for name, t in tensors.items()
    }
