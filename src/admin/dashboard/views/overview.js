// Owns: the first view: what needs a look, how much passes and how fast, the picture of the pool, and what lies behind it.

import { attention, headline, reasons, summary } from "../attention.js";
import { latencyChart, traffic } from "../charts.js";
import { h, Keyed, mark, say, show } from "../dom.js";
import { EventList } from "../events.js";
import { bar, facts, figure, meter, section } from "../parts.js";
import { Picture } from "../picture.js";
import { glyph } from "../shapes.js";
import { linked, Table } from "../table.js";
import { ago, bytes, count, many, NONE, pair, percent, rate, spaced, took } from "../words.js";

const QUARTER = 15 * 60_000;
const sum = (numbers = {}) => Object.values(numbers).reduce((all, number) => all + number, 0);

export default function overview({ model }) {
  const picture = new Picture(model);
  const top = [head(), figures()];
  const curves = [curve(traffic(), "Requests, last 15 minutes"), curve(latencyChart(), "Time, last 15 minutes")];
  const [busy, kept, last] = [beside(busiest("tools"), busiest("callers")), beside(limits(), store()), news()];
  const [left, right] = [[picture, busy, last], [...curves, refusals(), cache()]];
  const parts = [...top, ...left, ...right, kept];
  const column = (name, all) => h("div", { class: `column ${name}` }, all.map((part) => part.node));
  const [main, side] = [column("main", left), column("side", right)];
  let density;
  // The picture of many backends is long: what else there is then stands at the side.
  const balance = () => {
    if (density === picture.density) return;
    density = picture.density;
    if (density === "rows") main.insertBefore(kept.node, last.node);
    else side.append(kept.node);
  };
  return {
    title: "Overview",
    node: h("div", { class: "stack" }, top.map((part) => part.node), h("div", { class: "columns" }, main, side)),
    move: (move) => picture.move(move),
    update(now) {
      parts.forEach((part) => part.update(now));
      balance();
    },
    close: () => parts.forEach((part) => part.close?.()),
  };
}

/** Two beside each other, where there is room. */
function beside(...parts) {
  return { node: h("div", { class: "pair-of" }, parts.map(({ node }) => node)), update: (now) => parts.forEach((part) => part.update(now)) };
}

function head() {
  const [title, words] = [h("h1"), h("p", { class: "lead" })];
  const list = h("ul", { class: "matters" });
  const matters = new Keyed(list, ({ key }) => key, ({ href }) => {
    const [shape, name, text] = [glyph(), h("b"), h("span")];
    const row = h("a", { class: "matter", href }, shape.node, name, " ", text);
    return { node: h("li", {}, row), update: (now) => { shape.update(now.tone); mark(row, "data-tone", now.tone); say(name, now.title); say(text, now.text); } };
  });
  return {
    node: h("header", { class: "summary" }, title, words, list),
    update(model) {
      const found = attention(model);
      say(title, headline(model, found));
      say(words, summary(model));
      matters.update(found);
      show(list, found.length > 0);
    },
  };
}

function figures() {
  const all = {
    asked: figure("Requests"), errors: figure("Errors"), refused: figure("Refused"), backend: figure("Backend time"), own: figure("Moorline's own time"), sessions: figure("Sessions"), flight: figure("In flight"),
  };
  const node = h("dl", { class: "figures" }, Object.values(all).map((one) => one.node));
  return {
    node: h("div", {}, node),
    update(model) {
      const last = model.samples.at(-1);
      const [asked, errors] = [model.sum(({ requests }) => requests), model.sum(({ errors: number }) => number)];
      const refused = model.sum(({ refusals: by }) => sum(by));
      const times = (us) => [us ? took(us[0]) : NONE, us ? `p99 ${took(us[1])}` : "no calls lately"];
      all.asked.update(rate(model.asked), `${count(asked)} in the last minute`);
      all.errors.update(percent(errors, asked), `${count(errors)} in the last minute`, errors >= 5 && errors > asked / 100 ? "bad" : undefined);
      all.refused.update(percent(refused, asked), `${count(refused)} in the last minute`, refused >= 5 && refused > asked / 100 ? "warn" : undefined);
      all.backend.update(...times(last?.backend_us));
      all.own.update(...times(last?.own_us));
      const held = [...model.backends.values()].reduce((number, { sessions }) => number + sessions, 0);
      const moved = model.sum(({ moved: number }) => number, QUARTER);
      all.sessions.update(count(held), moved ? `${count(moved)} moved in 15 min` : "none moved in 15 min");
      all.flight.update(count([...model.backends.values()].reduce((number, one) => number + one.in_flight, 0)), model.instance?.connections === undefined ? "" : many(model.instance.connections, "connection"));
    },
  };
}

function curve(chart, title) {
  const { node, scope } = section(title, { scope: "this instance", className: "curve" }, chart.node);
  return {
    node,
    update(model) {
      chart.update(model.samples);
      show(scope, !model.alone);
    },
    close: () => chart.close(),
  };
}

