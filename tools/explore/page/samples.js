// Codes to start from, and the way from one sample to another.

import { element, show } from "./dom.js";
import { slider } from "./sliders.js";
import { label, say } from "./text.js";

const SHOWN = 10;
const SECONDS = 3;

/** Small pictures of codes; one that is pressed becomes the page's code. */
export function gallery(state) {
  const { starts, samples, shape, range } = state.about;
  const rows = (starts.length ? starts : samples).slice(0, SHOWN);
  const buttons = rows.map((row, i) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const button = element("button", { type: "button", class: "picture" }, canvas);
    if (row.digit === undefined) label(button, "startSample", { n: i + 1 });
    else label(button, "startDigit", { digit: row.digit });
    button.addEventListener("click", () => state.start(row));
    return button;
  });
  async function fill() {
    for (const [i, row] of rows.entries()) {
      const pixels = await state.model.decode(row.code, row.condition);
      show(buttons[i].firstChild, pixels, shape, range);
    }
  }
  return { parts: [element("div", { class: "gallery" }, ...buttons)], fill };
}

/** Two samples, and a slider between them. Codes that are integers are mixed. */
export function between(state) {
  const { codes, shape, range } = state.about;
  const cells = codes && codes.shape[0] * codes.shape[1];
  const ends = [null, null];
  const [row, input, output] = slider({
    min: "0", max: codes ? String(cells) : "1", step: codes ? "1" : "0.01", id: "way",
  }, codes ? "mixed" : "between");
  input.value = "0";
  const turn = element("button", { type: "button", class: "primary", id: "play" });
  let playing = false;

  function move() {
    const t = Number(input.value);
    output.textContent = codes ? input.value : t.toFixed(2);
    const line = (a, b) => a.map((v, i) => (1 - t) * v + t * b[i]);
    const [a, b] = ends.map((end) => end.code);
    const code = codes ? a.map((c, i) => (i < t ? b[i] : c)) : line(a, b);
    // Attributes go along; a label stays as it was chosen.
    const [c, d] = ends.map((end) => end.condition);
    return state.set(Array.isArray(c) ? { code, condition: line(c, d) } : { code });
  }
  async function renew(which, quiet) {
    ends[which] = state.random(ends[1 - which]);
    const pixels = await state.model.decode(ends[which].code, condition(ends[which]));
    show(pictures[which].firstChild, pixels, shape, range);
    if (!quiet) await move();
  }
  const condition = (end) => (Array.isArray(end.condition) ? end.condition : state.condition);

  async function play() {
    playing = !playing;
    say(turn, playing ? "pause" : "play");
    const high = Number(input.max);
    let t = Number(input.value) / high;
    let way = t >= 1 ? -1 : 1;
    let last = performance.now();
    while (playing) {
      const now = performance.now();
      t += (way * (now - last)) / (1000 * SECONDS);
      last = now;
      if (t <= 0 || t >= 1) way = t <= 0 ? 1 : -1;
      t = Math.min(1, Math.max(0, t));
      input.value = String(t * high);
      // Until the picture is drawn, which waits for a frame.
      await move();
    }
  }

  const pictures = ["newFirst", "newSecond"].map((key, which) => {
    const hidden = { "aria-hidden": "true" };
    const button = element("button", { type: "button", class: "picture" },
      element("canvas", hidden), element("span", { class: "again", ...hidden }, "↻"));
    label(button, key);
    button.addEventListener("click", () => renew(which));
    return button;
  });
  input.addEventListener("input", () => {
    if (playing) play();
    move();
  });
  turn.addEventListener("click", play);
  say(turn, "play");
  const hint = element("p", { class: "hint" });
  say(hint, codes ? "mixHint" : "interpolationHint");
  return {
    parts: [hint, element("div", { class: "between" }, pictures[0], row, pictures[1], turn)],
    fill: async () => { for (const which of [0, 1]) await renew(which, true); },
  };
}
