// What the page shows: one code, its condition, and the picture of them.

const STEP = 1 / 30;

export class State extends EventTarget {
  #wanted = false;
  #drawing = null;

  constructor(about, model) {
    super();
    this.about = about;
    this.model = model;
    this.code = [];
    this.condition = null;
    // The condition that the code belongs to; what is wanted may be another.
    this.own = null;
    // How far along each attribute's direction, for models that know directions.
    this.along = (about.directions?.names ?? []).map(() => 0);
    this.pixels = null;
  }

  /** Goes to a row of `about.starts` or `about.samples`. */
  start(row) {
    this.along.fill(0);
    const condition = row.condition ?? null;
    this.set({ code: row.code, condition: Array.isArray(condition) ? [...condition] : condition });
  }

  /** Changes the code, the condition or both; tells the controls, and draws. */
  set({ code = null, condition = this.condition }) {
    if (code) {
      this.code = Array.from(code);
      this.own = condition;
    }
    this.condition = condition;
    this.dispatchEvent(new Event("change"));
    return this.draw();
  }

  /** The code with the directions added. */
  get whole() {
    if (!this.along.some(Boolean)) return this.code;
    const { vectors } = this.about.directions;
    return this.code.map((z, i) => this.along.reduce((sum, a, k) => sum + a * vectors[k][i], z));
  }

  /** The code of what is wanted: carried there, by a model whose prior knows the way. */
  async #carried() {
    const { transport } = this.about;
    const same = !transport || this.condition.every((value, i) => value === this.own[i]);
    return same ? this.whole : this.model.transport(this.whole, this.own, this.condition);
  }

  /** A random row of the samples but `other`, with the condition that the user chose. */
  random(other = null) {
    const { samples, condition } = this.about;
    const same = condition?.kind === "labels" && typeof this.condition === "number"
      ? samples.filter((row) => row.condition === this.condition) : [];
    const all = same.length ? same : samples;
    const rest = all.filter((row) => row !== other);
    const rows = rest.length ? rest : all;
    return rows[Math.floor(Math.random() * rows.length)];
  }

  /** Draws what is wanted last, once a frame; resolves when the picture is that. */
  draw() {
    this.#wanted = true;
    this.#drawing ??= this.#loop().finally(() => { this.#drawing = null; });
    return this.#drawing;
  }

  async #loop() {
    while (this.#wanted) {
      await frame();
      this.#wanted = false;
      const { condition } = this;
      this.pixels = await this.model.decode(await this.#carried(), condition);
      this.dispatchEvent(new Event("picture"));
    }
  }
}

/** The next frame; soon, where the page is hidden and has none. */
function frame() {
  if (document.hidden) return new Promise((done) => setTimeout(done, 1000 * STEP));
  return new Promise((done) => requestAnimationFrame(done));
}
