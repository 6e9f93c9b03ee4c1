// Owns: the table of accounts of one limit, with the button that lifts a block.

import * as actions from "./actions.js";
import { h, mark, say, show } from "./dom.js";
import { button, meter } from "./parts.js";
import { linked, Table } from "./table.js";
import { count, span } from "./words.js";

/** `subject` and how it stands; `done()` is called when a block was lifted. */
export function accountTable(limit, done) {
  const standing = () => {
    const node = h("ul", { class: "standings" });
    return {
      node,
      update({ standings = [] }) {
        const rows = standings.map((_, at) => node.children[at] ?? h("li", {}, h("span"), meter().node));
        if (node.childElementCount !== rows.length) node.replaceChildren(...rows);
        standings.forEach(({ what, limit: all, remaining, reset_ms: reset }, at) => {
          say(rows[at].firstChild, `${what}: ${count(remaining)} of ${count(all)} left${remaining < all ? `, all again in ${span(reset)}` : ""}`);
          mark(rows[at].querySelector(".fill"), "width", all ? ((100 * (all - remaining)) / all).toFixed(1) : 0);
        });
      },
    };
  };
  const block = () => {
    let subject = "";
    const words = h("span", { class: "blocked" });
    const lift = button("Lift …", () => actions.lift(limit, subject, done));
    return {
      node: h("span", { class: "row" }, words, lift),
      update(one) {
        ({ subject } = one);
        const left = Math.max(0, ...(one.standings ?? []).map(({ blocked_ms: ms }) => ms ?? 0));
        say(words, left ? `blocked for ${span(left)}` : "no");
        show(lift, left > 0);
      },
    };
  };
  const name = ({ subject }) => subject || "all together";
  return new Table({
    caption: `Accounts of ${limit}`,
    key: ({ subject }) => subject,
    columns: [
      { key: "subject", label: "Account", head: true, of: name, make: linked(({ subject }) => (subject ? `#/caller/${encodeURIComponent(subject)}` : "#/limits"), name) },
      { key: "asked", label: "Asked for", kind: "number", of: ({ asked }) => asked, tell: count },
      { key: "standing", label: "How it stands", of: () => 0, make: standing },
      { key: "blocked", label: "Blocked", of: () => 0, make: block },
    ],
    empty: "Nobody has spent anything by this limit yet.",
  });
}
