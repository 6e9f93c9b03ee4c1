// Owns: the states of backends: a word, a shape, a rank and what it means. Shapes differ without colour.

import { h, mark, s, say } from "./dom.js";

/** From what needs somebody most to what needs nobody. */
export const STATES = {
  down: { word: "down", tone: "bad", shape: "M3 3l10 10M13 3L3 13", means: "probes fail; nothing is sent there, and streams from there were moved or ended" },
  ejected: { word: "ejected", tone: "bad", shape: "M8 1.500L14.500 13.500H1.500zM8 6v3.500M8 11.500v.4", means: "answers failed too often; nothing is sent there until the time is over and probes pass" },
  draining: { word: "draining", tone: "warn", shape: "M8 2v9M4 7.500l4 4 4-4M3 14h10", means: "nobody new is sent there, and sessions move away" },
  parting: { word: "parting", tone: "warn", shape: "M2 8h10M8.500 4.500L12 8l-3.500 3.500M14.500 3v10", means: "no longer in the pool; what is still being answered may come to its end" },
  up: { word: "up", tone: "well", shape: "M3 8.500l3.500 3.500L13 4.500", means: "takes requests and new sessions" },
};

const UNKNOWN = { word: "unknown", tone: "warn", shape: "M6 6a2 2 0 1 1 2.500 2v1.500M8 12.500v.4", means: "this page does not know the state" };

export const stateOf = (state) => STATES[state] ?? { ...UNKNOWN, word: state ?? UNKNOWN.word };

/** The place of a state among all; those that need somebody come first. */
export const rank = (state) => {
  const at = Object.keys(STATES).indexOf(state);
  return at < 0 ? 2.5 : at;
};

/** A shape and its word, which can change. */
export function badge(state) {
  const path = s("path");
  const word = h("span");
  const node = h("span", { class: "badge" }, s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, path), word);
  const update = (now) => {
    const { word: name, tone, shape } = stateOf(now);
    mark(node, "data-tone", tone);
    mark(path, "d", shape);
    say(word, name);
  };
  update(state);
  return { node, update };
}

const TONES = {
  bad: ["urgent", "M8 1.5L14.5 13.5H1.5zM8 6v3.5M8 11.5v.4"],
  warn: ["worth a look", "M8 2a6 6 0 1 1-.01 0M8 5v4M8 11.200v.4"],
  info: ["news", "M8 2a6 6 0 1 1-.01 0M8 7.500v4M8 4.700v.4"],
};

/** How urgent something is, as a shape with a word for screen readers. */
export function glyph() {
  const [path, word] = [s("path"), h("span", { class: "unseen" })];
  const node = h("span", { class: "badge" }, s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, path), word);
  return {
    node,
    update(tone) {
      mark(node, "data-tone", tone);
      mark(path, "d", TONES[tone][1]);
      say(word, TONES[tone][0]);
    },
  };
}
