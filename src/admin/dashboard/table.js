// Owns: tables that can be sorted and keep their rows. A row is a link to what it tells of, where there is something to see.

import { h, Keyed, mark, say, show } from "./dom.js";

const NAMES = new Intl.Collator("en", { numeric: true });

/**
 * `columns` are `{key, label, of, tell, sort, kind, make}`: `of(item)` is the value, `tell(value, item)` its words, `kind` "number"
 * sets it to the right, `make(item)` gives `{node, update}` for cells that are more than text. `key(item)` tells items apart.
 */
export class Table {
  constructor({ caption, columns, key, order, empty, most = 500 }) {
    Object.assign(this, { columns, most, order: order && { ...order } });
    this.heads = columns.map((column) => this.#head(column));
    this.body = h("tbody");
    this.rows = new Keyed(this.body, key, (item) => this.#row(item));
    this.table = h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, this.heads)), this.body);
    this.empty = h("p", { class: "empty" }, empty);
    this.more = h("p", { class: "soft more" });
    this.scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, this.table);
    this.node = h("div", { class: "tabular" }, this.scroll, this.more, this.empty);
  }

  #head(column) {
    const kind = column.kind && { "data-kind": column.kind };
    if (column.sort === false || !this.order) return h("th", { scope: "col", ...kind }, column.label);
    const button = h("button", { type: "button" }, column.label);
    button.addEventListener("click", () => {
      const down = this.order.key === column.key ? !this.order.down : column.kind === "number";
      this.order = { key: column.key, down };
      this.update(this.items);
    });
    return h("th", { scope: "col", ...kind }, button);
  }

  #row(item) {
    const cells = this.columns.map((column) => {
      const made = column.make?.(item);
      const node = h(column.head ? "th" : "td", { "data-kind": column.kind, "data-label": column.label, scope: column.head ? "row" : undefined }, made?.node);
      if (made) return { node, update: (now) => made.update?.(now) };
      // Remembered here: asking the page for each cell of a long table takes longer.
      let told;
      const update = (now) => {
        const words = column.tell ? column.tell(column.of(now), now) : column.of(now);
        if (words !== told) say(node, (told = words));
      };
      return { node, update };
    });
    return { node: h("tr", {}, cells.map(({ node }) => node)), update: (now) => cells.forEach(({ update }) => update(now)) };
  }

  /** Shows these items. */
  update(items) {
    this.items = items;
    const sorted = this.#sorted(items);
    this.rows.update(sorted.slice(0, this.most));
    this.columns.forEach(({ key }, at) => mark(this.heads[at], "aria-sort", this.order?.key === key && (this.order.down ? "descending" : "ascending")));
    show(this.scroll, items.length > 0);
    show(this.empty, items.length === 0);
    show(this.more, items.length > this.most);
    say(this.more, items.length > this.most ? `The first ${this.most} of ${items.length}.` : "");
  }

  #sorted(items) {
    if (!this.order) return items;
    const { of } = this.columns.find(({ key }) => key === this.order.key);
    const sign = this.order.down ? -1 : 1;
    const compare = (a, b) => (typeof a === "string" ? NAMES.compare(a, b ?? "") : (a ?? -1) - (b ?? -1));
    return items.toSorted((a, b) => sign * compare(of(a), of(b)));
  }
}

/** A cell that leads somewhere. */
export function linked(href, words) {
  return (item) => {
    const node = h("a", {});
    return { node, update: (now) => { mark(node, "href", href(now)); say(node, words(now)); } };
  };
}
