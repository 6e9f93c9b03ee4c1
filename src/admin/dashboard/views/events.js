// Owns: all recent events that this page knows, to search.

import { h, say, show } from "../dom.js";
import { EventList } from "../events.js";
import { choice, search, section } from "../parts.js";
import { count } from "../words.js";

const LEVELS = ["error", "warn", "info", "debug", "trace"];

export default function events({ model }) {
  const wanted = { words: "", level: "info" };
  const list = new EventList();
  const shown = h("p", { class: "soft" });
  const controls = h("div", { class: "row controls" },
    search("Find in events", "", (words) => { wanted.words = words; update(model); }),
    choice("At least", LEVELS.map((level) => [level, level]), wanted.level, (level) => { wanted.level = level; update(model); }));
  const { node, scope } = section("Events", { scope: "this instance", actions: [controls] }, list.node, shown);
  const update = (now) => {
    show(scope, !now.alone);
    const most = LEVELS.indexOf(wanted.level);
    const found = now.events.filter((event) => LEVELS.indexOf(event.level) <= most && (!wanted.words || JSON.stringify(event).toLowerCase().includes(wanted.words)));
    list.update(found.slice(-200).toReversed(), now);
    say(shown, `${count(Math.min(200, found.length))} of ${count(now.events.length)} that are remembered. What is older stands in the log.`);
  };
  return { title: "Events", node, update };
}
