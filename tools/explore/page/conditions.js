// Labels to choose, attributes to switch, directions of attributes to go along.

import { element } from "./dom.js";
import { showAll, slider } from "./sliders.js";
import { label, nameOf, onLanguage, say } from "./text.js";

const FIRST = 10;

/** A button for each label, one of which is pressed. */
export function labels(state) {
  const { names } = state.about.condition;
  const buttons = names.map((name, i) => {
    const button = element("button", { type: "button", class: "key" }, nameOf(name));
    label(button, "label", { name });
    button.addEventListener("click", () => {
      state.set({ condition: i });
      // Where the decoder sees no label, it is a new sample that obeys it.
      if (!state.about.conditional) state.start(state.random());
    });
    return button;
  });
  state.addEventListener("change", () => {
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", String(i === state.condition)));
  });
  const group = element("div", { class: "keys", role: "group" }, ...buttons);
  label(group, "labels");
  return [group];
}

/** A switch for each attribute. */
export function attributes(state) {
  const { names, order } = state.about.condition;
  const rows = order.map((i) => {
    const input = element("input", { type: "checkbox", role: "switch" });
    input.dataset.attribute = names[i];
    const name = element("span");
    onLanguage(() => { name.textContent = nameOf(names[i]); });
    input.addEventListener("change", () => {
      const condition = [...state.condition];
      condition[i] = input.checked ? 1 : 0;
      state.set({ condition });
    });
    state.addEventListener("change", () => { input.checked = state.condition[i] > 0.5; });
    return element("label", { class: "switch" }, input, name);
  });
  const list = element("div", { class: "switches" }, ...rows);
  return [list, ...showAll(list, rows.length, FIRST)];
}

/** A slider for each direction of an attribute, 0 in the middle. */
export function directions(state) {
  const rows = state.about.directions.names.map((attribute, k) => {
    const [row, input, output, name] = slider({ min: "-1.5", max: "1.5", step: "0.05" });
    onLanguage(() => {
      name.textContent = nameOf(attribute);
      input.setAttribute("aria-label", nameOf(attribute));
    });
    input.dataset.direction = attribute;
    input.addEventListener("input", () => {
      state.along[k] = Number(input.value);
      state.set({});
    });
    state.addEventListener("change", () => {
      input.value = state.along[k];
      output.textContent = state.along[k].toFixed(2).replace("-", "−");
    });
    return row;
  });
  const hint = element("p", { class: "hint" });
  say(hint, "directionsHint");
  return [hint, element("div", { class: "sliders" }, ...rows)];
}
