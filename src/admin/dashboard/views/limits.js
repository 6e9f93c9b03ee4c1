// Owns: all limits: what they count, who spends most, who is blocked, and looking an account up.

import { accountTable } from "../accounts.js";
import { h, Keyed, say, show } from "../dom.js";
import { section } from "../parts.js";
import { Source } from "../source.js";

export default function limits({ model, go }) {
  const source = new Source(() => ["/limits", { top: 20 }], () => update(model));
  const subject = h("input", { type: "search", name: "subject", id: "subject", placeholder: "Caller, address, tool …", "aria-label": "Account to look up", "data-search": true });
  const form = h("form", { class: "row controls" }, subject, h("button", { type: "submit" }, "Look up"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (subject.value.trim()) go(`#/caller/${encodeURIComponent(subject.value.trim())}`);
  });
  const list = h("div", { class: "stack" });
  const rows = new Keyed(list, ({ name }) => name, ({ name }) => {
    const accounts = accountTable(name, () => source.read());
    const what = h("p", { class: "soft" });
    const one = section(name, {}, what, accounts.node);
    return {
      node: one.node,
      update(limit) {
        say(what, `One account for each ${limit.key}: ${limit.rates.join(", ")}. Who asked for most at this instance stands first.`);
        accounts.update(limit.accounts);
      },
    };
  });
  const none = h("p", { class: "empty" }, "No limits are configured. They are written as [[limit]] in the configuration.");
  const update = () => {
    const all = source.data?.limits ?? [];
    rows.update(all);
    show(none, Boolean(source.data) && all.length === 0);
  };
  return { title: "Limits", node: h("div", { class: "stack" }, h("header", { class: "summary row spread" }, h("h1", {}, "Limits"), form), source.words, none, list), update, close: () => source.close(), read: () => source.read() };
}
