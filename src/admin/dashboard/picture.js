// Owns: the picture of the pool: instances, berths, the lines between them, and sessions that move. Few backends are rows in the
// order of the configuration, so that nothing jumps; many are tiles grouped by state.

import { row, scaleOf, tile, widthOf } from "./berths.js";
import { h, Keyed, mark, s, say, show } from "./dom.js";
import { Flights } from "./moves.js";
import { choice, search } from "./parts.js";
import { badge, rank, stateOf, STATES } from "./shapes.js";
import { ago, count, many, rate } from "./words.js";

const ROWS = 14;
const NAMED = 60;

const SHOWN = [["sessions", "sessions"], ["in_flight", "in flight"], ["latency_ms", "latency"]];
const SORTED = [["name", "name"], ["value", "what is shown"]];

export class Picture {
  constructor(model) {
    this.model = model;
    Object.assign(this, { wanted: "", shown: "sessions", sorted: "name" });
    this.title = h("h2", { id: "picture-title" }, "Where sessions are moored");
    this.legend = h("p", { class: "soft legend-words" });
    this.controls = h("div", { class: "row controls" },
      search("Find a backend", "", (words) => { this.wanted = words; this.update(model); }),
      choice("Show", SHOWN, this.shown, (value) => { this.shown = value; this.update(model); }),
      choice("Sort by", SORTED, this.sorted, (value) => { this.sorted = value; this.update(model); }));
    this.lines = s("g", { class: "wires" });
    this.traces = s("g", {});
    this.instances = h("ul", { class: "instances", "aria-label": "Instances" });
    this.quays = h("div", { class: "quays" });
    this.air = h("div", { class: "air", "aria-hidden": "true" });
    this.harbour = h("div", { class: "harbour" }, s("svg", { class: "lines", "aria-hidden": "true" }, this.lines, this.traces), this.instances, this.quays, this.air);
    this.node = h("section", { class: "sheet picture", "aria-labelledby": "picture-title" }, h("header", { class: "head" }, this.title, this.controls), h("div", { class: "frame" }, this.harbour), this.legend);
    this.flights = new Flights(this.air, this.traces);
    this.cards = new Keyed(this.instances, ({ id }) => id, card);
    this.groups = new Keyed(this.quays, ({ key }) => key, (group) => this.#group(group));
    this.watch = new ResizeObserver(() => this.#wire());
    this.watch.observe(this.harbour);
  }

  update(model) {
    const all = [...model.backends.values()];
    const density = all.length <= ROWS ? "rows" : all.length <= NAMED ? "named" : "bare";
    if (this.density !== density) {
      this.density = density;
      mark(this.harbour, "data-density", density);
      this.groups.update([]);
      show(this.controls, density !== "rows");
    }
    const now = model.now;
    this.cards.update(instancesOf(model).map((one) => ({ ...one, now })));
    const scale = scaleOf(all);
    const look = { scale, wide: widthOf(all, scale), shown: this.shown, most: Math.max(0, ...all.map((one) => one[this.shown] ?? 0)), fluxes: this.flights.flux(now) };
    this.groups.update(this.#grouped(model, look));
    this.#tell(all, scale);
    const shape = `${density} ${all.map(({ id }) => id).join()} ${this.cards.entries.size} ${all.length > ROWS ? "" : this.quays.offsetHeight}`;
    if (this.shape !== shape) this.#wire();
    this.shape = shape;
    this.#strain(model);
  }

  close() {
    this.watch.disconnect();
  }

  /** Sessions moved: shows it, where both ends are in the picture. */
  move(move) {
    this.flights.note(move, this.model.now);
    const [from, to] = [this.#end(move.from), this.#end(move.to)];
    if (from && to) this.flights.fly(from, to, { number: move.sessions ?? 1, traced: this.density === "rows" });
  }

  #end(id) {
    const berth = this.quays.querySelector(`[data-id="${CSS.escape(id)}"]`);
    if (!berth) return undefined;
    const at = berth.getBoundingClientRect();
    const own = this.harbour.getBoundingClientRect();
    // Rows are left and reached where the lines end.
    const inside = this.density === "rows" ? 0 : at.width / 2;
    return [at.left - own.left + inside, at.top - own.top + at.height / 2];
  }

  #grouped(model, look) {
    const found = ({ name }) => !this.wanted || name.toLowerCase().includes(this.wanted);
    if (this.density === "rows") {
      return model.pools.map((pool) => ({ key: pool.name, pool, backends: pool.backends, look }));
    }
    return model.pools.flatMap((pool) => {
      const of = (state) => pool.backends.filter((backend) => backend.state === state && found(backend));
      const states = [...new Set([...Object.keys(STATES), ...pool.backends.map(({ state }) => state)])].sort((a, b) => rank(a) - rank(b));
      return states.map((state) => ({ key: `${pool.name} ${state}`, pool, state, backends: this.#ordered(of(state)), look })).filter(({ backends }) => backends.length);
    });
  }

  #ordered(backends) {
    if (this.sorted === "name") return backends.toSorted((a, b) => a.place - b.place);
    return backends.toSorted((a, b) => (b[this.shown] ?? 0) - (a[this.shown] ?? 0));
  }

  #group({ state }) {
    const word = state && badge(state);
    const title = h("span");
    const list = h("ul", { class: "berths", "data-named": state ? stateOf(state).tone !== "well" : undefined });
    const rows = new Keyed(list, ({ id }) => id, state ? tile : row);
    const make = rows.make;
    // What a berth is drawn with besides itself.
    let look = {};
    rows.make = (backend) => {
      const made = make(backend);
      return { node: made.node, update: (one) => made.update(one, { ...look, flux: look.fluxes.get(one.id) }) };
    };
    const node = h("div", { class: "quay" }, h("h3", {}, word?.node, title), list);
    return {
      node,
      update: (group) => {
        look = group.look;
        say(title, state ? `${count(group.backends.length)} in ${group.pool.name}` : poolWords(group.pool));
        mark(list, "aria-label", state ? `${stateOf(state).word} in ${group.pool.name}` : `Backends of ${group.pool.name}`);
        rows.update(group.backends);
      },
    };
  }

  #tell(all, scale) {
    const dots = scale === 1 ? "One dot is one session." : `One dot is ${count(scale)} sessions.`;
    const lines = this.density === "rows" ? `${dots} A line grows with the requests in flight${this.model.alone ? "" : " from this instance; sessions are those it knows"}.` : `A tile fills with its share of the highest.${this.model.alone ? "" : " Numbers are those that this instance knows."}`;
    say(this.legend, all.length ? lines : "No backends yet: name them in [[pool]] backends = […], or start Moorline with --backend URL.");
  }

  /** Draws the lines anew: after the picture has changed its size or its backends. */
  #wire() {
    this.wires = new Map();
    const self = this.instances.querySelector("[data-self]");
    const own = this.harbour.getBoundingClientRect();
    const wide = self && this.density === "rows" && this.quays.getBoundingClientRect().left > self.getBoundingClientRect().right + 8;
    if (!wide) return this.lines.replaceChildren();
    const from = self.getBoundingClientRect();
    const [x1, y1] = [from.right - own.left, from.top - own.top + from.height / 2];
    const wires = [...this.quays.querySelectorAll(".berth")].map((berth) => {
      const to = berth.getBoundingClientRect();
      const [x2, y2] = [to.left - own.left, to.top - own.top + to.height / 2];
      const middle = (x1 + x2) / 2;
      const wire = s("path", { class: "wire", d: `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}` });
      this.wires.set(berth.dataset.id, wire);
      return wire;
    });
    this.lines.replaceChildren(...wires);
    return this.#strain(this.model);
  }

  #strain(model) {
    for (const [id, wire] of this.wires ?? []) {
      const backend = model.backends.get(id);
      if (!backend) continue;
      mark(wire, "stroke-width", (1 + Math.min(6, Math.log2(1 + backend.in_flight))).toFixed(1));
      mark(wire, "data-tone", stateOf(backend.state).tone);
    }
  }
}

