// Owns: the small parts that views are put together from: sections, figures, facts, meters, buttons, search fields.

import { h, mark, place, s, say } from "./dom.js";

/** A titled sheet. `scope` says whose numbers they are; it is told only where there is anybody else. */
export function section(title, { className = "", scope, actions = [] } = {}, ...content) {
  const tag = scope ? h("span", { class: "scope" }, scope) : undefined;
  const id = `s-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}-${Math.random().toString(36).slice(2, 6)}`;
  const node = h("section", { class: `sheet ${className}`, "aria-labelledby": id }, h("header", { class: "head" }, h("h2", { id }, title), tag, actions), content);
  return { node, scope: tag };
}

/** A large number with what it is and a note. */
export function figure(label) {
  const [value, note] = [h("dd", { class: "value" }), h("dd", { class: "note" })];
  const node = h("div", { class: "figure" }, h("dt", {}, label), value, note);
  return {
    node,
    update(words, more = "", tone = undefined) {
      say(value, words);
      say(note, more);
      mark(node, "data-tone", tone);
    },
  };
}

/** Names and what they are. `update` takes `[[name, words or element]]`; absent words leave the row out. */
export function facts() {
  const node = h("dl", { class: "facts" });
  const rows = new Map();
  const row = (name) => {
    if (!rows.has(name)) {
      const value = h("dd");
      rows.set(name, { value, node: h("div", {}, h("dt", {}, name), value) });
    }
    return rows.get(name);
  };
  return {
    node,
    update(pairs) {
      const told = pairs.filter(([, words]) => words !== undefined && words !== null);
      place(node, told.map(([name]) => row(name).node));
      for (const [name, words] of told) {
        if (words instanceof Node) place(row(name).value, [words]);
        else say(row(name).value, words);
      }
    },
  };
}

/** A bar of parts of a whole, told beside it in words. `parts` are `{key, label}`. */
export function bar(parts, label) {
  const pieces = parts.map(({ key }) => s("rect", { class: `fill ${key}`, y: 0, height: 10 }));
  const svg = s("svg", { class: "share", viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img", "aria-label": label }, s("rect", { class: "ground", width: 1000, height: 10 }), pieces);
  const values = parts.map(() => h("b"));
  const keys = h("ul", { class: "legend" }, parts.map(({ key, label: name }, at) => h("li", {}, h("i", { class: `key ${key}`, "data-kind": "stack" }), ` ${name} `, values[at])));
  return {
    node: h("div", { class: "bar-chart" }, svg, keys),
    update(numbers, words) {
      const all = numbers.reduce((sum, number) => sum + (number || 0), 0);
      let left = 0;
      numbers.forEach((number, at) => {
        const width = all ? (1000 * (number || 0)) / all : 0;
        mark(pieces[at], "x", left.toFixed(1));
        mark(pieces[at], "width", width.toFixed(1));
        left += width;
        say(values[at], words[at]);
      });
      mark(svg, "aria-label", `${label}: ${parts.map(({ label: name }, at) => `${name} ${words[at]}`).join(", ")}`);
    },
  };
}

/** A thin bar that shows a number beside others of its kind; the number stands in words next to it. */
export function meter(className = "") {
  const fill = s("rect", { class: "fill", height: 4 });
  const node = s("svg", { class: `meter ${className}`, viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "ground", width: 100, height: 4 }), fill);
  return { node, update: (part, whole) => mark(fill, "width", (whole ? Math.min(100, (100 * part) / whole) : 0).toFixed(1)) };
}

/** A button. */
export const button = (words, act, className = "") => h("button", { type: "button", class: className, on: { click: act } }, words);

/** A labelled field to search in. */
export function search(label, value, input) {
  const field = h("input", { type: "search", placeholder: label, "aria-label": label, value, autocomplete: "off", spellcheck: "false", "data-search": true });
  field.addEventListener("input", () => input(field.value.trim().toLowerCase()));
  return field;
}

/** A labelled choice. `options` are `[value, words]`. */
export function choice(label, options, value, change) {
  const select = h("select", { "aria-label": label, on: { change: () => change(select.value) } }, options.map(([key, words]) => h("option", { value: key, selected: key === value }, words)));
  return h("span", { class: "choice" }, h("span", { "aria-hidden": "true" }, label), select);
}

/** Where one is: links upwards, and the name of what is shown. */
export function trail(up, words, title) {
  return h("div", { class: "trail" }, h("p", {}, h("a", { href: up }, `← ${words}`)), h("h1", {}, title));
}
