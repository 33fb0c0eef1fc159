"""Models leave for phones, browsers and servers, and prove that they arrive whole.

One route from every backend: the model is saved as a preset, a child process
on TensorFlow converts it and runs the result, and what that answered is
compared with the caller's own model. Signatures of every file:

    encode(image)       -> mean, log_var
    decode(z)           -> image
    reconstruct(image)  -> image
    sample(noise)       -> image        the noise is standard normal

and `condition` beside the input for a conditional model. A VQ-VAE has

    encode(image)       -> codes        integers
    decode(codes)       -> image
    reconstruct(image)  -> image
    sample(noise)       -> image        of a `priors.MaskedTransformer`; the noise is Gumbel
"""

from collections.abc import Sequence

from keras_vae._types import Array, Model, PathLike
from keras_vae.export.report import ExportError, Report
from keras_vae.export.route import QUANTIZE, run
from keras_vae.zoo import presets

__all__ = ["ExportError", "QUANTIZE", "Report", "onnx", "saved_model", "tflite"]


def saved_model(
    model: Model | PathLike,
    path: PathLike,
    *,
    data: Array | tuple[Array, Array] | None = None,
    signatures: str | Sequence[str] | None = None,
    batch_size: int | None = None,
    input_shape: Sequence[int] | None = None,
    verbose: bool = True,
) -> Report:
    """Writes a TensorFlow SavedModel, which loads without keras_vae or Keras.

    `tf.saved_model.load(path).signatures["decode"](z=z)["image"]`. The folder
    also holds `model.json`: see `tflite`.

    Args:
        model: a `models.VAE`, on any backend; or a preset's name, the path of
            a preset folder, or of a `.keras` file.
        path: folder to write. An older export is replaced after the new one is complete
            and has passed its comparison.
        data: real data `x` or `(x, condition)` for the comparison; by default samples
            of the model.
        signatures: some of "encode", "decode", "reconstruct", "sample", "transport"; all by
            default.
        batch_size: rows per call; any number by default.
        input_shape: `(height, width, channels)` of the pictures, for a model of any size: a
            file is of one.
        verbose: whether to print the report.

    Returns:
        `Report`, which was also written to `model.json`.

    Raises:
        TypeError: not a VAE.
        ValueError: a wrong argument, or data that the model does not accept.
        ImportError: TensorFlow is missing.
        OSError: `path` cannot be written, or holds something other than an export.
        ExportError: the model cannot be converted, the conversion crashed, or the
            result differs from the model by more than 1e-5 · max(1, largest |value|),
            `reconstruct` by a root-mean-square error of more than 1e-5.
    """
    return run(
        model,
        path,
        "saved_model",
        None,
        data,
        None,
        signatures,
        batch_size,
        input_shape=input_shape,
        verbose=verbose,
    )


def tflite(
    model: Model | PathLike,
    path: PathLike,
    quantize: str | None = None,
    representative: Array | tuple[Array, Array] | None = None,
    *,
    data: Array | tuple[Array, Array] | None = None,
    signatures: str | Sequence[str] | None = None,
    batch_size: int | None = 1,
    input_shape: Sequence[int] | None = None,
    exclude: str | Sequence[str] = (),
    verbose: bool = True,
) -> Report:
    """Writes a `.tflite` file for phones: builtin operators only.

    `Interpreter(path).get_signature_runner("decode")(z=z)["image"]`. The file
    `<path>.json` holds the data that an app needs (input range, latent size, names of
    conditions, shapes, preset version, licence) and the parity report.

    Args:
        model: see `saved_model`.
        path: file to write, such as "m.tflite". An older one is replaced after the new one
            is complete and has passed its comparison.
        quantize: None for float32; "float16" (half the size); "dynamic" (int8
            weights, float32 between layers: a good default); "int8" (int8
            throughout, float32 at the ends; not of 'sample' and 'transport' by a flow,
            which are loops); "int4" (as "dynamic", with int4 weights
            of dense layers and convolutions, int8 for transposed and depthwise ones);
            "int8x16" (int8 weights, int16 between layers: for chips that have such
            arithmetic; slow on a CPU). Weights are scaled per channel. The last two and
            `exclude` need `pip install "keras-vae[quantize]"`. The search for the nearest
            code of a VQ-VAE stays float32 in all of them but "dynamic" and "float16".
        representative: for "int8" and "int8x16", real training data `x` or
            `(x, condition)` for the calibration; 100 to 500 examples are enough.
        data: real data that was not used in training, `x` or `(x, condition)`, for the
            comparison; by default `representative`, or else samples of the model.
        signatures: see `saved_model`; a file of "decode" alone is half as large.
        batch_size: rows per call; None for any number.
        input_shape: see `saved_model`.
        exclude: paths of layers that stay float32, such as `("decoder/conv2d_3",)`, or of
            a model with all its layers, "decoder"; for kinds of integer weights. The
            report's `weights` lists the paths.
        verbose: whether to print the report.

    Returns:
        `Report`.

    Raises:
        ImportError: TensorFlow, ai-edge-litert or litert-quantizer is missing.
        ExportError: the model cannot be converted, the conversion crashed, `exclude` names
            no layer of the file, or the file is outside its budget: float32 a largest error of
            1e-5 · max(1, largest |value|) (`reconstruct`: a root-mean-square error
            of 1e-5), float16 a root-mean-square error of 1e-3 in
            every output, the kinds of integer weights a reconstruction PSNR at most
            0.5 dB below Keras'.
        Other errors: see `saved_model`.
    """
    return run(
        model,
        path,
        "tflite",
        quantize,
        data,
        representative,
        signatures,
        batch_size,
        input_shape=input_shape,
        exclude=exclude,
        verbose=verbose,
    )


def onnx(
    model: Model | PathLike,
    path: PathLike,
    *,
    data: Array | tuple[Array, Array] | None = None,
    signatures: str | Sequence[str] | None = None,
    batch_size: int | None = None,
    input_shape: Sequence[int] | None = None,
    verbose: bool = True,
) -> Report:
    """Writes a folder of `.onnx` files, one per signature: `decode.onnx`, ...

    An ONNX file holds one function, and names in it are unique: the output of
    `reconstruct.onnx` is `image_out`. Arguments, result and errors: see
    `saved_model`; needs `pip install "keras-vae[onnx]"`.
    """
    return run(
        model,
        path,
        "onnx",
        None,
        data,
        None,
        signatures,
        batch_size,
        input_shape=input_shape,
        verbose=verbose,
    )


# For `zoo.push(exports=...)`, as `zoo` stands below this package.
presets.exporters.update(
    tflite=lambda model, folder: tflite(model, folder / "model.tflite", verbose=False),
    onnx=lambda model, folder: onnx(model, folder / "onnx", verbose=False),
    saved_model=lambda model, folder: saved_model(model, folder / "saved_model", verbose=False),
)
