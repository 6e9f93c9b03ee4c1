// Owns: charts over the last 15 minutes, drawn by hand at the size they have. A gap is where nothing is known. A chart can be read
// with the pointer, with arrow keys, and as a sentence.

import { h, mark, s, say } from "./dom.js";
import { clock } from "./words.js";

const WIDTH_MS = 15 * 60_000;
const PAD = { left: 54, right: 8, top: 8, bottom: 20 };

const pixels = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;

/** The end of a scale that begins at 0: 1, 2 or 5 times a power of ten. */
function top(value) {
  const size = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= value);
}

const scales = {
  linear(values) {
    const end = top(Math.max(1, ...values));
    return { ticks: [0, end / 2, end], at: (value) => value / end };
  },
  log(values) {
    const positive = values.filter((value) => value > 0);
    const from = Math.floor(Math.log10(Math.min(...positive, 1e9)));
    const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(...positive, 10))));
    const low = positive.length ? from : 1;
    const high = positive.length ? to : 4;
    const step = high - low > 4 ? 2 : 1;
    const ticks = Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, number) => 10 ** (low + number * step));
    return { ticks, at: (value) => (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low) };
  },
};

/**
 * A chart. `series` are `{key, label, kind, of}`: kind "stack" piles up on the one before, "line" stands for itself, "band" is
 * drawn between `of(sample)[0]` and `[1]`. `tell(value)` writes a value with its unit; `tick` the same on the scale.
 */
