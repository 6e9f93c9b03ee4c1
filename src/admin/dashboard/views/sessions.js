// Owns: the list of sessions, by pool, backend and caller, page by page.

import { h, say, show } from "../dom.js";
import { button, choice, section } from "../parts.js";
import { sessionTable } from "../sessions.js";
import { Source } from "../source.js";
import { count } from "../words.js";

const PAGE = 100;

export default function sessions({ model, query, go }) {
  const asked = Object.fromEntries(["backend", "caller", "pool"].map((key) => [key, query.get(key) ?? ""]));
  let after = "";
  const before = [];
  const source = new Source(() => ["/sessions", { ...asked, after, most: PAGE }], () => update(model));
  const turn = (to) => {
    after = to;
    source.read();
  };
  const next = button("Next page", () => { before.push(after); turn(source.data?.next ?? ""); });
  const back = button("Page before", () => turn(before.pop() ?? ""));
  const to = (key) => (value) => go(`#/sessions?${new URLSearchParams(Object.entries({ ...asked, [key]: value }).filter(([, one]) => one))}`);
  const backends = [...model.backends.values()].map(({ id, name }) => [id, name]);
  const caller = h("input", { type: "search", value: asked.caller, placeholder: "Caller", "aria-label": "Caller", "data-search": true, on: { change: () => to("caller")(caller.value.trim()) } });
  const controls = h("div", { class: "row controls" }, caller,
    choice("Backend", [["", "every backend"], ...backends], asked.backend, to("backend")),
    model.pools.length > 1 && choice("Pool", [["", "every pool"], ...model.pools.map(({ name }) => [name, name])], asked.pool, to("pool")));
  const table = sessionTable(model, "No such sessions. They appear here when clients of the legacy era initialize; modern clients (2026-07-28) have none.");
  const shown = h("p", { class: "soft" });
  const { node, scope } = section("Sessions", { scope: "as this instance knows them", actions: [controls] }, source.words, table.node, h("div", { class: "row" }, shown, back, next));
  const update = (now) => {
    show(scope, !now.alone);
    const list = source.data?.sessions ?? [];
    table.update(list);
    say(shown, source.data ? `${count(list.length)} on this page${now.instance?.sessions === undefined ? "" : `, ${count(now.instance.sessions)} known in all`}.` : "");
    show(next, Boolean(source.data?.next));
    show(back, before.length > 0);
  };
  return { title: "Sessions", node, update, close: () => source.close(), read: () => source.read() };
}
