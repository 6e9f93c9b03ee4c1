// What one replica process remembers: its name, its counters, its signing key
// and whom to tell about changes. Owns no protocol code.
import { randomBytes } from 'node:crypto';
import { createRequestStateCodec } from '@modelcontextprotocol/server';

export const WATCHED_URIS = ['test://watched', 'test://watched-resource'];

export class ReplicaState {
  constructor({ name, cacheTtlMs = 0 }) {
    this.name = name;
    this.cacheTtlMs = cacheTtlMs;
    this.calls = 0;
    this.marks = 0;
    this.listVersion = 1;
    this.promptListVersion = 1;
    this.watchedRevision = 0;
    // Legacy sessions that are alive, keyed by session id.
    this.sessions = new Map();
    // The modern handler's publisher, set once the handler exists.
    this.modernNotify = undefined;
    // A key of this process alone: another replica must refuse the state it signs.
    this.codec = createRequestStateCodec({ key: randomBytes(32) });
  }

  async touchWatched() {
    this.watchedRevision += 1;
    for (const uri of WATCHED_URIS) {
      for (const session of this.sessions.values()) {
        if (session.subscriptions.has(uri)) {
          await session.server.server.sendResourceUpdated({ uri });
        }
      }
      this.modernNotify?.resourceUpdated(uri);
    }
    return this.watchedRevision;
  }

  toolsChanged() {
    this.listVersion += 1;
    for (const session of this.sessions.values()) session.server.sendToolListChanged();
    this.modernNotify?.toolsChanged();
    return this.listVersion;
  }

  promptsChanged() {
    this.promptListVersion += 1;
    for (const session of this.sessions.values()) session.server.sendPromptListChanged();
    this.modernNotify?.promptsChanged();
    return this.promptListVersion;
  }
}
