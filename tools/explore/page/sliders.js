// One slider for each latent dimension, those that matter most first.

import { element } from "./dom.js";
import { label, say } from "./text.js";

const FIRST = 16;
const SPREADS = 3;
// Of a slider's way: what one press of an arrow key moves.
const STEPS = 120;
const KEYS = {
  ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10,
};

/** The panel of sliders. */
export function sliders(state) {
  const { latent } = state.about;
  const grouped = new Map(latent.choices.map(([start, classes]) => [start, classes]));
  const inGroup = new Set(
    latent.choices.flatMap(([start, classes]) => [...Array(classes).keys()].map((i) => start + i)),
  );
  const seen = new Set();
  const rows = [];
  for (const dim of latent.order) {
    if (!inGroup.has(dim)) {
      rows.push(dimension(state, dim));
      continue;
    }
    const start = Math.max(...[...grouped.keys()].filter((s) => s <= dim));
    if (!seen.has(start)) rows.push(variable(state, start, grouped.get(start)));
    seen.add(start);
  }
  const list = element("div", { class: "sliders" }, ...rows);
  const hint = element("p", { class: "hint" });
  say(hint, "slidersHint");
  return [hint, list, ...showAll(list, rows.length, FIRST)];
}

/** Hides the children of a list from number `first` on, and a button that shows them. */
export function showAll(list, n, first) {
  if (n <= first) return [];
  const button = element("button", { type: "button", class: "more" });
  const turn = (all) => {
    [...list.children].slice(first).forEach((child) => { child.hidden = !all; });
    button.setAttribute("aria-expanded", String(all));
    say(button, all ? "showFewer" : "showAll", { n });
  };
  button.addEventListener("click", () => turn(button.getAttribute("aria-expanded") === "false"));
  turn(false);
  return [button];
}

/** A slider, named by a text or later: `[row, input, output, name]`. */
export function slider(attributes, key, values = {}) {
  const name = element("span", { class: "name" });
  const input = element("input", { type: "range", ...attributes });
  if (key) {
    say(name, key, values);
    label(input, key, values);
  }
  const output = element("span", { class: "value", "aria-hidden": "true" });
  return [element("div", { class: "slider" }, name, input, output), input, output, name];
}

function dimension(state, dim) {
  const center = state.about.latent.center[dim];
  const reach = SPREADS * state.about.latent.scale[dim];
  const [row, input, output] = slider({
    min: String(center - reach), max: String(center + reach), step: "any",
  }, "dimension", { n: dim + 1 });
  input.dataset.dimension = dim;
  const digits = reach < 0.3 ? 3 : 2;
  input.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    put(state.code[dim] + (KEYS[event.key] * 2 * reach) / STEPS);
  });
  input.addEventListener("input", () => put(Number(input.value)));
  function put(value) {
    const code = [...state.code];
    code[dim] = Math.min(center + reach, Math.max(center - reach, value));
    state.set({ code });
  }
  state.addEventListener("change", () => {
    input.value = state.code[dim];
    output.textContent = state.code[dim].toFixed(digits).replace("-", "−");
    input.setAttribute("aria-valuetext", state.code[dim].toFixed(digits));
  });
  return row;
}

function variable(state, start, classes) {
  const { latent } = state.about;
  const [row, input, output] = slider({
    min: "0", max: String(classes - 1), step: "1",
  }, "variable", { n: latent.choices.findIndex(([s]) => s === start) + 1 });
  input.dataset.variable = start;
  input.addEventListener("input", () => {
    const code = [...state.code];
    for (let i = 0; i < classes; i++) code[start + i] = i === Number(input.value) ? 1 : 0;
    state.set({ code });
  });
  state.addEventListener("change", () => {
    const own = state.code.slice(start, start + classes);
    input.value = own.indexOf(Math.max(...own));
    output.textContent = input.value;
  });
  return row;
}
