// Owns: one backend in the picture: a row with its sessions as dots, or a tile where there are many. Each is a link.

import { h, mark, s, say, show } from "./dom.js";
import { badge, stateOf } from "./shapes.js";
import { count, many, took } from "./words.js";

/** Dots in a row; where there are more sessions, a dot is several. */
const DOTS = 60;

/** How many sessions a dot stands for: the same in the whole picture. */
export function scaleOf(backends) {
  const most = Math.max(0, ...backends.map(({ sessions }) => sessions));
  return [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000].find((size) => most <= size * DOTS) ?? 20_000;
}

/** How wide the row with the most dots is, in the units of [`points`]: all rows are drawn to the same measure. */
export const widthOf = (backends, scale) => 12 + 10 * Math.max(9, ...backends.map(({ sessions }) => Math.ceil(sessions / scale / 2)));

/** Points in two rows, drawn as one path: a point is a line without length, with round ends. */
function points(number) {
  let path = "";
  for (let at = 0; at < number; at += 1) path += `M${6 + (at >> 1) * 10} ${5 + (at % 2) * 10}h0`;
  return path;
}

function split(name) {
  const at = name.indexOf("/");
  return at < 0 ? [name, ""] : [name.slice(0, at), name.slice(at)];
}

const millis = (ms) => (ms > 0 ? took(ms * 1000) : "–");

/** A row. */
export function row(backend) {
  const state = badge(backend.state);
  const [host, path] = split(backend.name);
  const dots = s("path");
  const [sessions, flight, latency] = [h("b"), h("b"), h("b")];
  const sessionWord = h("span");
  const flux = h("span", { class: "flux" });
  const cell = (node, word, className) => h("span", { class: `cell ${className}` }, node, " ", word);
  const node = h(
    "li",
    {},
    h("a", { class: "berth", href: `#/backend/${backend.id}`, "data-id": backend.id }, state.node, h("span", { class: "name", title: backend.name }, host, h("small", {}, path)),
      h("span", { class: "moored" }, s("svg", { class: "dots", "aria-hidden": "true", preserveAspectRatio: "xMinYMid meet" }, dots), flux),
      cell(sessions, sessionWord, "sessions"), cell(flight, h("span", {}, "in flight"), "flight"), cell(latency, h("span", {}, "latency"), "latency")),
  );
  const link = node.firstChild;
  return {
    node,
    update(now, { scale, wide, flux: moved }) {
      state.update(now.state);
      mark(link, "data-tone", stateOf(now.state).tone);
      say(sessions, count(now.sessions));
      say(sessionWord, now.sessions === 1 ? "session" : "sessions");
      say(flight, count(now.in_flight));
      say(latency, millis(now.latency_ms));
      mark(dots.parentNode, "viewBox", `0 0 ${wide} 20`);
      mark(dots, "d", points(Math.ceil(now.sessions / scale)) || "M-9 0");
      moving(flux, moved);
    },
  };
}

/** A tile: of many, what is chosen to be shown of each. What it was told last is remembered here: asking the page takes longer. */
export function tile(backend) {
  const state = badge(backend.state);
  const [value, rest] = [h("b"), h("span", { class: "unseen" })];
  const link = h("a", { class: "tile", href: `#/backend/${backend.id}`, "data-id": backend.id }, state.node, h("span", { class: "name" }, split(backend.name)[0]), value, rest);
  const told = {};
  let one = backend;
  const change = (key, now, act) => {
    if (told[key] === now) return;
    told[key] = now;
    act(now);
  };
  const explain = () => mark(link, "title", `${one.name}, ${stateOf(one.state).word}: ${many(one.sessions, "session")}, ${one.in_flight} in flight, latency ${millis(one.latency_ms)}`);
  link.addEventListener("pointerenter", explain);
  link.addEventListener("focus", explain);
  return {
    node: h("li", {}, link),
    update(now, { shown, most, flux: moved }) {
      one = now;
      change("state", now.state, () => {
        state.update(now.state);
        mark(link, "data-tone", stateOf(now.state).tone);
        say(rest, ` ${now.name}, ${stateOf(now.state).word}`);
      });
      change("flux", moved && (moved.came > moved.left ? "in" : "out"), (way) => mark(link, "data-flux", way));
      const number = now[shown] ?? 0;
      change("value", shown === "latency_ms" ? millis(number) : count(number), (words) => say(value, words));
      change("level", most ? Math.round((100 * number) / most) : 0, (share) => link.style.setProperty("--level", `${share}%`));
    },
  };
}

function moving(node, moved) {
  show(node, Boolean(moved));
  if (!moved) return;
  const { came, left } = moved;
  say(node, [came && `+${count(came)} moved in`, left && `−${count(left)} moved away`].filter(Boolean).join(", "));
}
