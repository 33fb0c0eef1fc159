"""What the developer of an app needs to read, in `export --help` and the READMEs."""

import textwrap

# One .tflite of a model with 32 latent dimensions, called in each language.
LINES = {
    "python": """\
# m.tflite: 32 latent dimensions; pip install ai-edge-litert
import numpy as np
from ai_edge_litert.interpreter import Interpreter

decode = Interpreter("m.tflite").get_signature_runner("decode")
z = np.random.default_rng().standard_normal((1, 32)).astype("float32")
image = decode(z=z)["image"]  # (1, 28, 28, 1), float32 in [0, 1]
""",
    "javascript": """\
// npm install @litertjs/core; serve its folder wasm/ beside the page
import { loadLiteRt, loadAndCompile, Tensor } from "@litertjs/core";

await loadLiteRt("./wasm/");
const model = await loadAndCompile("m.tflite", { accelerator: "wasm" });
const z = new Tensor(new Float32Array(32), [1, 32]);
const { image } = await model.run("decode", { z });
const pixels = await image.data(); // 784 numbers in [0, 1]
z.delete();
image.delete();
""",
    "kotlin": """\
// implementation("com.google.ai.edge.litert:litert:1.4.0")
import org.tensorflow.lite.Interpreter

val decoder = Interpreter(File(context.filesDir, "m.tflite"))
val z = arrayOf(FloatArray(32) { Random().nextGaussian().toFloat() })
val image = Array(1) { Array(28) { Array(28) { FloatArray(1) } } }
decoder.runSignature(mapOf("z" to z), mapOf("image" to image), "decode")
""",
    "swift": """\
// pod "TensorFlowLiteSwift"
import TensorFlowLite

let decode = try Interpreter(modelPath: path).signatureRunner(with: "decode")
try decode.allocateTensors()
try decode.copy(z.withUnsafeBufferPointer { Data(buffer: $0) }, toInputNamed: "z")  // z: [Float32]
try decode.invoke()
let image = try decode.output(named: "image").data
""",
}


def _titled(language):
    run = "run by the tests" if language in ("python", "javascript") else "not run here"
    return f"{language.capitalize()} ({run}):\n\n{textwrap.indent(LINES[language], '    ')}"


PHONE = f"""\
One .tflite file holds the signatures encode(image) -> mean, log_var; decode(z) -> image;
reconstruct(image) -> image; sample(noise) -> image, each with `condition` beside its input
for a conditional model. Draw `noise` from a standard normal distribution in the app. Only
builtin operators: the plain LiteRT runtime runs it. <file>.json beside it states shapes,
input range, names of the conditions, licence, and how near the file is to Keras.

{chr(10).join(map(_titled, LINES))}"""


def markdown():
    """The lines as code blocks."""
    return "\n\n".join(f"```{language}\n{lines}```" for language, lines in LINES.items())
