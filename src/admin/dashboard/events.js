// Owns: the list of recent events, the newest first.

import { h, Keyed, mark, say } from "./dom.js";
import { ago, clock } from "./words.js";

export class EventList {
  constructor() {
    this.list = h("ol", { class: "events" });
    this.rows = new Keyed(this.list, ({ number }) => number, (event) => row(event));
    this.empty = h("p", { class: "empty" }, "Nothing has happened since this instance began to note it.");
    this.node = h("div", {}, this.list, this.empty);
  }

  /** `events`, the newest first. */
  update(events, model) {
    this.now = model.now;
    this.rows.update(events.map((event) => ({ ...event, now: model.now })));
    this.empty.hidden = events.length > 0;
  }
}

function row({ at, level, message, fields = {} }) {
  const when = h("time", { datetime: new Date(at).toISOString(), title: clock(at) });
  const pairs = Object.entries(fields).map(([name, value]) => h("span", { class: "pair" }, `${name} `, h("b", {}, String(value))));
  const tone = { error: "bad", warn: "warn" }[level];
  const node = h("li", {}, when, h("span", { class: "level" }, level), h("span", { class: "what" }, message, " ", pairs));
  mark(node, "data-tone", tone);
  return { node, update: ({ now }) => say(when, now - at < 3_600_000 ? ago(at, now) : clock(at)) };
}
