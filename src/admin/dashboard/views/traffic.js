// Owns: who calls what, and what is refused: all tools, all callers, all reasons that this instance counts.

import { reasons } from "../attention.js";
import { latencyChart, traffic as requests } from "../charts.js";
import { h, show } from "../dom.js";
import { section } from "../parts.js";
import { linked, Table } from "../table.js";
import { count, NONE, percent, span, spaced, took } from "../words.js";

export default function traffic({ model }) {
  const charts = [requests(), latencyChart()];
  const number = (key, label, of, tell = count) => ({ key, label, kind: "number", of, tell });
  const each = (key) => (one) => (one.calls && one[key] !== undefined ? (one[key] * 1000) / one.calls : undefined);
  const shared = [
    number("calls", "Calls", ({ calls }) => calls),
    number("errors", "Errors", ({ errors }) => errors),
    number("share", "Errors, share", (one) => (one.calls && one.errors !== undefined ? one.errors / one.calls : undefined), (_, one) => percent(one.errors, one.calls)),
    number("backend", "Backend, mean", each("backend_ms"), took),
    number("own", "Own, mean", each("own_ms"), took),
  ];
  const tools = new Table({ caption: "Tools", order: { key: "calls", down: true }, key: ({ pool, name }) => `${pool} ${name}`, empty: "No tool has been called yet.", columns: [
    { key: "name", label: "Tool", head: true, of: ({ name }) => name }, { key: "pool", label: "Pool", of: ({ pool }) => pool ?? NONE }, ...shared] });
  const callers = new Table({ caption: "Callers", order: { key: "calls", down: true }, key: ({ name }) => name, empty: "Nobody has called yet.", columns: [
    { key: "name", label: "Caller", head: true, of: ({ name }) => name, make: linked(({ name }) => `#/caller/${encodeURIComponent(name)}`, ({ name }) => name) },
    number("refused", "Refused", ({ refused }) => refused), ...shared] });
  const refused = new Table({ caption: "Refusals", order: { key: "all", down: true }, key: ([reason]) => reason, empty: "Nothing was refused in the last 15 minutes.", columns: [
    { key: "reason", label: "Reason", head: true, of: ([reason]) => reason, tell: spaced },
    number("now", "Last minute", ([, , now]) => now), number("all", "15 minutes", ([, all]) => all)] });
  const own = { scope: "this instance" };
  const sections = [
    section("Requests", { ...own, className: "half" }, charts[0].node),
    section("Time", { ...own, className: "half" }, charts[1].node),
    section("Tools", own, tools.node),
    section("Callers", own, callers.node),
    section("Refused, by reason", own, refused.node),
  ];
  const since = h("p", { class: "soft" });
  const update = (now) => {
    sections.forEach(({ scope }) => show(scope, !now.alone));
    charts.forEach((chart) => chart.update(now.samples));
    show(sections[2].node, now.tools !== undefined);
    show(sections[3].node, now.callers !== undefined);
    tools.update(now.tools?.tools ?? []);
    callers.update(now.callers?.callers ?? []);
    const lately = new Map(reasons(now));
    refused.update(reasons(now, 15 * 60_000).map(([reason, all]) => [reason, all, lately.get(reason) ?? 0]));
    since.textContent = now.tools?.since_ms === undefined ? "" : `Tools and callers are counted over ${span(now.tools.since_ms)}. Names are capped: what is beyond the cap is counted together.`;
  };
  return { title: "Traffic", node: h("div", { class: "grid" }, h("header", { class: "summary" }, h("h1", {}, "Traffic"), since), sections.map(({ node }) => node)), update, close: () => charts.forEach((chart) => chart.close()) };
}
