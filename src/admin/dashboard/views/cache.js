// Owns: the cache: what it saves, what it holds, and forgetting.

import * as actions from "../actions.js";
import { TimeChart } from "../chart.js";
import { h, show } from "../dom.js";
import { button, facts, section } from "../parts.js";
import { bytes, count, many, percent, rate, took } from "../words.js";

const KINDS = [["hit", "hits"], ["follow", "coalesced"], ["stale", "stale"], ["miss", "misses"]];
const QUARTER = 15 * 60_000;
const NAMES = [["tools", "Tools"], ["tags", "Tags"], ["callers", "Callers"], ["sessions", "Sessions"], ["pools", "Pools"]];

export default function cache({ model }) {
  const chart = new TimeChart({
    label: "Calls that the cache may answer, a second, over the last 15 minutes",
    tell: rate,
    tick: (value) => (value < 1000 ? String(Number(value.toPrecision(3))) : count(value)),
    series: KINDS.map(([key, label]) => ({ key, label, kind: "stack", of: (sample) => ((sample.cache?.[key] || 0) * 1000) / sample.span_ms })),
  });
  const told = facts();
  const effect = section("What it does", { scope: "this instance", className: "wide" }, chart.node);
  const held = section("In numbers", { scope: "this instance", className: "narrow" }, told.node);
  const field = ([key, label]) => h("p", { class: "field" }, h("label", { for: `purge-${key}` }, label), h("input", { id: `purge-${key}`, name: key, autocomplete: "off", spellcheck: "false" }));
  const form = h("form", { class: "fields" }, NAMES.map(field), h("div", { class: "row" }, h("button", { type: "submit" }, "Forget these …"), button("Forget everything …", () => actions.purge({ all: true }, "every kept result", () => {}), "danger")));
  const hint = h("p", { class: "failure", role: "alert" });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const data = new FormData(form);
    const asked = NAMES.map(([key, label]) => [key, label, String(data.get(key)).split(",").map((one) => one.trim()).filter(Boolean)]).filter(([, , names]) => names.length);
    hint.textContent = asked.length ? "" : "Say what is to be forgotten: fill in at least one field.";
    if (asked.length) actions.purge(Object.fromEntries(asked.map(([key, , names]) => [key, names])), asked.map(([, label, names]) => `${label.toLowerCase()} ${names.join(", ")}`).join("; "), () => form.reset());
  });
  const forget = section("Forget results", {}, h("p", { class: "soft" }, "Several names in a field are parted by commas. It is asked once more before anything is forgotten."), form, hint);
  const update = (now) => {
    [effect, held].forEach(({ scope }) => show(scope, !now.alone));
    chart.update(now.samples);
    const sums = KINDS.map(([key]) => now.sum(({ cache: by }) => by?.[key], QUARTER));
    const all = sums.reduce((sum, one) => sum + one, 0);
    const [hit, follow, stale] = sums;
    told.update([
      ["Answered without a backend, 15 min", all ? `${percent(hit + follow + stale, all)} of ${many(all, "call")}` : "no calls that it may answer"],
      ["Backend time saved, 15 min", all ? `about ${took(now.sum(({ saved_ms: ms }) => ms, QUARTER) * 1000)}` : undefined],
      ["Held", now.cache && many(now.cache.entries, "result")],
      ["Memory", now.cache && `${bytes(now.cache.bytes)} of ${bytes(now.cache.most)} (${percent(now.cache.bytes, now.cache.most)})`],
      ["Calls under way", now.cache && count(now.cache.under_way)],
      ["Waiting for them", now.cache && count(now.cache.waiting)],
    ]);
  };
  return { title: "Cache", node: h("div", { class: "grid" }, h("header", { class: "summary" }, h("h1", {}, "Cache")), effect.node, held.node, forget.node), update, close: () => chart.close() };
}
