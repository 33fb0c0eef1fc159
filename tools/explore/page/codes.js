// The map of codes of a VQ-VAE: choose a place, give it another code.

import { element, steer, toImage } from "./dom.js";
import { label, onLanguage, say, text } from "./text.js";

// A code among its like: the middle of so many places to each side.
const BLOCK = 3;
const CELL = 64;
const COLUMNS = 20;
const TILE = 16;

/** The panel of the map, and the palette of all codes. */
export function codeMap(state) {
  const { codes, shape, range } = state.about;
  const [rows, columns] = codes.shape;
  const patches = element("canvas", {
    width: COLUMNS * TILE, height: Math.ceil(codes.number / COLUMNS) * TILE,
  });
  let chosen = Math.floor((rows * columns) / 2);
  let colour = 0;

  const canvas = element("canvas", {
    class: "codes", role: "slider", tabIndex: 0, width: columns * CELL, height: rows * CELL,
  });
  label(canvas, "codesLabel");
  const palette = element("canvas", {
    class: "palette", role: "slider", tabIndex: 0,
    width: patches.width * 2, height: patches.height * 2,
  });
  label(palette, "paletteLabel");
  for (const [target, n] of [[canvas, rows * columns], [palette, codes.number]]) {
    target.setAttribute("aria-valuemin", "0");
    target.setAttribute("aria-valuemax", String(n - 1));
  }
  const number = element("input", {
    type: "number", min: "0", max: String(codes.number - 1), step: "1", id: "code",
  });
  const caption = element("label", { for: "code" });
  say(caption, "code");
  const fillButton = element("button", { type: "button", id: "everywhere" });
  say(fillButton, "fill");

  const corner = (code) => [(code % COLUMNS) * TILE, Math.floor(code / COLUMNS) * TILE];
  // One dot less to each side, so that neighbours are told apart.
  const patch = (code) => [...corner(code).map((v) => v + 1), TILE - 2, TILE - 2];
  function frameAround(context, x, y, size) {
    for (const [color, line] of [["#fff", 6], ["#e0348b", 3]]) {
      context.strokeStyle = color;
      context.lineWidth = line;
      context.strokeRect(x + 2, y + 2, size - 4, size - 4);
    }
  }
  function draw() {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = false;
    const numbered = columns <= 8;
    context.font = `${CELL / 4}px system-ui, sans-serif`;
    state.code.forEach((code, i) => {
      const [x, y] = [(i % columns) * CELL, Math.floor(i / columns) * CELL];
      context.drawImage(patches, ...patch(code), x, y, CELL - 1, CELL - 1);
      if (!numbered) return;
      context.lineWidth = 3;
      context.strokeStyle = "#000c";
      context.fillStyle = "#fff";
      context.strokeText(code, x + 5, y + CELL - 7);
      context.fillText(code, x + 5, y + CELL - 7);
    });
    frameAround(context, (chosen % columns) * CELL, Math.floor(chosen / columns) * CELL, CELL - 1);
    const other = palette.getContext("2d");
    other.clearRect(0, 0, palette.width, palette.height);
    other.imageSmoothingEnabled = false;
    other.drawImage(patches, 0, 0, palette.width, palette.height);
    const [x, y] = corner(colour);
    frameAround(other, 2 * x, 2 * y, 2 * TILE);
  }
  function speak() {
    if (!state.code.length) return;
    const values = {
      row: Math.floor(chosen / columns) + 1,
      column: (chosen % columns) + 1,
      code: state.code[chosen],
    };
    canvas.setAttribute("aria-valuetext", text("cellValue", values));
    canvas.setAttribute("aria-valuenow", String(chosen));
    palette.setAttribute("aria-valuetext", text("paletteValue", { code: colour }));
    palette.setAttribute("aria-valuenow", String(colour));
    number.value = state.code[chosen];
  }
  const refresh = () => { draw(); speak(); };
  const clip = (v, n) => Math.min(n - 1, Math.max(0, v));

  function choose(row, column) {
    chosen = clip(row, rows) * columns + clip(column, columns);
    colour = state.code[chosen];
    refresh();
  }
  function put(code) {
    colour = clip(code, codes.number);
    const next = [...state.code];
    next[chosen] = colour;
    state.set({ code: next });
  }
  steer(canvas, {
    at: (x, y) => choose(Math.floor(y * rows), Math.floor(x * columns)),
    by: (dx, dy) => choose(Math.floor(chosen / columns) + dy, (chosen % columns) + dx),
  });
  steer(palette, {
    at: (x, y, first) => {
      const row = Math.floor((y * patches.height) / TILE - 1e-6);
      const code = row * COLUMNS + Math.min(COLUMNS - 1, Math.floor(x * COLUMNS));
      if (first && code < codes.number) put(code);
    },
    by: (dx, dy) => {
      colour = clip(colour + dx + COLUMNS * dy, codes.number);
      refresh();
    },
  });
  palette.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    put(colour);
  });
  number.addEventListener("input", () => {
    if (number.value !== "" && number.checkValidity()) put(Number(number.value));
  });
  fillButton.addEventListener("click", () => {
    state.set({ code: state.code.map(() => state.code[chosen]) });
  });
  state.addEventListener("change", () => {
    colour = state.code[chosen];
    refresh();
  });
  onLanguage(speak);

  /** Decodes blocks of one code each, as many as fit a map, and keeps their middles. */
  async function fill() {
    const block = Math.min(BLOCK, rows, columns);
    const [down, across] = [Math.floor(rows / block), Math.floor(columns / block)];
    const [high, wide] = [shape[0] / rows, shape[1] / columns];
    const middle = Math.floor(block / 2);
    const context = patches.getContext("2d");
    context.imageSmoothingEnabled = false;
    const whole = element("canvas", { width: shape[1], height: shape[0] });
    for (let first = 0; first < codes.number; first += down * across) {
      const map = Array(rows * columns).fill(first);
      const place = (k) => [Math.floor(k / across) * block, (k % across) * block];
      for (let i = 0; i < rows * columns; i++) {
        const [r, c] = [Math.floor(i / columns / block), Math.floor((i % columns) / block)];
        const k = Math.min(r, down - 1) * across + Math.min(c, across - 1);
        map[i] = Math.min(first + k, codes.number - 1);
      }
      const pixels = await state.model.decode(map);
      whole.getContext("2d").putImageData(toImage(pixels, shape, range), 0, 0);
      for (let k = 0; k < down * across && first + k < codes.number; k++) {
        const [r, c] = place(k);
        const from = [(c + middle) * wide, (r + middle) * high, wide, high];
        context.drawImage(whole, ...from, ...patch(first + k));
      }
      if (first % 16 < down * across) {
        draw();
        await new Promise((done) => setTimeout(done));
      }
    }
    draw();
    palette.dataset.filled = "true";
  }

  const hint = element("p", { class: "hint" });
  say(hint, "codesHint");
  const title = element("h3");
  say(title, "palette");
  return {
    parts: [
      hint,
      element("div", { class: "code-map" },
        element("div", {}, canvas,
          element("div", { class: "chosen" }, caption, number, fillButton)),
        element("div", {}, title, palette)),
    ],
    fill,
  };
}
