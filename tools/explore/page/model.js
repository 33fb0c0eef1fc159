// The exported model, one call at a time, and how long a call takes.

import {
  getWebGpuDevice, loadAndCompile, loadLiteRt, supportsFeature, Tensor,
} from "@litertjs/core";
import { bytes } from "./offline.js";

const REMEMBERED = 31;
const WASM = "litertjs/core/wasm/";

function printErr(line) {
  if (/^(INFO|WARNING): |^Created TensorFlow Lite/.test(line)) console.debug(line);
  else console.error(line);
}

export class Model {
  #model;
  #last = Promise.resolve();
  #times = [];
  // "webgpu" or "wasm", once it is loaded.
  accelerator = null;

  constructor(about) {
    this.about = about;
  }

  /** Loads the runtime and the model, which decodes `row` where that works best. */
  async load(row) {
    const file = bytes("model.tflite");
    // For browsers without relaxed SIMD there is another build.
    const build = (await supportsFeature("relaxedSimd")) ? "litert_wasm" : "litert_wasm_compat";
    const wasmBinary = await bytes(`${WASM}${build}_internal.wasm.gz`);
    // What WebAssembly hands over with its settings: its notes are no errors of this page.
    globalThis.Module = { printErr, wasmBinary };
    await loadLiteRt(`./${WASM}${build}_internal.js`);
    const content = await file;
    if (getWebGpuDevice() && (await this.#works("webgpu", content, row))) return;
    this.#model = await loadAndCompile(content, { accelerator: "wasm" });
    this.accelerator = "wasm";
  }

  /** Whether an accelerator takes all operators and answers with numbers; then it is used. */
  async #works(accelerator, content, row) {
    let model;
    try {
      // In half precision pictures are visibly others.
      model = await loadAndCompile(content, { accelerator, gpuOptions: { precision: "fp32" } });
      this.#model = model;
      // LiteRT.js itself may have taken another one.
      if (!model.isFullyAccelerated || model.options.accelerator !== accelerator) throw new Error("not all");
      const pixels = await this.decode(row.code, row.condition ?? null);
      if (!pixels.every(Number.isFinite)) throw new Error("not finite");
      this.accelerator = accelerator;
      return true;
    } catch (error) {
      console.debug(`${accelerator}:`, error);
      model?.delete();
      return false;
    } finally {
      this.#times = [];
    }
  }

  /** Pixels, height × width × channels, of a code; `condition` where the decoder takes one. */
  async decode(code, condition = null) {
    const { codes, latent, map } = this.about;
    const inputs = codes
      ? { codes: [Int32Array.from(code), [1, ...codes.shape]] }
      : { z: [Float32Array.from(code), [1, ...(map ?? [latent.center.length])]] };
    const began = performance.now();
    const { image } = await this.#run("decode", { ...inputs, ...this.#given(condition) });
    this.#times = [...this.#times.slice(1 - REMEMBERED), performance.now() - began];
    return image;
  }

  /** A code of one condition as one of another. */
  async transport(code, own, wanted) {
    const { map, latent, condition, transport } = this.about;
    const row = (values) => [Float32Array.from(values), [1, condition.size]];
    const inputs = {
      z: [Float32Array.from(code), [1, ...(map ?? [latent.center.length])]],
      condition: row(own),
      new_condition: row(wanted),
      guidance: [Float32Array.of(transport), [1]],
    };
    return (await this.#run("transport", inputs)).z;
  }

  /** The code that the encoder gives to pixels. */
  async encode(pixels, condition = null) {
    const image = [Float32Array.from(pixels), [1, ...this.about.shape]];
    const found = await this.#run("encode", { image, ...this.#given(condition) });
    return found.codes ?? found.mean;
  }

  /** Milliseconds of a decoding, the median of the last ones. */
  get latency() {
    const sorted = [...this.#times].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  #given(condition) {
    if (!this.about.conditional) return {};
    const { kind, size } = this.about.condition;
    return kind === "labels"
      ? { condition: [Int32Array.of(condition), [1]] }
      : { condition: [Float32Array.from(condition), [1, size]] };
  }

  #run(signature, inputs) {
    const call = this.#last.then(() => this.#call(signature, inputs));
    this.#last = call.catch(() => {});
    return call;
  }

  async #call(signature, inputs) {
    const names = Object.keys(inputs);
    const tensors = Object.fromEntries(names.map((n) => [n, new Tensor(...inputs[n])]));
    try {
      const outputs = await this.#model.run(signature, tensors);
      const found = {};
      for (const [name, tensor] of Object.entries(outputs)) {
        found[name] = (await tensor.data()).slice();
        tensor.delete();
      }
      return found;
    } finally {
      Object.values(tensors).forEach((tensor) => tensor.delete());
    }
  }
}
