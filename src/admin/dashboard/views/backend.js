// Owns: one backend: how it is doing, what lies there, and draining it.

import * as actions from "../actions.js";
import { h, say, show } from "../dom.js";
import { button, facts, section, trail } from "../parts.js";
import { sessionTable } from "../sessions.js";
import { badge, stateOf } from "../shapes.js";
import { Source } from "../source.js";
import { Table } from "../table.js";
import { ago, clock, count, many, span, took } from "../words.js";

function probe({ probe: by, failures_in_a_row: failed }) {
  if (!by) return undefined;
  const last = { passed: "the last one passed", failed: `the last ${failed > 1 ? `${count(failed)} ` : "one "}failed`, none: "none has ended yet" }[by.last];
  return `${by.kind}, every ${took(by.every_ms * 1000)}: ${last}`;
}

export default function backend({ model, id }) {
  const name = h("span");
  const state = badge("up");
  const means = h("p", { class: "lead" });
  const told = facts();
  const gone = h("p", { class: "empty" }, "This backend is not in any pool (any more). It may have left with its name, or with a change of the configuration.");
  const drain = button("Drain …", () => actions.drain(model.backends.get(id), model));
  const undrain = button("Use again …", () => actions.undrain(model.backends.get(id), model));
  const here = section("How it is doing", {}, told.node, h("div", { class: "row" }, drain, undrain));
  const table = sessionTable(model);
  const source = new Source(() => [`/sessions`, { backend: id, most: 100 }], () => update(model));
  const more = new Source(() => [`/backends/${id}`], () => update(model));
  const lies = section("Sessions moored here", { scope: "as this instance knows them" }, source.words, table.node);
  const troubles = new Table({
    caption: "What went wrong lately",
    key: ({ at, what }) => `${at} ${what}`,
    columns: [
      { key: "at", label: "Last time", of: ({ at }) => at, tell: (at) => `${clock(at)} (${ago(at, model.now)})` },
      { key: "what", label: "What", head: true, of: ({ what }) => what },
      { key: "times", label: "Times", kind: "number", of: ({ times }) => times, tell: count },
    ],
    empty: "Nothing.",
  });
  const wrong = section("What went wrong lately", { scope: "as this instance sees it" }, troubles.node);
  const head = trail("#/backends", "Backends", name);
  head.querySelector("h1").append(" ", state.node);
  const body = h("div", { class: "grid" }, h("header", { class: "summary" }, head, means, gone), here.node, lies.node, wrong.node);
  here.node.classList.add("narrow");
  lies.node.classList.add("wide");
  const update = (now) => {
    const one = now.backends.get(id);
    show(gone, !one);
    [here.node, lies.node, wrong.node, state.node].forEach((node) => show(node, Boolean(one)));
    if (!one) return say(name, id);
    say(name, one.name);
    state.update(one.state);
    say(means, `${stateOf(one.state).word[0].toUpperCase()}${stateOf(one.state).word.slice(1)}: ${stateOf(one.state).means}.`);
    const all = { ...(more.data ?? {}), ...one };
    told.update([
      ["Pool", one.pool],
      ["URL", one.url],
      ["Sessions", many(one.sessions, "session")],
      ["In flight", many(one.in_flight, "request")],
      ["Latency", one.latency_ms > 0 ? `${took(one.latency_ms * 1000)} until an answer begins` : "no answers lately"],
      ["Weight", count(one.weight)],
      ["Drained", one.order ? `since ${clock(one.order.at)} (${span(now.now - one.order.at)}), by ${one.order.by}` : undefined],
      ["Probe", probe(all)],
      ["Comes back", all.back_in_ms === undefined ? undefined : `in ${span(all.back_in_ms)}, if its probes pass`],
      ["Configured as", all.configured_as],
      ["Address", all.addr],
      ["Id", one.id],
    ]);
    const drains = one.state === "draining" || one.draining;
    show(drain, !drains);
    show(undrain, Boolean(drains));
    [lies.scope, wrong.scope].forEach((scope) => show(scope, !now.alone));
    const latest = all.troubles ?? [];
    show(wrong.node, Boolean(latest.length));
    troubles.update(latest.toReversed());
    return table.update(source.data?.sessions ?? []);
  };
  return { title: "Backend", node: body, update, close: () => [source, more].forEach((one) => one.close()), read: () => source.read() };
}
