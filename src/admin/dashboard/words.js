// Owns: how numbers, times and states are told. Every number has its unit; what is not known is a dash, never a zero.

export const NONE = "–";
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const known = (value) => value !== undefined && value !== null && Number.isFinite(value);

/** 1,234; 12.3k from a hundred thousand on. */
export function count(value) {
  if (!known(value)) return NONE;
  if (value >= 1e9) return `${digits(value / 1e9)}G`;
  if (value >= 1e6) return `${digits(value / 1e6)}M`;
  return value >= 1e5 ? `${digits(value / 1e3)}k` : plain.format(value);
}

/** Three digits that mean something. */
function digits(value) {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1).replace(/\.0$/, "") : value.toFixed(2).replace(/\.?0+$/, "");
}

/** Something per second. */
export function rate(value) {
  if (!known(value)) return NONE;
  if (value > 0 && value < 0.01) return "<0.01/s";
  return `${value >= 1000 ? count(value) : digits(value)}/s`;
}

/** A share of something. */
export function percent(part, whole) {
  if (!known(part) || !whole) return NONE;
  const share = (100 * part) / whole;
  if (share > 0 && share < 0.1) return "<0.1 %";
  if (share > 99.9 && share < 100) return ">99.9 %";
  return `${share >= 10 || share === 0 ? Math.min(share, 100).toFixed(0) : share.toFixed(1)} %`;
}

/** A time that something took, from microseconds. */
export function took(us) {
  if (!known(us)) return NONE;
  if (us < 1000) return `${digits(us)} µs`;
  if (us < 1e6) return `${digits(us / 1e3)} ms`;
  return us < 60e6 ? `${digits(us / 1e6)} s` : span(us / 1e3);
}

/** The middle of several times and a long one, from microseconds: `[p50, p99]`. */
export const pair = (us) => us && `p50 ${took(us[0])}, p99 ${took(us[1])}`;

/** A long time, from milliseconds, in its two largest units. */
export function span(ms) {
  if (!known(ms)) return NONE;
  const all = Math.max(0, Math.round(ms / 1000));
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => all >= size);
  if (first < 0) return "0 s";
  let rest = all;
  const told = parts.slice(first, first + 2).map(([size, unit]) => {
    const number = Math.floor(rest / size);
    rest -= number * size;
    return number || size === parts[first][0] ? `${number} ${unit}` : "";
  });
  return told.filter(Boolean).join(" ");
}

/** How long ago, from two times in unix milliseconds. */
export function ago(at, now) {
  if (!known(at)) return NONE;
  const ms = now - at;
  if (ms < 1500) return "just now";
  return `${ms > 60_000 && ms < 3_600_000 ? `${Math.floor(ms / 60_000)} min` : span(ms)} ago`;
}

/** The time of day, with the date where it is another day. */
export function clock(at) {
  if (!known(at)) return NONE;
  const time = new Date(at);
  const day = time.toDateString() === new Date().toDateString() ? "" : `${iso(time)} `;
  return day + time.toTimeString().slice(0, 8);
}

const iso = (time) => `${time.getFullYear()}-${String(time.getMonth() + 1).padStart(2, "0")}-${String(time.getDate()).padStart(2, "0")}`;

/** Bytes in the largest unit that fits. */
export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = value;
  while (size >= 1024 && unit < units.length - 1) [size, unit] = [size / 1024, unit + 1];
  return `${digits(size)} ${units[unit]}`;
}

/** "1 session", "14 sessions". */
export function many(number, one, several = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : several}`;
}

/** "a, b and c"; of many the first few and how many more. */
export function list(names, most = 3) {
  const told = names.slice(0, most);
  if (names.length > most) told.push(`${names.length - most} more`);
  return told.length < 2 ? told.join("") : `${told.slice(0, -1).join(", ")} and ${told.at(-1)}`;
}

/** Reasons of refusals and the like are words with underscores. */
export const spaced = (word) => String(word).replaceAll("_", " ");
