// Owns: the table of all backends, to search and to sort.

import { h, mark, say } from "../dom.js";
import { choice, search, section } from "../parts.js";
import { badge, rank, STATES } from "../shapes.js";
import { linked, Table } from "../table.js";
import { count, took } from "../words.js";

export default function backends({ model, query }) {
  const wanted = { words: "", state: query.get("state") ?? "", pool: query.get("pool") ?? "" };
  const again = () => update(model);
  const states = [["", "every state"], ...Object.keys(STATES).map((state) => [state, state])];
  const pools = [["", "every pool"], ...model.pools.map(({ name }) => [name, name])];
  const controls = h("div", { class: "row controls" },
    search("Find by name", "", (words) => { wanted.words = words; again(); }),
    choice("State", states, wanted.state, (state) => { wanted.state = state; again(); }),
    model.pools.length > 1 && choice("Pool", pools, wanted.pool, (pool) => { wanted.pool = pool; again(); }));
  const state = () => {
    const made = badge("up");
    return { node: made.node, update: (one) => made.update(one.state) };
  };
  const number = (key, label, tell = count) => ({ key, label, kind: "number", of: (one) => one[key], tell });
  const table = new Table({
    caption: "Backends",
    order: { key: "state", down: false },
    key: ({ id }) => id,
    most: 1000,
    columns: [
      { key: "name", label: "Backend", head: true, of: ({ place }) => place, make: linked(({ id }) => `#/backend/${id}`, ({ name }) => name) },
      { key: "state", label: "State", of: (one) => rank(one.state), make: state },
      { key: "pool", label: "Pool", of: ({ pool }) => pool },
      number("sessions", "Sessions"),
      number("in_flight", "In flight"),
      number("latency_ms", "Latency", (ms) => (ms > 0 ? took(ms * 1000) : "–")),
      number("weight", "Weight"),
    ],
    empty: "No backend is like that.",
  });
  const shown = h("p", { class: "soft" });
  const { node, scope } = section("Backends", { scope: "numbers are this instance's", actions: [controls] }, table.node, shown);
  const update = (now) => {
    mark(scope, "hidden", now.alone);
    const all = [...now.backends.values()];
    const found = all.filter((one) => (!wanted.words || one.name.toLowerCase().includes(wanted.words)) && (!wanted.state || one.state === wanted.state) && (!wanted.pool || one.pool === wanted.pool));
    table.update(found);
    say(shown, `${count(found.length)} of ${count(all.length)} shown. Latency is an average that follows peaks at once: the time until an answer begins.`);
  };
  return { title: "Backends", node, update };
}
