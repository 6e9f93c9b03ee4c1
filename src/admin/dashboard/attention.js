// Owns: what an operator should look at now, in sentences: what is so, since when, what it means. Reads the model alone.

import { count, list, many, NONE, percent, rate, span, spaced, took } from "./words.js";
import { stateOf } from "./shapes.js";

/** Refusals or errors of the last minute that are worth a word: at least so many, and this share of all requests. */
const WORTH = { number: 5, share: 0.01 };
/** A card of another instance that is older is news of its own. */
const OLD_CARD_MS = 15_000;

/** All that should be looked at, the worst first: `{tone, key, title, text, href}`. `key` stays while the matter is the same. */
export function attention(model) {
  const found = [phase(model), store(model), ...pools(model), ...states(model), errors(model), refusals(model), blocked(model), slow(model), ...cards(model), moves(model)];
  const order = { bad: 0, warn: 1, info: 2 };
  return found.filter(Boolean).sort((a, b) => order[a.tone] - order[b.tone]);
}

/** All in one line. */
export function headline(model, found) {
  const worst = found.filter(({ tone }) => tone !== "info");
  if (worst.length > 1) return `${worst.length} things need a look`;
  return worst.length ? worst[0].title : "All is well";
}

/** How much there is, in one sentence. */
export function summary(model) {
  const all = [...model.backends.values()];
  const up = all.filter(({ state }) => state === "up").length;
  const backends = all.length === up ? many(up, "backend is up", "backends are up") : `${up} of ${many(all.length, "backend")} up`;
  const sessions = all.reduce((sum, { sessions: own }) => sum + own, 0);
  const { asked } = model;
  const instances = model.alone ? "" : ` ${many(model.instances.length, "instance")} share the store.`;
  return `${backends}, ${many(sessions, "session")} moored${asked === undefined ? "" : `, ${rate(asked).replace("/s", " requests/s")}`}.${instances}`;
}

function phase({ instance }) {
  if (!instance?.phase || instance.phase === "serving") return undefined;
  const means = {
    noticed: "it is no longer ready, so that balancers turn away; it still serves",
    closing: "it takes no new connections and sessions; requests in flight end",
    parting: "streams are being ended in good order",
  }[instance.phase];
  return { tone: "warn", key: `phase ${instance.phase}`, title: "This instance is going away", text: means ?? instance.phase, href: "#/instances" };
}

function store(model) {
  if (!model.store?.away) return undefined;
  const since = model.store.away_since ? ` for ${span(model.now - model.store.away_since)}` : "";
  return {
    tone: "bad", key: "store away", title: `The ${model.store.kind ?? ""} store is away`.replace("  ", " "), href: "#/instances",
    text: `It has not answered${since}. Known sessions go on, limits fall back to this instance's share, the cache to what it holds itself. Nothing needs a restart when it is back.`,
  };
}

function pools({ pools: all }) {
  return all.filter(({ backends }) => !backends.some(({ state }) => state === "up" || state === "draining")).map(({ name, backends }) => ({
    tone: "bad", key: `nobody ${name}`, title: `Nobody answers for pool ${name}`, href: "#/backends",
    text: backends.length ? "None of its backends can take a request: requests are refused with 503, and sessions are kept." : "It has no backends: its names were not found, or none are configured.",
  }));
}

function states({ backends }) {
  const all = [...backends.values()];
  return ["down", "ejected", "draining", "parting"].flatMap((state) => {
    const those = all.filter((backend) => backend.state === state);
    if (!those.length) return [];
    const { tone, word, means } = stateOf(state);
    const title = those.length === 1 ? `${those[0].name} is ${word}` : `${those.length} backends are ${word}`;
    const href = those.length === 1 ? `#/backend/${those[0].id}` : `#/backends?state=${state}`;
    const who = those.length === 1 ? "" : `${list(those.map(({ name }) => name))}: `;
    const held = those.reduce((sum, { sessions }) => sum + sessions, 0);
    const rest = held ? ` ${many(held, "session lies", "sessions lie")} there still.` : "";
    const text = `${who}${who ? means : means[0].toUpperCase() + means.slice(1)}.${rest}`;
    return [{ tone, key: `${state} ${those.map(({ id }) => id).join()}`, title, text, href }];
  });
}

