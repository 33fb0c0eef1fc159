"""Autoencoders of diffusers: their configurations and weights as models here, and back.

Pure mappings, without files: a configuration is the dict of a `config.json`, weights are a
mapping of names to NumPy arrays, as in `diffusion_pytorch_model.safetensors`. The shapes that
a configuration asks for are compared with those of the weights before a model is built, so
that one that lies takes no memory.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_vae import initializers, layers
from keras_vae.models.papers import diffusers as papers
from keras_vae.models.papers import diffusers_config as configs
from keras_vae.networks.kl import diffusers_name
from keras_vae.zoo.diffusers_shapes import ATTENTION, tensor_shapes

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "AutoencoderKL": papers.autoencoder_kl,
    "AutoencoderTiny": papers.autoencoder_tiny,
    "VQModel": papers.vq_model,
}
CLASSES = tuple(FUNCTIONS)
CONFIGS = {
    papers.autoencoder_kl: configs.kl_config,
    papers.autoencoder_tiny: configs.tiny_config,
    papers.vq_model: configs.vq_config,
}
# Arguments of ours that no `config.json` has.
_OURS = {
    *("input_shape", "latent_dim", "network", "units", "likelihood", "seed", "name"),
    *("beta", "commitment", "options"),
}
_SHOWN = 4


def build(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray] | None, path: Any) -> Any:
    """The model of a configuration, with its weights.

    Tensors are read from the mapping one by one, and no other weights are drawn before.

    Args:
        config: the dict of a `config.json`; `_class_name` is one of `CLASSES`.
        tensors: the weights by their names in diffusers, of any type of float; None for new
            ones. Of a mapping with `shapes`, as `safetensors.read` gives, no array is read
            before everything fits.
        path: where they are from, for errors.

    Returns:
        A `models.SpatialVAE` or `models.SpatialVQVAE`, not compiled.

    Raises:
        ValueError: an unknown class or argument, a value that is out of range; weights that
            are missing, left over, of another shape, or no floats.
    """
    function, arguments = _arguments(config, path)
    try:
        checked = _checked_config(function, arguments)
        shapes = dict(tensor_shapes(checked))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"The configuration of {config['_class_name']} is not one that can be built. "
            f"Received: {error} in {path}"
        ) from error
    if tensors is None:
        return function(**arguments)
    names = _matched(shapes, tensors, path)
    with initializers.skipped():
        model = function(**arguments)
    for name, kind, variable in _variables(model):
        tensor = tensors[names[name]]
        if tensor.dtype.kind != "f" and tensor.dtype.name != "bfloat16":
            raise ValueError(
                f"Weights must be floats. Received: {names[name]} of dtype {tensor.dtype} in {path}"
            )
        variable.assign(_ours(tensor, kind))
    return model


def config_of(model: Any) -> dict[str, Any]:
    """The `config.json` of a model, as diffusers reads it.

    Args:
        model: a model that `build`, `models.autoencoder_kl`, `models.autoencoder_tiny` or
            `models.vq_model` has made.

    Returns:
        A dict with `_class_name` and all arguments of that class.

    Raises:
        ValueError: diffusers has no class for the model.
    """
    source: Any = getattr(model, "source", None)
    if not source:
        _refuse(model, "its networks are of another kind")
    config = dict(source)
    if config.pop("pooled_blocks", False):
        _refuse(model, "its blocks have a pooled group normalisation")
    found = {name: _theirs_shape(v, kind) for name, kind, v in _variables(model)}
    if found != dict(tensor_shapes(source)):
        _refuse(model, "its networks were changed since they were built")
    for name in ("scaling_factor", "shift_factor", "latents_mean", "latents_std"):
        if name in config and hasattr(model, name):
            value = getattr(model, name)
            config[name] = list(value) if isinstance(value, (list, tuple)) else value
    return config


def tensors_of(model: Any) -> dict[str, np.ndarray]:
    """The weights of a model under their names in diffusers, in PyTorch's order of axes.

    Returns:
        Dict of name to a contiguous float32 array.

    Raises:
        ValueError: see `config_of`.
    """
    config_of(model)
    return {name: _theirs(variable, kind) for name, kind, variable in _variables(model)}


def config_from_tensors(
    encoder: Mapping[str, np.ndarray], decoder: Mapping[str, np.ndarray], path: Any = "the tensors"
) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """Configuration and weights of a tiny autoencoder whose files have no `config.json`.

    The files of the authors: one for the encoder and one for the decoder, whose layers are
    numbered from 0, as `1.conv.0.weight`.

    Args:
        encoder, decoder: the weights by name.
        path: where they are from, for errors.

    Returns:
        `(config, tensors)` for `build`; the tensors are still read one by one.

    Raises:
        ValueError: they are no such networks.
    """
    try:
        inwards, outwards = _layers_of(encoder), _layers_of(decoder)
        stages, counts = _counted(inwards, encoder)
        reverse, outer = _counted(outwards, decoder)
        first = encoder[f"{inwards[0]}.weight"].shape
        codes = decoder[f"{outwards[0]}.weight"].shape[1]
        pooled = any(".pool." in name for name in encoder)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            "These are not the weights of a tiny autoencoder, layers with numbers such as "
            f"`1.conv.0.weight`. Received: {type(error).__name__}: {error} in {path}"
        ) from error
    config = {
        "_class_name": "AutoencoderTiny",
        "in_channels": int(first[1]),
        "out_channels": int(decoder[f"{outwards[-1]}.weight"].shape[0]),
        "encoder_block_out_channels": [int(first[0])] * stages,
        "decoder_block_out_channels": [int(decoder[f"{outwards[0]}.weight"].shape[0])] * reverse,
        "latent_channels": int(codes),
        "num_encoder_blocks": counts,
        "num_decoder_blocks": outer,
        "pooled_blocks": pooled,
    }
    # The authors' decoder counts the bounding of the codes as its layer 0; diffusers does not.
    offset = int(outwards[0])
    names = {f"encoder.layers.{name}": (encoder, name) for name in encoder}
    for name in decoder:
        number, rest = name.split(".", 1)
        names[f"decoder.layers.{int(number) - offset}.{rest}"] = decoder, name
    return config, _Renamed(names)


class _Renamed(Mapping):
    """Tensors of several mappings under other names, read when they are asked for.

    Args:
        names: dict from a name to the mapping that holds the tensor, and its name there.
    """

    def __init__(self, names):
        self.names = names

    def __getitem__(self, name):
        source, own = self.names[name]
        return source[own]

    def __iter__(self):
        return iter(self.names)

    def __len__(self):
        return len(self.names)


def _layers_of(tensors):
    """The numbers of the layers, as strings in order."""
    return sorted({name.split(".")[0] for name in tensors}, key=int)


def _counted(numbers, tensors):
    """How many stages there are, and the residual blocks of each."""
    counts, last = [0], numbers[-1]
    for number in numbers[1:]:
        if f"{number}.conv.0.weight" in tensors:
            counts[-1] += 1
        elif number != last:
            counts.append(0)
    return len(counts), counts


def _refuse(model, why):
    raise ValueError(
        "diffusers has no class for this model. It has for those of `models.autoencoder_kl`, "
        "`models.autoencoder_tiny` and `models.vq_model`; any other is saved by "
        f"`zoo.save(model, path)`. Received: {type(model).__name__}: {why}"
    )


def _arguments(config, path):
    """The function that makes the model, and its arguments."""
    name = config.get("_class_name") if isinstance(config, Mapping) else None
    if not isinstance(name, str) or name not in FUNCTIONS:
        raise ValueError(
            f"The configuration must be one of {', '.join(CLASSES)}. "
            f"Received: _class_name={name!r} in {path}"
        )
    function = FUNCTIONS[name]
    known = set(inspect.signature(function).parameters) - _OURS
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    if name == "AutoencoderTiny" and "block_out_channels" in arguments:
        # diffusers writes the decoder's a second time.
        again = arguments.pop("block_out_channels")
        if again != arguments.get("decoder_block_out_channels", again):
            raise ValueError(
                "`block_out_channels` must be `decoder_block_out_channels`. "
                f"Received: block_out_channels={again!r} in {path}"
            )
    unknown = sorted(set(arguments) - known)
    if unknown:
        raise ValueError(
            f"Some arguments of {name} are not known here: what they do would be missing. "
            f"Expected: some of {', '.join(sorted(known))}. "
            f"Received: {', '.join(unknown[:_SHOWN])} in {path}"
        )
    return function, arguments


def _checked_config(function, arguments):
    """The configuration with all defaults, after the checks of its values; nothing is built."""
    defaults = {k: p.default for k, p in inspect.signature(function).parameters.items()}
    return CONFIGS[function]({**defaults, **arguments})


def _matched(shapes, tensors, path):
    """Names in the mapping by today's names in diffusers, all of the right shape."""
    names = {}
    for name in tensors:
        parts = name.split(".")
        today = ".".join(ATTENTION.get(p, p) for p in parts) if ".attentions." in name else name
        if today in names:
            raise ValueError(
                f"A weight is there twice. Received: {name} and {names[today]} in {path}"
            )
        names[today] = name
    missing, left = sorted(shapes.keys() - names.keys()), sorted(names.keys() - shapes.keys())
    if missing or left:
        raise ValueError(
            "The weights are not those of the configuration. Expected: "
            f"{len(shapes)} tensors. Received: {_some('missing', missing)}, "
            f"{_some('left over', [names[name] for name in left])} in {path}"
        )
    known = getattr(tensors, "shapes", None)
    for name, shape in shapes.items():
        found = tuple(tensors[names[name]].shape if known is None else known[names[name]])
        # Older attentions are 1 × 1 convolutions.
        if found != shape and not (len(shape) == 2 and found == (*shape, 1, 1)):
            raise ValueError(
                "A weight has another shape than the configuration says. "
                f"Expected: {names[name]} of shape {shape}. Received: shape {found} in {path}"
            )
    return names


