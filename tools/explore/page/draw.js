// The user's own digit: drawn, made small and central as MNIST's are, encoded and decoded.

import { element, show, steer } from "./dom.js";
import { label, onLanguage, nameOf, say, text } from "./text.js";

const SIZE = 280;
const PEN = 24;
const STEP = 8;
// MNIST's digits fill 20 of 28 pixels, and their centre of mass is in the middle.
const FILLED = 20;

/** A drawing as the model's pixels: `ink` from 0 to 1, `size` × `size`, to 28 × 28; or null. */
export function centred(ink, size, side = 28) {
  let [left, right, top, bottom] = [size, -1, size, -1];
  let [mass, x, y] = [0, 0, 0];
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const value = ink[row * size + column];
      if (value < 0.05) continue;
      left = Math.min(left, column);
      right = Math.max(right, column);
      top = Math.min(top, row);
      bottom = Math.max(bottom, row);
      mass += value;
      x += value * (column + 0.5);
      y += value * (row + 0.5);
    }
  }
  if (right < 0) return null;
  const step = Math.max(right - left + 1, bottom - top + 1) / FILLED;
  const pixels = new Float32Array(side * side);
  const parts = 8;
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      let sum = 0;
      for (let i = 0; i < parts * parts; i++) {
        const across = column + ((i % parts) + 0.5) / parts - side / 2;
        const down = row + (Math.floor(i / parts) + 0.5) / parts - side / 2;
        const [c, r] = [Math.floor(x / mass + across * step), Math.floor(y / mass + down * step)];
        if (c >= 0 && c < size && r >= 0 && r < size) sum += ink[r * size + c];
      }
      pixels[row * side + column] = sum / (parts * parts);
    }
  }
  return pixels;
}

/** The panel to draw on. */
export function drawing(state) {
  const { about, model } = state;
  const canvas = element("canvas", {
    class: "paper", role: "slider", tabIndex: 0, width: SIZE, height: SIZE, id: "paper",
  });
  label(canvas, "drawLabel");
  canvas.setAttribute("aria-valuemin", "0");
  canvas.setAttribute("aria-valuemax", String(SIZE));
  const seen = element("canvas", { role: "img" });
  const rebuilt = element("canvas", { role: "img", id: "rebuilt" });
  label(seen, "seen");
  label(rebuilt, "rebuilt");
  const guess = element("p", { class: "hint", role: "status" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let pen = { x: SIZE / 2, y: SIZE / 2, down: false };
  let busy = null;
  let again = false;

  function clear() {
    pen = { x: SIZE / 2, y: SIZE / 2, down: false };
    speak();
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIZE, SIZE);
    for (const small of [seen, rebuilt]) show(small, new Float32Array(784), about.shape);
    delete guess.dataset.text;
    guess.textContent = "";
  }
  function line(x, y) {
    context.strokeStyle = "#fff";
    context.lineWidth = PEN;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.beginPath();
    context.moveTo(pen.x, pen.y);
    context.lineTo(x, y);
    context.stroke();
  }
  function speak() {
    const values = { x: Math.round(pen.x), y: Math.round(pen.y) };
    canvas.setAttribute("aria-valuetext", text(pen.down ? "penDown" : "penUp", values));
    canvas.setAttribute("aria-valuenow", String(values.x));
  }

  steer(canvas, {
    at: (x, y, first) => {
      if (first) pen = { x: x * SIZE, y: y * SIZE, down: false };
      line(x * SIZE, y * SIZE);
      pen = { x: x * SIZE, y: y * SIZE, down: false };
      read();
    },
    by: (dx, dy) => {
      const inside = (v) => Math.min(SIZE, Math.max(0, v));
      const [x, y] = [pen.x + dx * STEP, pen.y + dy * STEP].map(inside);
      if (pen.down) line(x, y);
      pen = { ...pen, x, y };
      speak();
      if (pen.down) read();
    },
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    pen.down = !pen.down;
    if (pen.down) line(pen.x, pen.y);
    speak();
    if (pen.down) read();
  });

  /** Encodes what is drawn, the latest only. */
  function read() {
    again = true;
    busy ??= (async () => {
      while (again) {
        again = false;
        await once();
      }
    })().finally(() => { busy = null; });
  }
  async function once() {
    const { data } = context.getImageData(0, 0, SIZE, SIZE);
    const ink = Float32Array.from({ length: SIZE * SIZE }, (_, i) => data[4 * i] / 255);
    const pixels = centred(ink, SIZE);
    if (!pixels) return;
    show(seen, pixels, about.shape);
    const best = await fit(pixels);
    show(rebuilt, best.image, about.shape, about.range);
    state.along.fill(0);
    await state.set({ code: best.code, condition: best.condition });
  }

  /** The code; where the encoder wants a label, the one whose picture is likeliest. */
  async function fit(pixels) {
    const labelled = about.conditional && about.condition.kind === "labels";
    const tried = labelled ? about.condition.names.keys() : [state.condition];
    let best = null;
    for (const condition of tried) {
      const code = await model.encode(pixels, condition);
      const image = await model.decode(code, condition);
      const error = pixels.reduce((sum, x, i) => sum + (x - image[i]) ** 2, 0);
      if (!best || error < best.error) best = { code, condition, image, error };
    }
    if (labelled) say(guess, "guessed", { name: nameOf(about.condition.names[best.condition]) });
    return best;
  }

  const button = element("button", { type: "button", id: "clear" });
  say(button, "clear");
  button.addEventListener("click", clear);
  clear();
  onLanguage(speak);
  const hint = element("p", { class: "hint" });
  say(hint, "drawHint");
  const figure = (small, key) => {
    const caption = element("figcaption");
    say(caption, key);
    return element("figure", {}, small, caption);
  };
  return [
    hint,
    element("div", { class: "drawing" }, canvas,
      element("div", { class: "results" },
        figure(seen, "seen"), figure(rebuilt, "rebuilt"), button)),
    guess,
  ];
}
