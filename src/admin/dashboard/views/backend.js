// Owns: one backend: how it is doing, what lies there, and draining it.

import * as actions from "../actions.js";
import { h, place, say, show } from "../dom.js";
import { button, facts, section, trail } from "../parts.js";
import { sessionTable } from "../sessions.js";
import { badge, stateOf } from "../shapes.js";
import { Source } from "../source.js";
import { clock, count, many, span, took } from "../words.js";

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
  const events = h("div");
  const head = trail("#/backends", "Backends", name);
  head.querySelector("h1").append(" ", state.node);
  const body = h("div", { class: "grid" }, h("header", { class: "summary" }, head, means, gone), here.node, lies.node, events);
  here.node.classList.add("narrow");
  lies.node.classList.add("wide");
  const update = (now) => {
    const one = now.backends.get(id);
    show(gone, !one);
    [here.node, lies.node, state.node].forEach((node) => show(node, Boolean(one)));
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
      ["In this state since", all.since ? `${clock(all.since)} (${span(now.now - all.since)})` : undefined],
      ["Found under", all.origin],
      ["Address", all.addr],
      ["Id", one.id],
    ]);
    const drains = one.state === "draining" || one.draining;
    show(drain, !drains);
    show(undrain, Boolean(drains));
    show(lies.scope, !now.alone);
    place(events, []);
    return table.update(source.data?.sessions ?? []);
  };
  return { title: "Backend", node: body, update, close: () => [source, more].forEach((one) => one.close()), read: () => source.read() };
}
