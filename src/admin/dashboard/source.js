// Owns: what a view asks the admin API beside the feed: at once, again every five seconds while somebody looks, never twice at a time.

import { get } from "./api.js";
import { h, say, show } from "./dom.js";

const EVERY_MS = 5000;

export class Source {
  /** `ask()` gives the path and query to read; `changed()` is told of news. */
  constructor(ask, changed) {
    Object.assign(this, { ask, changed, data: undefined, error: undefined, closed: false });
    this.words = h("p", { class: "failure", role: "status", hidden: true });
    this.timer = setInterval(() => document.hidden || this.read(), EVERY_MS);
    this.read();
  }

  /** Reads now. */
  async read() {
    if (this.busy) return;
    this.busy = true;
    try {
      this.data = await get(...this.ask());
      this.error = undefined;
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
    if (this.closed) return;
    show(this.words, Boolean(this.error));
    say(this.words, this.error ? `${this.data ? "What is shown is old: " : ""}${this.error.message}` : "");
    this.changed();
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
  }
}