const refused = ({ refusals = {} }) => Object.values(refusals).reduce((sum, number) => sum + number, 0);

function worth(model, of) {
  const [number, all] = [model.sum(of), model.sum(({ requests }) => requests)];
  return number >= WORTH.number && number >= all * WORTH.share ? [number, all] : undefined;
}

function errors(model) {
  const many_ = worth(model, ({ errors: number }) => number);
  if (!many_) return undefined;
  const text = `${count(many_[0])} of ${many(many_[1], "request")} in the last minute (${percent(...many_)}) were answered with an error.`;
  return { tone: "bad", key: "errors", title: "Calls fail", text, href: "#/traffic" };
}

/** The reasons of the last minute, the most frequent first. */
export function reasons(model, ms = 60_000) {
  const sums = new Map();
  const from = (model.samples.at(-1)?.at ?? 0) - ms;
  for (const { at, refusals = {} } of model.samples) {
    if (at > from) for (const [reason, number] of Object.entries(refusals)) sums.set(reason, (sums.get(reason) ?? 0) + number);
  }
  return [...sums].sort((a, b) => b[1] - a[1]);
}

function refusals(model) {
  const many_ = worth(model, refused);
  if (!many_) return undefined;
  const told = list(reasons(model).map(([reason, number]) => `${spaced(reason)} (${count(number)})`));
  const text = `${count(many_[0])} of ${many(many_[1], "request")} in the last minute (${percent(...many_)}): ${told}.`;
  return { tone: "warn", key: "refusals", title: "Requests are refused", text, href: "#/traffic" };
}

function blocked({ limits }) {
  const who = limits?.blocked ?? [];
  if (!who.length) return undefined;
  const title = who.length === 1 ? `${who[0].subject || "Everybody"} is blocked by limit ${who[0].name}` : `${who.length} callers are blocked`;
  const text = `${list(who.map(({ subject, name, blocked_ms: left }) => `${subject || "everybody"} by ${name} for ${span(left)}`))}. A block can be lifted.`;
  return { tone: "warn", key: `blocked ${who.map(({ subject }) => subject).join()}`, title, text, href: "#/limits" };
}

/** Backend time ten times what it mostly is, and a second at least. */
function slow(model) {
  const last = model.samples.slice(-3).map(({ backend_us: us }) => us?.[1]).filter((us) => us !== undefined);
  const before = model.samples.slice(0, -3).map(({ backend_us: us }) => us?.[1]).filter((us) => us > 0).sort((a, b) => a - b);
  if (last.length < 3 || before.length < 12) return undefined;
  const [now, mostly] = [Math.min(...last), before[before.length >> 1]];
  if (now < 1e6 || now < 10 * mostly) return undefined;
  const text = `One call in a hundred takes ${took(now)} or longer in the backends; mostly it is ${took(mostly) || NONE}.`;
  return { tone: "warn", key: "slow", title: "Backends are slow", text, href: "#/backends" };
}

function cards(model) {
  // Then nobody hears of anybody, and that is said already.
  if (model.store?.away) return [];
  return (model.instances ?? []).filter(({ id, age_ms: age }) => id !== model.instance?.id && age > OLD_CARD_MS).map(({ id, name, age_ms: age }) => ({
    tone: "warn", key: `card ${id}`, title: `No news from instance ${name ?? id}`, href: "#/instances",
    text: `Its last card is ${span(age)} old: it is gone without a word, or cannot reach the store.`,
  }));
}

function moves(model) {
  const moved = model.sum(({ moved: number }) => number);
  if (!moved) return undefined;
  return { tone: "info", key: "moved", title: `${many(moved, "session")} moved in the last minute`, text: "Their clients noticed a pause at most.", href: "#/sessions" };
}
