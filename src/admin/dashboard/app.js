// Owns: putting the page together: the feed into the model, the address into a view, keys into steps, and the words about how old
// what is shown is. Views draw; nothing is drawn but here.

import * as api from "./api.js";
import { attention, headline } from "./attention.js";
import { askToken, tellKeys } from "./dialog.js";
import { h, mark, say, show } from "./dom.js";
import { Feed } from "./feed.js";
import { Model } from "./model.js";
import { clock, list, many, span } from "./words.js";
import backend from "./views/backend.js";
import backends from "./views/backends.js";
import cache from "./views/cache.js";
import caller from "./views/caller.js";
import events from "./views/events.js";
import instances from "./views/instances.js";
import limits from "./views/limits.js";
import overview from "./views/overview.js";
import session from "./views/session.js";
import sessions from "./views/sessions.js";
import traffic from "./views/traffic.js";

const VIEWS = { "": overview, backends, backend, sessions, session, traffic, caller, limits, cache, events, instances };
const NAV = [["", "Overview"], ["backends", "Backends"], ["sessions", "Sessions"], ["traffic", "Traffic"], ["limits", "Limits"], ["cache", "Cache"], ["events", "Events"], ["instances", "Instances"]];
/** Views of one thing belong to the list that they are reached from. */
const ABOVE = { backend: "backends", session: "sessions", caller: "traffic" };
const KEYS = [...NAV.map(([, word], at) => [String(at + 1), word]), ["/", "Search in this view"], ["r", "Ask again now"], ["t", "Light, dark, or as the system"], ["?", "These keys"], ["Esc", "Close; leave a search field"]];
const THEMES = ["auto", "light", "dark"];

const at = (id) => document.getElementById(id);
const root = document.documentElement;
const model = new Model();
let view;
let due = false;

// ---- the feed ----------------------------------------------------------------------------------------------------------

const feed = new Feed(
  (kind, data) => {
    const first = !model.known;
    model.hear(kind, data);
    if (kind === "move") view?.move?.(data);
    if (first && model.known) route();
    schedule();
  },
  (stand) => {
    model.stand = stand;
    if (stand.state === "locked") login();
    schedule();
  },
);

/** Draws once for all that has come since the last picture. */
function schedule() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}

function draw() {
  const begun = performance.now();
  stand();
  if (model.known) {
    const { instance = {} } = model;
    say(at("whom"), [instance.name, instance.version && `version ${instance.version}`, instance.phase !== "serving" && instance.phase].filter(Boolean).join(" · "));
    view?.update(model);
    announce();
  }
  performance.measure("update", { start: begun, end: performance.now() });
  if (performance.getEntriesByName("update").length > 100) performance.clearMeasures("update");
}

/** How old what is shown is. */
function stand() {
  const { state, since, retry, why } = model.stand;
  mark(root, "data-feed", state);
  const words = { connecting: "connecting", live: "live", lost: "no news", locked: "locked" };
  say(at("feed-words"), words[state]);
  const lost = state === "lost" || (state === "connecting" && Boolean(since));
  show(at("banner"), lost);
  if (!lost) return;
  const old = since ? `No news since ${clock(since)}, ${span(Date.now() - since)} ago. What you see is from then.` : "There has been no news yet.";
  const again = retry > Date.now() ? ` Trying again in ${span(retry - Date.now() + 500)}.` : " Trying again.";
  at("banner").replaceChildren(old, h("span", { "aria-hidden": "true" }, ` ${why ? `${why[0].toUpperCase()}${why.slice(1)}.` : ""}${again}`));
}
setInterval(() => model.stand.state === "lost" && schedule(), 1000);

// ---- what is read aloud ------------------------------------------------------------------------------------------------

let told = "";
let toldAt = 0;

