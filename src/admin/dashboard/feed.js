// Owns: the stream of news from the instance: opens it, reads it, opens it again when it breaks, and says how it stands.
// Read with fetch, since an EventSource cannot send the token. It judges no content.

import { headers } from "./api.js";

/** No tick for so long: whatever the connection says, the news has stopped. */
const SILENCE_MS = 4500;
const RETRY_MS = [500, 1000, 2000, 4000, 5000];

export class Feed {
  /** `hear(kind, data)` gets each event; `stand(state)` gets `{state, since, retry}`: connecting, live, lost or locked. */
  constructor(hear, stand) {
    Object.assign(this, { hear, stand, tries: 0, state: "connecting", stopped: false });
  }

  start() {
    this.stopped = false;
    clearTimeout(this.timer);
    this.#open();
  }

  #open() {
    this.abort = new AbortController();
    this.#watch();
    this.#read(this.abort.signal).then(
      () => this.#lose("the instance ended the stream"),
      (error) => this.#lose(error.words ?? "the instance cannot be reached"),
    );
  }

  async #read(signal) {
    const response = await fetch("/api/v1/feed", { headers: headers({ accept: "text/event-stream" }), signal, cache: "no-store" });
    if (response.status === 401) throw Object.assign(new Error("401"), { locked: this.#lock(), words: "a token is needed" });
    if (!response.ok) throw Object.assign(new Error(String(response.status)), { words: `the instance answered ${response.status}` });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest = this.#take(rest + value);
    }
  }

  /** Hands over all whole events of the text; what is left waits for more. */
  #take(text) {
    const parts = text.split("\n\n");
    const rest = parts.pop();
    for (const part of parts) {
      let kind = "message";
      const data = [];
      for (const line of part.split("\n")) {
        if (line.startsWith("event:")) kind = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      }
      this.#heard();
      if (data.length) this.hear(kind, JSON.parse(data.join("\n")));
    }
    return rest;
  }

  #heard() {
    this.tries = 0;
    this.last = Date.now();
    this.#watch();
    if (this.state !== "live") this.#become({ state: "live" });
  }

  #watch() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.abort.abort(), SILENCE_MS);
  }

  #lock() {
    clearTimeout(this.silence);
    this.stopped = true;
    this.#become({ state: "locked" });
    return true;
  }

  #lose(why) {
    clearTimeout(this.silence);
    if (this.stopped) return;
    const wait = RETRY_MS[Math.min(this.tries, RETRY_MS.length - 1)];
    this.tries += 1;
    this.#become({ state: "lost", since: this.last, why, retry: Date.now() + wait });
    this.timer = setTimeout(() => this.#open(), wait);
  }

  #become(stand) {
    this.state = stand.state;
    this.stand(stand);
  }
}