function busiest(what) {
  const caller = what === "callers";
  const name = ({ name: word }) => word;
  const load = () => {
    const [value, line] = [h("span"), meter()];
    return { node: h("span", { class: "metered" }, line.node, value), update: (one) => { say(value, count(one.calls)); line.update(one.calls, one.most); } };
  };
  const table = new Table({
    caption: caller ? "Busiest callers" : "Busiest tools",
    key: ({ pool, name: word }) => `${pool} ${word}`,
    columns: [
      { key: "name", label: caller ? "Caller" : "Tool", head: true, of: name, make: caller ? linked((one) => `#/caller/${encodeURIComponent(one.name)}`, name) : undefined },
      { key: "calls", label: "Calls", kind: "number", of: ({ calls }) => calls, make: load },
      { key: "errors", label: caller ? "Refused" : "Errors", kind: "number", of: (one) => (caller ? one.refused : one.errors), tell: (value) => (value ? count(value) : value === 0 ? "0" : NONE) },
      { key: "time", label: "Time", kind: "number", of: ({ backend_ms: ms, calls }) => (calls ? (ms * 1000) / calls : undefined), tell: took },
    ],
    empty: caller ? "Nobody has called yet. Clients are named here as soon as they do." : "No tool has been called yet.",
  });
  const { node, scope } = section(caller ? "Busiest callers" : "Busiest tools", { scope: "this instance" }, table.node, h("p", { class: "more" }, h("a", { href: "#/traffic" }, caller ? "All callers" : "All tools")));
  return {
    node,
    update(model) {
      show(node, model[what] !== undefined);
      show(scope, !model.alone);
      const all = model[what]?.[what] ?? [];
      const most = Math.max(0, ...all.map(({ calls }) => calls));
      table.update(all.slice(0, 6).map((one) => ({ ...one, most })));
    },
  };
}

function refusals() {
  const table = new Table({
    caption: "Refusals by reason",
    key: ([reason]) => reason,
    columns: [
      { key: "reason", label: "Reason", head: true, of: ([reason]) => reason, tell: spaced },
      { key: "now", label: "Last minute", kind: "number", of: ([, , now]) => now, tell: count },
      { key: "all", label: "15 minutes", kind: "number", of: ([, all]) => all, tell: count },
    ],
    empty: "Nothing was refused in the last 15 minutes.",
  });
  const { node, scope } = section("Refused, by reason", { scope: "this instance" }, table.node);
  return {
    node,
    update(model) {
      show(scope, !model.alone);
      const now = new Map(reasons(model));
      table.update(reasons(model, QUARTER).slice(0, 8).map(([reason, all]) => [reason, all, now.get(reason) ?? 0]));
    },
  };
}

const WORDS = [["hit", "hits"], ["follow", "coalesced"], ["stale", "stale"], ["miss", "misses"]];

function cache() {
  const share = bar(WORDS.map(([key, label]) => ({ key, label })), "Calls that the cache may answer, 15 minutes");
  const more = facts();
  const none = h("p", { class: "empty" }, "No call was for the cache in the last 15 minutes. Which results may be kept is said in [[cache]].");
  const { node, scope } = section("Cache", { scope: "this instance" }, share.node, none, more.node, h("p", { class: "more" }, h("a", { href: "#/cache" }, "Cache and purge")));
  return {
    node,
    update(model) {
      show(node, model.cache !== undefined);
      show(scope, !model.alone);
      const sums = WORDS.map(([key]) => model.sum(({ cache: by }) => by?.[key], QUARTER));
      const all = sums.reduce((number, one) => number + one, 0);
      show(share.node, all > 0);
      show(none, all === 0);
      share.update(sums, sums.map((number) => `${count(number)} (${percent(number, all)})`));
      const saved = model.sum(({ saved_ms: ms }) => ms, QUARTER);
      more.update([["Backend time saved", all ? `about ${took(saved * 1000)}` : undefined], ["Held", model.cache && `${many(model.cache.entries, "result")}, ${bytes(model.cache.bytes)} of ${bytes(model.cache.most)}`]]);
    },
  };
}

function limits() {
  const told = facts();
  const { node, scope } = section("Limits", { scope: "this instance" }, told.node, h("p", { class: "more" }, h("a", { href: "#/limits" }, "Limits and accounts")));
  return {
    node,
    update(model) {
      show(node, model.limits !== undefined);
      show(scope, !model.alone);
      const of = (key) => model.sum(({ limits: by }) => by?.[key], QUARTER);
      const blocked = model.limits?.blocked ?? [];
      told.update([
        ["Refused, 15 min", count(model.sum(({ refusals: by }) => by?.limited, QUARTER))],
        ["Had to wait, 15 min", model.limits?.waiting === undefined ? undefined : `${count(of("queued"))}, ${took(of("waited_ms") * 1000)} in all`],
        ["Waiting now", model.limits?.waiting === undefined ? undefined : count(model.limits.waiting)],
        ["Blocked now", model.limits?.blocked === undefined ? "not known while the counters cannot be asked" : blocked.length ? blocked.map(({ subject }) => subject || "everybody").join(", ") : "nobody"],
        ["Limits", model.limits?.names?.length ? model.limits.names.join(", ") : "none are configured"],
      ]);
    },
  };
}

function store() {
  const told = facts();
  const { node } = section("Store", {}, told.node, h("p", { class: "more" }, h("a", { href: "#/instances" }, "Instances and store")));
  return {
    node,
    update(model) {
      const { store: one } = model;
      show(node, one !== undefined);
      if (!one) return;
      mark(node, "data-tone", one.away ? "bad" : undefined);
      told.update([
        ["Kind", one.kind && `${one.kind}, ${one.shared ? "shared by instances" : "of this instance alone"}`],
        ["State", one.away ? `away, since ${one.away_since ? ago(one.away_since, model.now) : "a while"}` : "answers"],
        ["Latency", pair(model.storeTook)],
        ["Instances", model.instances ? many(model.instances.length, "instance") : undefined],
      ]);
    },
  };
}

function news() {
  const events = new EventList(8);
  const { node, scope } = section("Recent events", { scope: "this instance" }, events.node, h("p", { class: "more" }, h("a", { href: "#/events" }, "All events")));
  return {
    node,
    update(model) {
      show(scope, !model.alone);
      events.update(model.events.filter(({ level }) => level !== "debug" && level !== "trace").slice(-8).toReversed(), model);
    },
  };
}
