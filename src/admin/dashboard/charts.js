// Owns: what the two charts of the last 15 minutes show.

import { TimeChart } from "./chart.js";
import { count, rate, took } from "./words.js";

const each = (of) => (sample) => ((of(sample) || 0) * 1000) / sample.span_ms;
const refused = ({ refusals = {} }) => Object.values(refusals).reduce((sum, number) => sum + number, 0);

/** Requests a second: answered well, refused, failed. */
export function traffic() {
  return new TimeChart({
    label: "Requests a second over the last 15 minutes",
    tell: rate,
    tick: (value) => (value < 1000 ? String(Number(value.toPrecision(3))) : count(value)),
    series: [
      { key: "good", label: "answered", kind: "stack", of: each((sample) => Math.max(0, sample.requests - sample.errors - refused(sample))) },
      { key: "refused", label: "refused", kind: "stack", of: each(refused) },
      { key: "error", label: "failed", kind: "stack", of: each(({ errors }) => errors) },
    ],
  });
}

/** The time of an exchange in backends and in Moorline itself: half of all are below the lower edge, 99 of 100 below the upper. */
export function latencyChart() {
  return new TimeChart({
    label: "Time in backends and in Moorline over the last 15 minutes",
    scale: "log",
    tell: took,
    series: [
      { key: "backend", label: "backends p50 / p99", kind: "band", of: (sample) => sample.backend_us },
      { key: "own", label: "Moorline p50 / p99", kind: "band", of: (sample) => sample.own_us },
    ],
  });
}
