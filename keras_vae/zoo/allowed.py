"""Checks the configuration of a preset: allowed classes, and limits of numbers.

Keras instantiates the classes of a configuration with the values in it; the checks
here come first.
"""

import keras

from keras_vae.training import keras_private
from keras_vae.zoo import limits, strict_json

MOST_BYTES = 16 * 2**20
# Of any JSON; a configuration has fewer.
MOST_DEPTH = 512
# Public layers that are functions of numbers: none that holds a function, or a layer of
# another framework, or reads a file (a vocabulary). `RNN` and `Pipeline` call whatever they hold.
_LAYERS = """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D
AdaptiveAveragePooling3D AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add
AdditiveAttention AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D
AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CategoryEncoding CenterCrop
Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose Conv2D
Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D
Cropping3D CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU
EinsumDense Embedding Equalization Flatten GRU GRUCell GaussianDropout GaussianNoise
GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention
GroupedQueryAttention HashedCrossing Hashing Identity InputLayer LSTM LSTMCell
LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum
MelSpectrogram Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute
RMSNormalization RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter
RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur
RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation
RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom ReLU RepeatVector
Rescaling Reshape Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D
SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D
SpectralNormalization Subtract TimeDistributed UnitNormalization UpSampling1D UpSampling2D
UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""
_INITIALIZERS = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones
Orthogonal RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
"""
_ALLOWED = {
    "keras": {"DTypePolicy", "DTypePolicyMap", "Functional", "Sequential"},
    "keras.constraints": {"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"},
    "keras.initializers": set(_INITIALIZERS.split()),
    "keras.layers": set(_LAYERS.split()),
    "keras.regularizers": {"L1", "L1L2", "L2", "OrthogonalRegularizer"},
    **keras_private.SERIALIZED_MODULES,
    **keras_private.OPERATIONS,
}
# Types that Keras serializes under a name of its own, with values only.
_VALUES = {"__ellipsis__", "__keras_tensor__", "__slice__", "__tuple__"}


def read(file, path):
    """Reads a configuration or metadata: a JSON dict without NaN and infinities.

    Args:
        file: path to read.
        path: path for the error message.

    Raises:
        ValueError: the file holds something else.
    """

    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"{file.stat().st_size:,} bytes, of at most {MOST_BYTES:,}")
        value = strict_json.parse(file.read_bytes(), limits.MOST_NODES, MOST_DEPTH)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"The preset's {path.name} cannot be read: {error}. Received: {path}"
        ) from error
    if not isinstance(value, dict):
        raise ValueError(
            f"The preset's {path.name} must hold a dict. Received: {type(value).__name__} in {path}"
        )
    return value


def check_config(config, path, own=()):
    """Raises `ValueError` for a class that is not allowed, or a number that is too large.

    Args:
        config: parsed JSON.
        path: path for the error message.
        own: registered names of classes and names of functions of the caller's, which are
            allowed too.

    Raises:
        ValueError: a class, function or lambda that is not allowed, or a value that
            would take memory or time without bound.
    """

    def refuse(what):
        _refuse(what, path)

    walk = limits.check(config, refuse)
    kind = None
    while True:
        try:
            value = walk.send(kind)
        except StopIteration:
            break
        kind = _check_class(value, path, own)
    limits.check_calls(config, refuse)


def check_arguments(function, arguments, path):
    """Raises `ValueError` for arguments of a named function that its class would be refused for.

    Args:
        function: its name.
        arguments: parsed JSON, whose classes `check_config` has checked.
        path: path for the error message.
    """

    def refuse(what):
        _refuse(what, path)

    renamed = {("data_shape" if k == "input_shape" else k): v for k, v in arguments.items()}
    for _ in limits.check(renamed, refuse, owner=("ours", function)):
        pass


def _refuse(what, path):
    raise ValueError(
        "The configuration asks for more than any model needs. Nothing was executed. "
        f"Received: {what} in {path}"
    )


def _check_class(value, path, own):
    """Raises `ValueError` for a class that is not allowed; returns whose it is."""
    name, module = value.get("class_name"), value.get("module")
    registered = value.get("registered_name")
    named = isinstance(name, str)
    if named and name in _VALUES and module is None and registered is None:
        return None
    if named and registered == f"keras_vae>{name}" and _is_ours(registered, module):
        return "ours"
    # Keras looks for these names first, so that nothing of the file's module is imported.
    function = name == "function" and isinstance(value.get("config"), str)
    if named and own and (value["config"] if function else registered) in own:
        return "own"
    theirs = named and isinstance(module, str) and name in _ALLOWED.get(module, ())
    if not (theirs and registered in (None, name)):
        raise ValueError(
            "A preset may name classes of keras and keras_vae only, none that runs code of the "
            "file, as it might be a stranger's. Nothing was executed. If it is your own: "
            "zoo.load(path, trusted=True), or custom_objects={'MyLayer': MyLayer} with the "
            f"classes that it needs. Received: {_plain(module)}.{_plain(name)} in {path}"
        )
    if module in keras_private.OPERATIONS and not _symbolic(value.get("inbound_nodes")):
        _refuse(f"{name} of constants, which would be computed at once", path)
    return "theirs"


def _plain(name):
    """A name of the file as text without control characters, and not too long."""
    return repr(str(name)[:120])[1:-1]


def _symbolic(nodes):
    """Whether each call of an operation has an input of the network among its arguments."""
    return isinstance(nodes, list) and all(
        isinstance(node, dict)
        and (_holds_tensor(node.get("args")) or _holds_tensor(_values(node.get("kwargs"))))
        for node in nodes
    )


def _values(arguments):
    return list(arguments.values()) if isinstance(arguments, dict) else []


def _holds_tensor(value):
    if isinstance(value, dict):
        return value.get("class_name") == "__keras_tensor__"
    return isinstance(value, list) and any(
        isinstance(item, dict)
        and item.get("class_name") == "__keras_tensor__"
        or isinstance(item, list)
        and any(map(_holds_tensor, item))
        for item in value
    )


def _is_ours(registered, module):
    """Whether a class is registered under that name, and comes from this package."""
    registered_class = keras.saving.get_registered_object(registered)
    modules = (module, getattr(registered_class, "__module__", None))
    return isinstance(registered_class, type) and all(
        str(m).split(".")[0] == "keras_vae" for m in modules
    )
