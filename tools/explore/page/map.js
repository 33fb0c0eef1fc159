// The plane of a two-dimensional code, with pictures of its places behind a point to drag.

import { element, steer, toImage } from "./dom.js";
import { label, onLanguage, say, text } from "./text.js";

const CELLS = 15;
const SPREADS = 3;
// One press of an arrow key, in spreads.
const STEP = 0.1;

/** The panel of the map. */
export function map(state) {
  const { latent, shape, range } = state.about;
  const [height, width] = shape;
  const canvas = element("canvas", {
    class: "map", role: "slider", tabIndex: 0, width: CELLS * width, height: CELLS * height,
  });
  label(canvas, "mapLabel");
  const background = element("canvas", { width: canvas.width, height: canvas.height });
  const low = latent.center.map((c, i) => c - SPREADS * latent.scale[i]);
  const span = latent.scale.map((s) => 2 * SPREADS * s);
  // The second dimension grows upwards, as in every plot.
  const toCode = (x, y) => [low[0] + x * span[0], low[1] + (1 - y) * span[1]];
  const toPlace = ([a, b]) => [(a - low[0]) / span[0], 1 - (b - low[1]) / span[1]];

  function draw() {
    const context = canvas.getContext("2d");
    context.drawImage(background, 0, 0);
    const [x, y] = toPlace(state.code);
    const radius = canvas.width / 36;
    for (const [color, line] of [["#fff", 8], ["#e0348b", 4]]) {
      context.strokeStyle = color;
      context.lineWidth = line;
      context.beginPath();
      context.arc(x * canvas.width, y * canvas.height, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  function speak() {
    if (state.code.length !== 2) return;
    const [x, y] = state.code.map((v) => v.toFixed(1));
    canvas.setAttribute("aria-valuetext", text("mapValue", { x, y }));
    canvas.setAttribute("aria-valuenow", x);
  }
  canvas.setAttribute("aria-valuemin", String(low[0]));
  canvas.setAttribute("aria-valuemax", String(low[0] + span[0]));

  steer(canvas, {
    at: (x, y) => state.set({ code: toCode(x, y) }),
    by: (dx, dy) => {
      const moved = state.code.map((v, i) => v + [dx, -dy][i] * STEP * latent.scale[i]);
      state.set({
        code: moved.map((v, i) => Math.min(low[i] + span[i], Math.max(low[i], v))),
      });
    },
  });
  state.addEventListener("change", () => { draw(); speak(); });
  onLanguage(speak);

  async function fill() {
    const context = background.getContext("2d");
    for (let row = 0; row < CELLS; row++) {
      for (let column = 0; column < CELLS; column++) {
        const code = toCode((column + 0.5) / CELLS, (row + 0.5) / CELLS);
        const pixels = await state.model.decode(code, state.condition);
        context.putImageData(toImage(pixels, shape, range), column * width, row * height);
      }
      draw();
      // Whoever moves the point meanwhile is served first.
      await new Promise((done) => setTimeout(done));
    }
    canvas.dataset.filled = "true";
  }

  const hint = element("p", { class: "hint" });
  say(hint, "mapHint");
  return { parts: [hint, canvas], fill };
}