function poolWords({ name, path, backends }) {
  const up = backends.filter(({ state }) => state === "up").length;
  const held = backends.reduce((sum, { sessions }) => sum + sessions, 0);
  return `${name === path ? path : `${name} at ${path}`}: ${up} of ${many(backends.length, "backend")} up, ${many(held, "session")}`;
}

/** All instances; where none are listed, this one. */
function instancesOf({ instance, instances, asked }) {
  const all = instances?.length ? instances : instance ? [instance] : [];
  return all.map((one) => ({ ...one, own: one.id === instance?.id, load: one.id === instance?.id ? { ...instance, requests_per_s: asked } : one }));
}

function card(one) {
  const [name, state, load] = [h("b"), h("span"), h("span")];
  const link = h("a", { class: "instance", href: "#/instances", "data-self": one.own }, name, state, load);
  return {
    node: h("li", {}, link),
    update({ own, name: word, id, phase, age_ms: age, load: its, now }) {
      const old = !own && age > 15_000;
      say(name, word ?? id);
      say(state, own ? `this instance, ${phase ?? "serving"}` : old ? `no news: last ${ago(now - age, now)}` : (phase ?? "serving"));
      say(load, [its.sessions !== undefined && many(its.sessions, "session"), its.requests_per_s !== undefined && rate(its.requests_per_s)].filter(Boolean).join(", "));
      mark(link, "data-tone", old || (phase && phase !== "serving") ? "warn" : "well");
    },
  };
}
