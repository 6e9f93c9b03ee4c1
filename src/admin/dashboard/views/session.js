// Owns: one session: whose it is, where it lies, and ending or moving it.

import * as actions from "../actions.js";
import { h, show } from "../dom.js";
import { button, facts, section, trail } from "../parts.js";
import { Source } from "../source.js";
import { ago, clock, count, many, span } from "../words.js";

export default function session({ model, id, go }) {
  const source = new Source(() => [`/sessions/${id}`], () => update(model));
  const told = facts();
  const berth = h("a");
  const caller = h("a");
  const move = button("Move …", () => actions.moveSession(source.data, model, () => source.read()));
  const end = button("End …", () => actions.endSession(source.data, () => go("#/sessions")), "danger");
  const gone = h("p", { class: "empty" }, "There is no such session (any more): it has ended, was idle too long, or lies where this instance cannot see it.");
  const here = section("The session", {}, source.words, told.node, h("div", { class: "row" }, move, end));
  const node = h("div", { class: "grid" }, h("header", { class: "summary" }, trail("#/sessions", "Sessions", h("span", { class: "mono" }, id)), gone), here.node);
  const link = (anchor, href, words) => Object.assign(anchor, { href, textContent: words });
  const update = (now) => {
    const one = source.data;
    const lost = source.error?.status === 404;
    show(gone, lost);
    show(here.node, !lost);
    [move, end].forEach((one_) => show(one_, Boolean(one) && !lost));
    if (!one || lost) return;
    const lies = now.backends.get(one.backend.id)?.name ?? one.backend.name;
    if (berth.textContent !== lies) link(berth, `#/backend/${one.backend.id}`, lies);
    const { journal } = one;
    if (one.caller && caller.textContent !== one.caller) link(caller, `#/caller/${encodeURIComponent(one.caller)}`, one.caller);
    told.update([
      ["Moored at", berth],
      ["Pool", one.pool],
      ["Caller", one.caller ? caller : undefined],
      ["Client", journal?.client && [journal.client.name, journal.client.version].filter(Boolean).join(" ")],
      ["Protocol version", one.protocol_version],
      ["Moves", one.epoch === undefined ? undefined : one.epoch === 0 ? "none: it lies where it began" : many(one.epoch, "move")],
      ["Begun", `${clock(one.created_at)} (${span(now.now - one.created_at)} ago)`],
      ["Last used", ago(one.last_seen_at, now.now)],
      ["Requests in flight", count(one.in_flight)],
      ["Open streams", count(one.open_streams)],
      ["Subscriptions", journal && count(journal.subscriptions)],
      ["Log level", journal?.log_level],
      ["Could be moved now", one.immovable ? `no: ${one.immovable.detail}` : "yes"],
    ]);
  };
  return { title: "Session", node, update, close: () => source.close(), read: () => source.read() };
}
