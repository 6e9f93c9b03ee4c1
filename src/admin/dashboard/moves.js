// Owns: showing that sessions move: dots that fly from berth to berth, the trace that stays a while, and "+3" beside a berth.
// Where less motion is wanted nothing flies; trace and number tell the same. It never holds anything up: what is too much at once
// flies together.

import { h, s } from "./dom.js";

/** Dots in the air at the same time; further moves are told by trace and number alone. */
const MOST = 60;
/** How long a number and a trace stay. */
export const STAYS_MS = 20_000;

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Flights {
  /** `layer` lies over the picture, `traces` is an SVG group below it. */
  constructor(layer, traces) {
    Object.assign(this, { layer, traces, flying: 0, recent: [] });
  }

  /** Sessions moved from one place (of the layer) to another. */
  fly(from, to, { number, traced }) {
    const path = this.#path(from, to);
    // Tiles find other places when they are sorted: a trace would lead nowhere.
    if (traced) this.#trace(path);
    if (still() || document.hidden) return;
    for (let dot = 0; dot < Math.min(number, 12) && this.flying < MOST; dot += 1) this.#one(path, dot * 55);
  }

  /** Notes a move for the numbers. */
  note({ from, to, sessions = 1 }, now) {
    this.recent = this.recent.filter(({ at }) => now - at < STAYS_MS);
    if (this.recent.length < 2000) this.recent.push({ from, to, sessions, at: now });
  }

  /** How many came to each backend and left it lately. */
  flux(now) {
    const flux = new Map();
    const add = (id, key, number) => {
      if (!flux.has(id)) flux.set(id, { came: 0, left: 0 });
      flux.get(id)[key] += number;
    };
    for (const { from, to, sessions, at } of this.recent) {
      if (now - at >= STAYS_MS) continue;
      add(from, "left", sessions);
      add(to, "came", sessions);
    }
    return flux;
  }

  /** Out to the side of the lines, along them, and in again. */
  #path([x1, y1], [x2, y2]) {
    const out = Math.min(90, 35 + Math.abs(y2 - y1) / 3);
    return `M${x1.toFixed(1)} ${y1.toFixed(1)}C${(x1 - out).toFixed(1)} ${y1.toFixed(1)} ${(x2 - out).toFixed(1)} ${y2.toFixed(1)} ${x2.toFixed(1)} ${y2.toFixed(1)}`;
  }

  #trace(path) {
    const same = [...this.traces.children].find((trace) => trace.getAttribute("d") === path);
    same?.remove();
    const trace = s("path", { class: "trace", d: path });
    trace.addEventListener("animationend", () => trace.remove());
    this.traces.append(trace);
    if (this.traces.childElementCount > MOST) this.traces.firstElementChild.remove();
  }

  #one(path, delay) {
    const dot = h("span", { class: "flying" });
    dot.style.offsetPath = `path("${path}")`;
    this.layer.append(dot);
    this.flying += 1;
    const frames = [{ offsetDistance: "0%", opacity: 0.2 }, { opacity: 1, offset: 0.15 }, { opacity: 1, offset: 0.9 }, { offsetDistance: "100%", opacity: 0.2 }];
    const flight = dot.animate(frames, { duration: 1300, delay, easing: "cubic-bezier(.45,.05,.35,1)", fill: "both" });
    const over = () => {
      dot.remove();
      this.flying -= 1;
    };
    flight.finished.then(over, over);
  }
}