def _some(what, names):
    more = f", ... ({len(names)})" if len(names) > _SHOWN else ""
    return f"{what}: {', '.join(names[:_SHOWN]) or 'none'}{more}"


# How the axes of a kind of weight are in Keras, of those in PyTorch.
_AXES = {"convolution": (2, 3, 1, 0), "dense": (1, 0), "plain": None}
_BACK = {"convolution": (3, 2, 0, 1), "dense": (1, 0), "plain": None}


def _ours(tensor, kind):
    array = np.asarray(tensor)
    if kind == "dense" and array.ndim == 4:
        array = array[:, :, 0, 0]
    axes = _AXES[kind]
    array = array if axes is None else array.transpose(axes)
    return np.ascontiguousarray(array, dtype="float32")


def _theirs(variable, kind):
    array, axes = keras.ops.convert_to_numpy(variable), _BACK[kind]
    array = array if axes is None else array.transpose(axes)
    return np.array(array, dtype="float32", order="C")


def _theirs_shape(variable, kind):
    axes = _BACK[kind]
    shape = tuple(variable.shape)
    return shape if axes is None else tuple(shape[i] for i in axes)


def _variables(model):
    """`(name in diffusers, kind, variable)` of each weight of a model."""
    for part in ("encoder", "decoder"):
        for layer in getattr(model, part).layers:
            name = diffusers_name(layer.name)
            prefix = "" if name in ("quant_conv", "post_quant_conv") else f"{part}."
            if isinstance(layer, layers.SpatialAttention):
                for dense in layer.projections:
                    own = f"{prefix}{name}.{diffusers_name(dense.name)}"
                    yield from _of_layer(own, dense)
            elif layer.weights:
                yield from _of_layer(f"{prefix}{name}", layer)
    posterior = model.posterior_layer
    if hasattr(posterior, "vectors"):
        yield "quantize.embedding.weight", "plain", posterior.vectors
    elif getattr(posterior, "projection", None) is not None:
        yield from _of_layer("quant_conv", posterior.projection)


def _of_layer(name, layer):
    if hasattr(layer, "gamma"):
        yield f"{name}.weight", "plain", layer.gamma
        yield f"{name}.bias", "plain", layer.beta
        return
    if not hasattr(layer, "kernel"):
        _refuse(layer, "it has a layer of another kind")
    kind = "convolution" if len(layer.kernel.shape) == 4 else "dense"
    yield f"{name}.weight", kind, layer.kernel
    if layer.bias is not None:
        yield f"{name}.bias", "plain", layer.bias
