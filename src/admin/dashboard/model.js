// Owns: what this page knows: the last snapshot with all ticks since. It draws nothing and asks for nothing.

/** Samples of history that are kept: 15 minutes of five seconds. */
const SAMPLES = 180;
const EVENTS = 500;
const NAMES = new Intl.Collator("en", { numeric: true });
/** What a rate "now" is taken over: one second alone is restless. */
const SECONDS = 5;

export class Model {
  constructor() {
    this.known = false;
    this.stand = { state: "connecting" };
    this.backends = new Map();
    this.pools = [];
    this.samples = [];
    this.seconds = [];
    this.events = [];
    this.moves = [];
  }

  /** Takes one event of the feed. */
  hear(kind, data) {
    if (kind === "snapshot") this.#begin(data);
    else if (kind === "tick") this.#take(data);
    else if (kind === "move") this.#move(data);
    else if (kind === "event") this.#note(data);
  }

  /** The time at the instance, in unix milliseconds, as far as it can be told. */
  get now() {
    return this.known ? this.at + (performance.now() - this.heard) : Date.now();
  }

  /** The sum of something over the samples of the last so many milliseconds. */
  sum(of, ms = 60_000) {
    const from = (this.samples.at(-1)?.at ?? 0) - ms;
    return this.samples.reduce((sum, sample) => (sample.at > from ? sum + (of(sample) || 0) : sum), 0);
  }

  /** The same, a second. */
  rate(of, ms = 60_000) {
    const from = (this.samples.at(-1)?.at ?? 0) - ms;
    const spans = this.samples.reduce((sum, sample) => (sample.at > from ? sum + sample.span_ms : sum), 0);
    return spans ? (this.sum(of, ms) * 1000) / spans : undefined;
  }

  /** Requests a second, just now. */
  get asked() {
    const ms = this.seconds.reduce((sum, { span_ms: span }) => sum + span, 0);
    return ms ? (this.seconds.reduce((sum, { requests }) => sum + requests, 0) * 1000) / ms : this.rate(({ requests }) => requests, 5000);
  }

  /** How long the store took when it was asked last, in microseconds: `[p50, p99]`. */
  get storeTook() {
    return this.samples.slice(-12).findLast((sample) => sample.store_us)?.store_us;
  }

  /** Whether there is anybody else whose numbers are not in those of this instance. */
  get alone() {
    return (this.instances?.length ?? 1) < 2;
  }

  #begin(data) {
    const { samples = [], events = [], pools = [], ...parts } = data;
    for (const part of ["instance", "instances", "instances_old_ms", "store", "limits", "cache", "tools", "callers"]) delete this[part];
    Object.assign(this, parts, { known: true, heard: performance.now(), samples, events: events.slice(-EVENTS) });
    this.#list(pools);
  }

  #take({ backends = {}, pools, sample, ...parts }) {
    if (parts.instances) delete this.instances_old_ms;
    Object.assign(this, parts, { heard: performance.now() });
    if (parts.second) this.seconds = [...this.seconds, parts.second].slice(-SECONDS);
    if (pools) this.#list(pools);
    for (const [id, changed] of Object.entries(backends)) {
      const backend = this.backends.get(id);
      if (backend) Object.assign(backend, changed);
    }
    // A sample that was taken while the snapshot was made comes twice.
    if (sample && !(sample.at <= this.samples.at(-1)?.at)) this.samples = [...this.samples, sample].slice(-SAMPLES);
  }

  #list(pools) {
    this.pools = pools;
    // The place of each among all by its name: sorting by it is done often, comparing names takes time.
    pools.flatMap(({ backends }) => backends).sort((a, b) => NAMES.compare(a.name, b.name)).forEach((backend, at) => { backend.place = at; });
    this.backends = new Map(pools.flatMap((pool) => pool.backends.map((backend) => [backend.id, Object.assign(backend, { pool: pool.name })])));
  }

  #move(data) {
    this.moves.push(data);
    if (this.moves.length > 200) this.moves.splice(0, 100);
    this.moved?.(data);
  }

  #note(data) {
    if (data.number <= this.events.at(-1)?.number) return;
    this.events = [...this.events, data].slice(-EVENTS);
  }
}
