// Elements, and pictures on canvases.

/** An element with attributes, properties (of any other type than text) and children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "string") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Pixels, height × width × channels, as they are on a canvas. */
export function toImage(pixels, [height, width, channels], range) {
  const [low, high] = range ?? [0, 1];
  const image = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) {
      const value = pixels[i * channels + (channels === 1 ? 0 : c)];
      image.data[4 * i + c] = Math.round((255 * (value - low)) / (high - low));
    }
    image.data[4 * i + 3] = 255;
  }
  return image;
}

/** Shows pixels on a canvas that has one dot a pixel. */
export function show(canvas, pixels, shape, range) {
  if (canvas.width !== shape[1] || canvas.height !== shape[0]) {
    [canvas.height, canvas.width] = shape;
  }
  canvas.getContext("2d").putImageData(toImage(pixels, shape, range), 0, 0);
}

/** A canvas with `pixels` at `scale` dots a pixel, for a file that looks well. */
export function enlarged(pixels, shape, range, scale) {
  const small = element("canvas");
  show(small, pixels, shape, range);
  const large = element("canvas", { width: shape[1] * scale, height: shape[0] * scale });
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, large.width, large.height);
  return large;
}

/** Where a pointer is on an element, from 0 to 1 in both directions. */
export function position(event, target) {
  const box = target.getBoundingClientRect();
  const clip = (v) => Math.min(1, Math.max(0, v));
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  return [clip(x / box.width), clip(y / box.height)];
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Makes a canvas listen to pointers (`at` from 0 to 1) and to arrow keys (`by` steps). */
export function steer(canvas, { at, by }) {
  let held = false;
  canvas.addEventListener("pointerdown", (event) => {
    held = true;
    canvas.setPointerCapture(event.pointerId);
    at(...position(event, canvas), true);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    // Fast strokes come as one event that stands for several.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const e of events.length ? events : [event]) at(...position(e, canvas), false);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => { held = false; });
  }
  canvas.addEventListener("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    by(...step, event.shiftKey);
  });
}