/** Says changes of state, not of numbers; at most every five seconds. */
function announce() {
  const found = attention(model).filter(({ tone }) => tone !== "info");
  const key = found.map((one) => one.key).join("|");
  if (key === told || Date.now() - toldAt < 5000) return;
  const first = toldAt === 0;
  [told, toldAt] = [key, Date.now()];
  const moved = model.moves.splice(0).reduce((sum, { sessions: number = 1 }) => sum + number, 0);
  const rest = moved ? ` ${many(moved, "session")} moved.` : "";
  if (!first || found.length) say(at("said"), `${headline(model, found)}. ${list(found.map(({ title }) => title))}${rest}`);
}

// ---- views -------------------------------------------------------------------------------------------------------------

function go(hash) {
  location.hash = hash;
}

function route() {
  if (!model.known) return;
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  const make = VIEWS[name];
  view?.close?.();
  if (!make) {
    view = { title: "Not found", node: h("p", { class: "empty" }, "There is no such view. ", h("a", { href: "#/" }, "Go to the overview.")), update() {} };
  } else {
    view = make({ model, id: decodeURIComponent(rest.join("/")), query: new URLSearchParams(search), go });
  }
  document.title = `${view.title} · Moorline`;
  at("main").replaceChildren(view.node);
  const here = ABOVE[name] ?? name;
  for (const link of at("nav").querySelectorAll("a")) mark(link, "aria-current", link.dataset.view === here && "page");
  draw();
}

function build() {
  at("nav").append(h("ul", {}, NAV.map(([name, word], number) => h("li", {}, h("a", { href: `#/${name}`, "data-view": name, "aria-keyshortcuts": number + 1 }, word)))));
  window.addEventListener("hashchange", () => {
    route();
    window.scrollTo(0, 0);
    at("main").focus({ preventScroll: true });
  });
  document.addEventListener("visibilitychange", () => document.hidden || schedule());
  at("theme").addEventListener("click", nextTheme);
  at("help").addEventListener("click", help);
  document.addEventListener("keydown", key);
  wear(localStorage.getItem("moorline theme") ?? "auto");
  feed.start();
}

// ---- light and dark ----------------------------------------------------------------------------------------------------

function wear(theme) {
  const known = THEMES.includes(theme) ? theme : "auto";
  mark(root, "data-theme", known === "auto" ? undefined : known);
  localStorage.setItem("moorline theme", known);
  say(at("theme"), { auto: "Auto", light: "Light", dark: "Dark" }[known]);
  mark(at("theme"), "aria-label", `${at("theme").textContent} colours, change`);
}

function nextTheme() {
  const now = localStorage.getItem("moorline theme") ?? "auto";
  wear(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
}

// ---- keys --------------------------------------------------------------------------------------------------------------

const keysAreOn = () => localStorage.getItem("moorline keys") !== "off";

function help() {
  const box = h("input", { type: "checkbox", id: "keys-on", checked: keysAreOn() });
  box.addEventListener("change", () => localStorage.setItem("moorline keys", box.checked ? "on" : "off"));
  tellKeys(KEYS, h("p", { class: "row" }, box, h("label", { for: "keys-on" }, "Single keys do this")));
}

function key(event) {
  const typing = event.target.matches?.("input, select, textarea");
  if (typing && event.key === "Escape") return event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || !keysAreOn()) return undefined;
  const step = NAV[Number(event.key) - 1];
  if (step) return go(`#/${step[0]}`);
  const act = { "/": () => document.querySelector("main [data-search]")?.focus(), r: () => view?.read?.(), t: nextTheme, "?": help }[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
  return undefined;
}

// ---- the token ---------------------------------------------------------------------------------------------------------

function login() {
  if (document.querySelector("dialog[open]")) return;
  askToken(async (token) => {
    api.useToken(token);
    try {
      await api.get("/instance");
    } catch (error) {
      api.useToken(undefined);
      return error.status === 401 ? "That is not the token. Look at the configuration's admin_token." : error.message;
    }
    feed.start();
    return undefined;
  });
}

build();
