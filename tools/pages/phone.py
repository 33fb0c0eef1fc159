"""What the developer of an app needs to read, in `export --help` and the READMEs."""

import textwrap

# One .tflite of a model with 32 latent dimensions, called in each language.
LINES = {
    "python": """\
# m.tflite: 32 latent dimensions; pip install ai-edge-litert
import numpy as np
from ai_edge_litert.compiled_model import CompiledModel

model = CompiledModel.from_file("m.tflite")
z = model.create_input_buffer_by_name("decode", "z")
image = model.create_output_buffer_by_name("decode", "image")
code = np.random.default_rng().standard_normal((1, 32)).astype("float32")
z.write(code)
model.run_by_name("decode", {"z": z}, {"image": image})
pixels = image.read(784, np.float32)  # 28 × 28 × 1 numbers in [0, 1]

# The same without CompiledModel, on the CPU alone:
from ai_edge_litert.interpreter import Interpreter

decode = Interpreter("m.tflite").get_signature_runner("decode")
picture = decode(z=code)["image"]  # (1, 28, 28, 1)
""",
    "javascript": """\
// npm install @litertjs/core; serve its folder wasm/ beside the page
import { loadLiteRt, loadAndCompile, Tensor } from "@litertjs/core";

await loadLiteRt("./wasm/");
const accelerator = "wasm"; // or "webgpu", which may fail: then take "wasm"
const model = await loadAndCompile("m.tflite", { accelerator });
const z = new Tensor(new Float32Array(32), [1, 32]);
const { image } = await model.run("decode", { z });
const pixels = await image.data(); // 784 numbers in [0, 1]
z.delete();
image.delete();
""",
    "onnx": """\
// npm install onnxruntime-web; the folder m of keras_vae.export.onnx(model, "m")
import * as ort from "onnxruntime-web/wasm";

const session = await ort.InferenceSession.create("m/decode.onnx");
const z = new ort.Tensor("float32", new Float32Array(32), [1, 32]);
const { image } = await session.run({ z });
const pixels = image.data; // 784 numbers in [0, 1]
""",
    "kotlin": """\
// implementation("com.google.ai.edge.litert:litert:2.3.0"), and litert-gpu:2.3.0 for the GPU
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel

val options = CompiledModel.Options(Accelerator.GPU, Accelerator.CPU)
val model = CompiledModel.create(File(context.filesDir, "m.tflite").path, options)
val z = model.createInputBuffer("z", "decode")
val image = model.createOutputBuffer("image", "decode")
z.writeFloat(FloatArray(32) { Random().nextGaussian().toFloat() })
model.run(mapOf("z" to z), mapOf("image" to image), "decode")
val pixels = image.readFloat() // 784 numbers in [0, 1]
""",
    "swift": """\
// Package https://github.com/google-ai-edge/LiteRT, branch release/2.3.0: LiteRT, and
// LiteRtMetalAccelerator for the GPU. By number: "decode" is the first signature of a file.
import LiteRT

let options = try Options()
try options.setHardwareAccelerators([.gpu, .cpu])
let model = try CompiledModel(filePath: path, environment: try Environment(), options: options)
let inputs = try model.createInputBuffers(signatureIndex: 0)
let outputs = try model.createOutputBuffers(signatureIndex: 0)
try inputs[0].write(z)  // z: [Float], 32 numbers
try model.run(inputs: inputs, outputs: outputs, signatureIndex: 0)
let pixels: [Float] = try outputs[0].read()
""",
}
# Blocks of another language than their name.
_FENCES = {"onnx": "javascript"}
_TITLES = {"onnx": "JavaScript with ONNX Runtime"}
_RUN = ("python", "javascript", "onnx")


def _titled(language):
    run = "run by the tests" if language in _RUN else "not run here"
    title = _TITLES.get(language, language.capitalize())
    return f"{title} ({run}):\n\n{textwrap.indent(LINES[language], '    ')}"


PHONE = f"""\
One .tflite file holds the signatures encode(image) -> mean, log_var; decode(z) -> image;
reconstruct(image) -> image; sample(noise) -> image, each with `condition` beside its input
for a conditional model. Draw `noise` from a standard normal distribution in the app. Only
builtin operators: the plain LiteRT runtime runs it. <file>.json beside it states shapes,
input range, names of the conditions, licence, and how near the file is to Keras.

{chr(10).join(map(_titled, LINES))}"""


def markdown():
    """The lines as code blocks."""
    fences = ((_FENCES.get(name, name), lines) for name, lines in LINES.items())
    return "\n\n".join(f"```{language}\n{lines}```" for language, lines in fences)
