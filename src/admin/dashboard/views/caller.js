// Owns: one caller: what it asks, how it stands with the limits, and its sessions.

import { accountTable } from "../accounts.js";
import { h, Keyed, show } from "../dom.js";
import { facts, section, trail } from "../parts.js";
import { sessionTable } from "../sessions.js";
import { Source } from "../source.js";
import { count, percent, span, took } from "../words.js";

export default function caller({ model, id }) {
  const told = facts();
  const rare = h("p", { class: "empty" }, "This caller is not among the busiest ones that this instance counts by name.");
  const asks = section("What it asks", { scope: "this instance" }, told.node, rare);
  const standing = new Source(() => ["/limits", { subject: id }], () => update(model));
  const table = sessionTable(model, "It has no sessions that this instance knows.");
  const own = new Source(() => ["/sessions", { caller: id, most: 100 }], () => update(model));
  const list = h("div", { class: "stack" });
  const limits = new Keyed(list, ({ name }) => name, ({ name }) => {
    const accounts = accountTable(name, () => standing.read());
    return { node: h("div", {}, h("h3", {}, name), accounts.node), update: (limit) => accounts.update(limit.accounts) };
  });
  const none = h("p", { class: "empty" }, "No limit keeps an account for it.");
  const stands = section("How it stands with the limits", {}, standing.words, list, none);
  const lies = section("Its sessions", { scope: "as this instance knows them" }, own.words, table.node);
  asks.node.classList.add("narrow");
  stands.node.classList.add("wide");
  const update = (now) => {
    [asks, lies].forEach(({ scope }) => show(scope, !now.alone));
    const one = now.callers?.callers?.find(({ name }) => name === id);
    show(rare, !one);
    show(asks.node, now.callers !== undefined);
    told.update(one ? [
      ["Calls", `${count(one.calls)} in ${span(now.callers.since_ms)}`],
      ["Refused", one.refused === undefined ? undefined : `${count(one.refused)} (${percent(one.refused, one.calls)})`],
      ["Errors", `${count(one.errors)} (${percent(one.errors, one.calls)})`],
      ["Backend time, mean", one.calls ? took((one.backend_ms * 1000) / one.calls) : undefined],
    ] : []);
    const all = (standing.data?.limits ?? []).filter(({ accounts }) => accounts.length);
    limits.update(all);
    show(none, Boolean(standing.data) && all.length === 0);
    table.update(own.data?.sessions ?? []);
  };
  return { title: "Caller", node: h("div", { class: "grid" }, h("header", { class: "summary" }, trail("#/traffic", "Traffic", id)), asks.node, stands.node, lies.node), update, close: () => [standing, own].forEach((one) => one.close()), read: () => [standing, own].forEach((one) => one.read()) };
}
