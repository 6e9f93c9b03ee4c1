// Owns: all instances that share the store, the store itself, and what can be ordered of this instance.

import * as actions from "../actions.js";
import { h, say, show } from "../dom.js";
import { button, facts, section } from "../parts.js";
import { Table } from "../table.js";
import { ago, clock, count, NONE, pair, rate, span } from "../words.js";

export default function instances({ model }) {
  const table = new Table({
    caption: "Instances that share the store",
    key: ({ id }) => id,
    columns: [
      { key: "name", label: "Instance", head: true, of: (one) => one.name ?? one.id, tell: (words, one) => (one.id === model.instance?.id ? `${words} (this one)` : words) },
      { key: "phase", label: "State", of: (one) => `${one.phase ?? NONE}${one.store_away ? ", cannot reach the store" : ""}` },
      { key: "heard", label: "Heard of", of: (one) => (one.id === model.instance?.id ? "now" : one.age_ms === undefined ? NONE : ago(0, one.age_ms)) },
      { key: "version", label: "Version", of: ({ version }) => version ?? NONE },
      { key: "sessions", label: "Sessions", kind: "number", of: ({ sessions }) => sessions, tell: count },
      { key: "connections", label: "Connections", kind: "number", of: ({ connections }) => connections, tell: count },
      { key: "flight", label: "In flight", kind: "number", of: ({ in_flight: number }) => number, tell: count },
      { key: "asked", label: "Requests", kind: "number", of: (one) => one.requests_per_s, tell: rate },
      { key: "up", label: "Runs for", kind: "number", of: (one) => one.started_at, tell: (at) => (at ? span(model.now - at) : NONE) },
    ],
    empty: "No instance has told of itself yet.",
  });
  const [own, kept] = [facts(), facts()];
  const old = h("p", { class: "failure", role: "status", hidden: true });
  const all = section("Instances", {}, old, table.node);
  const here = section("This instance", { className: "half" }, own.node, h("div", { class: "row" }, button("Reload the configuration …", actions.reload), button("New sealing key …", actions.rotateKey), button("Log level …", () => actions.logLevel(model.instance?.log_level))));
  const store = section("Store", { className: "half" }, kept.node);
  const update = (now) => {
    show(all.node, now.instances !== undefined);
    show(old, now.instances_old_ms !== undefined);
    say(old, now.instances_old_ms === undefined ? "" : `The store does not answer: what is said of other instances is ${span(now.instances_old_ms)} old.`);
    table.update(now.instances ?? []);
    const { instance = {}, store: one } = now;
    own.update([["Name", instance.name], ["Id", instance.id], ["Version", instance.version], ["State", instance.phase], ["Started", instance.started_at && `${clock(instance.started_at)} (${span(now.now - instance.started_at)} ago)`], ["Connections", instance.connections === undefined ? undefined : count(instance.connections)], ["Sessions known", instance.sessions === undefined ? undefined : count(instance.sessions)], ["Log level", instance.log_level]]);
    show(store.node, one !== undefined);
    if (one) kept.update([["Kind", one.kind], ["Shared", one.shared ? "yes: instances that use it act as one" : "no: it is of this instance alone"], ["State", one.away ? `away${one.away_since ? ` since ${clock(one.away_since)} (${span(now.now - one.away_since)})` : ""}` : "answers"], ["Latency", pair(now.storeTook)]]);
  };
  return { title: "Instances", node: h("div", { class: "grid" }, h("header", { class: "summary" }, h("h1", {}, "Instances")), all.node, here.node, store.node), update };
}
