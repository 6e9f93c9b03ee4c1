// Owns: what a fixture server must have written down before it answers, so that it can be counted after a `kill -9`.
// Several servers may share the file: each line is one short append. Without a path nothing is kept.

import { appendFileSync } from 'node:fs';

export class Ledger {
  #path;
  #name;

  constructor(path, name) {
    this.#path = path;
    this.#name = name;
  }

  /** One line: `what` happened at this server, and the facts that go with it. */
  write(what, facts) {
    if (this.#path === '') return;
    appendFileSync(this.#path, `${JSON.stringify({ what, server: this.#name, at: Date.now(), ...facts })}\n`);
  }
}
