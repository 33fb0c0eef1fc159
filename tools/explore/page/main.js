// Puts the page together from `explore.json`.

import { codeMap } from "./codes.js";
import { attributes, directions, labels } from "./conditions.js";
import { element, enlarged, show } from "./dom.js";
import { drawing } from "./draw.js";
import { map } from "./map.js";
import { Model } from "./model.js";
import { keep } from "./offline.js";
import { between, gallery } from "./samples.js";
import { sliders } from "./sliders.js";
import { State } from "./state.js";
import { onLanguage, say, setLanguage, text } from "./text.js";

const $ = (id) => document.getElementById(id);
const LARGE = 512;

async function start() {
  const began = performance.now();
  say($("status"), "loading");
  setLanguage(new URLSearchParams(location.search).get("lang"));
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => setLanguage(button.dataset.language));
  }
  const answer = await fetch("explore.json");
  if (!answer.ok) throw new Error(`explore.json: ${answer.status}`);
  const about = await answer.json();
  // Maps come row by row.
  for (const row of [...about.starts, ...about.samples]) row.code = row.code.flat(Infinity);
  const kept = await keep();
  const model = new Model(about);
  await model.load(starting(about));

  const state = new State(about, model);
  // For the browser's console: the code, the condition and the pixels of the page.
  globalThis.explorer = state;
  introduce(about);
  const later = build(state);
  const measured = stage(state);
  $("status").nextElementSibling.hidden = false;
  await state.start(starting(about));
  await shown(state);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  say($("status"), `ready_${model.accelerator}`, { seconds });
  $("kept").hidden = !kept;
  document.body.dataset.accelerator = model.accelerator;
  document.body.dataset.ready = "true";
  // Small pictures come after the large one.
  for (const fill of later) await fill();
  measured();
  document.body.dataset.filled = "true";
}

// A three shows more of a digit's shape than a nought.
const starting = ({ starts, samples }) => starts[3] ?? starts[0] ?? samples[0];

const shown = (state) => new Promise((done) => {
  if (state.pixels) done();
  else state.addEventListener("picture", done, { once: true });
});

function introduce(about) {
  document.title = `${about.name} · keras_vae`;
  $("name").textContent = about.name;
  $("description").textContent = about.description;
  $("tflite").download = `${about.name}.tflite`;
  if (about.data || about.licence) {
    say($("about"), "about", { data: about.data ?? "", licence: about.licence ?? "" });
  }
}

/** The panels that the model has; returns what fills them when there is time. */
function build(state) {
  const { about } = state;
  const later = [];
  const panel = (key, made) => {
    const parts = made.parts ?? made;
    if (made.parts) later.push(made.fill);
    const title = element("h2");
    say(title, key);
    $("panels").append(
      element("section", { class: "panel", id: `panel-${key}` }, title, ...parts),
    );
  };
  panel("startFrom", gallery(state));
  const kind = about.condition?.kind;
  if (kind === "labels") panel("labels", labels(state));
  if (kind === "attributes" && about.conditional) panel("attributes", attributes(state));
  if (about.directions) panel("directions", directions(state));
  if (about.codes) panel("codes", codeMap(state));
  if (about.latent?.center.length === 2) panel("map", map(state));
  if (about.latent) panel("sliders", sliders(state));
  panel(about.codes ? "mix" : "interpolation", between(state));
  if (about.draws) panel("draw", drawing(state));
  return later;
}

/** The picture and what stands beside it; returns what says how long decoding takes. */
function stage(state) {
  const { about, model } = state;
  const scale = Math.max(1, Math.round(LARGE / about.shape[1]));
  // Few pixels are shown as such, many as a picture.
  document.body.classList.toggle("dots", about.shape[1] < 48);
  let said = 0;
  const measured = () => {
    if (model.latency) $("latency").textContent = text("latency", { ms: model.latency.toFixed(1) });
  };
  state.addEventListener("picture", () => {
    show($("picture"), state.pixels, about.shape, about.range);
    // Four times a second can be read.
    if (performance.now() - said > 250) {
      said = performance.now();
      measured();
    }
  });
  onLanguage(measured);
  $("random").addEventListener("click", () => state.start(state.random()));
  $("save").addEventListener("click", () => {
    enlarged(state.pixels, about.shape, about.range, scale).toBlob((blob) => {
      const link = element("a", { href: URL.createObjectURL(blob), download: `${about.name}.png` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  });
  return measured;
}

start().catch((error) => {
  say($("status"), "failed", { error: error.message ?? error });
  $("status").classList.add("failed");
  console.error(error);
});