export class TimeChart {
  constructor({ label, scale = "linear", series, tell, tick = tell }) {
    Object.assign(this, { label, series, tell, tick, scale: scales[scale], samples: [], pointed: undefined });
    this.svg = s("svg", { class: "plot", role: "img", tabindex: "0", "aria-label": label });
    this.values = series.map(() => h("b"));
    this.when = h("span", { class: "when" });
    const keys = series.map(({ key, label: name, kind }, at) => h("li", {}, h("i", { class: `key ${key}`, "data-kind": kind }), ` ${name} `, this.values[at]));
    this.node = h("figure", { class: "chart" }, h("ul", { class: "legend" }, keys, h("li", { class: "at" }, this.when)), this.svg);
    this.svg.addEventListener("pointermove", (event) => this.#point(this.#near(event)));
    this.svg.addEventListener("pointerleave", () => this.#point(undefined));
    this.svg.addEventListener("blur", () => this.#point(undefined));
    this.svg.addEventListener("keydown", (event) => this.#key(event));
    this.watch = new ResizeObserver(() => this.#draw());
    this.watch.observe(this.svg);
  }

  /** Draws, if there is something new. */
  update(samples) {
    if (this.samples === samples) return;
    this.samples = samples;
    this.#draw();
  }

  close() {
    this.watch.disconnect();
  }

  #values(sample) {
    let pile = 0;
    return this.series.map(({ kind, of }) => {
      const value = of(sample);
      if (kind === "band") return value ?? undefined;
      if (kind !== "stack") return value === undefined || value === null ? undefined : [value, value];
      pile += value ?? 0;
      return [pile - (value ?? 0), pile];
    });
  }

  #draw() {
    const { width, height } = this.svg.getBoundingClientRect();
    if (!width) return;
    const unit = pixels();
    const box = { left: PAD.left * unit, top: PAD.top * unit, right: width - PAD.right * unit, bottom: height - PAD.bottom * unit };
    const end = this.samples.at(-1)?.at ?? Date.now();
    const rows = this.samples.map((sample) => ({ at: sample.at, values: this.#values(sample) })).filter(({ at }) => at > end - WIDTH_MS);
    const scale = this.scale(rows.flatMap(({ values }) => values.flatMap((pair) => pair ?? [])));
    const x = (at) => box.right - ((end - at) / WIDTH_MS) * (box.right - box.left);
    const y = (value) => box.bottom - Math.min(1, scale.at(value)) * (box.bottom - box.top);
    this.frame = { box, x, y, rows, end };
    mark(this.svg, "viewBox", `0 0 ${width} ${height}`);
    this.cursor = s("line", { class: "cursor", y1: box.top, y2: box.bottom, visibility: "hidden" });
    this.svg.replaceChildren(...this.#axes(scale), ...this.series.flatMap((one, at) => this.#shape(one, at)), this.cursor);
    this.#tell();
  }

  #axes(scale) {
    const { box, x, y, end } = this.frame;
    const across = scale.ticks.flatMap((value) => [
      s("line", { class: "rule", x1: box.left, x2: box.right, y1: y(value), y2: y(value) }),
      s("text", { class: "scale", x: box.left - 6, y: y(value), "text-anchor": "end", "dominant-baseline": "middle" }, this.tick(value)),
    ]);
    const times = [15, 10, 5, 0].map((minutes) => s("text", { class: "scale", x: x(end - minutes * 60_000), y: box.bottom + 15 * pixels(), "text-anchor": minutes === 0 ? "end" : minutes === 15 ? "start" : "middle" }, minutes === 0 ? "now" : `−${minutes} min`));
    return [...across, ...times];
  }

  /** One path for each run of samples without a gap. */
  #shape({ key, kind }, number) {
    const { x, y, rows } = this.frame;
    const runs = [];
    let run = [];
    for (const { at, values } of rows) {
      const pair = values[number];
      const known = pair && pair[0] !== null && pair[1] !== null && pair[0] !== undefined && pair[1] !== undefined;
      if (known) run.push([x(at), y(pair[0]), y(pair[1])]);
      else if (run.length) runs.push(run.splice(0));
    }
    if (run.length) runs.push(run);
    const step = ([left, , value]) => `${left.toFixed(1)} ${value.toFixed(1)}`;
    return runs.flatMap((points) => {
      // A single point has no length: it is drawn as wide as a sample.
      if (points.length === 1) points.push([points[0][0] + 3, points[0][1], points[0][2]]);
      const line = s("path", { class: `line ${key}`, d: `M${points.map(step).join("L")}` });
      if (kind === "line") return [line];
      const pile = kind === "stack" && number > 0;
      const under = points.toReversed().map(([left, value]) => `${left.toFixed(1)} ${value.toFixed(1)}`);
      const area = s("path", { class: `area ${kind} ${key}`, d: `M${points.map(step).join("L")}L${under.join("L")}Z` });
      const low = kind === "band" ? [s("path", { class: `line low ${key}`, d: `M${under.join("L")}` })] : [];
      return pile ? [area] : [area, line, ...low];
    });
  }

  #near(event) {
    const { rows, x } = this.frame ?? { rows: [] };
    const left = event.clientX - this.svg.getBoundingClientRect().left;
    let best;
    rows.forEach(({ at }, number) => {
      if (best === undefined || Math.abs(x(at) - left) < Math.abs(x(rows[best].at) - left)) best = number;
    });
    return rows[best]?.at;
  }

  #key(event) {
    const rows = this.frame?.rows ?? [];
    const here = this.pointed === undefined ? rows.length - 1 : rows.findIndex(({ at }) => at === this.pointed);
    const to = { ArrowLeft: here - (this.pointed === undefined ? 0 : 1), ArrowRight: here + 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || !rows.length) return;
    event.preventDefault();
    this.#point(rows[Math.max(0, Math.min(to, rows.length - 1))].at);
  }

  #point(at) {
    this.pointed = at;
    this.#tell();
  }

  /** Writes what the series are at the time that is pointed at, else now. */
  #tell() {
    const rows = this.frame?.rows ?? [];
    const row = rows.find(({ at }) => at === this.pointed) ?? rows.at(-1);
    const sample = this.samples.find(({ at }) => at === row?.at);
    const told = this.series.map(({ of }) => {
      const value = sample && of(sample);
      return Array.isArray(value) ? value.map(this.tell).join(" / ") : this.tell(value);
    });
    this.values.forEach((node, at) => say(node, told[at]));
    const pointed = this.pointed !== undefined && row;
    say(this.when, pointed ? `at ${clock(row.at)}` : "");
    if (this.cursor) {
      mark(this.cursor, "visibility", pointed ? "visible" : "hidden");
      if (pointed) ["x1", "x2"].forEach((name) => mark(this.cursor, name, this.frame.x(row.at)));
    }
    const sentence = this.series.map(({ label }, at) => `${label} ${told[at]}`).join(", ");
    mark(this.svg, "aria-label", `${this.label}. ${pointed ? `At ${clock(row.at)}` : "Now"}: ${sentence}. Arrow keys read earlier times.`);
  }
}
