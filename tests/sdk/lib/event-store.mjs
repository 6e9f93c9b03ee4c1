// Owns: the events of one session, so that its streams can be resumed.
// Event ids are small numbers that start anew in every session: a gateway that
// treats them as unique beyond one session and one server fails here.

const KEEP = 1000;

export class SessionEvents {
  #events = [];
  #next = 1;

  async storeEvent(streamId, message) {
    const id = String(this.#next);
    this.#next += 1;
    this.#events.push({ id, streamId, message });
    if (this.#events.length > KEEP) this.#events.shift();
    return id;
  }

  async getStreamIdForEventId(id) {
    return this.#events.find((event) => event.id === id)?.streamId;
  }

  async replayEventsAfter(lastEventId, { send }) {
    const at = this.#events.findIndex((event) => event.id === lastEventId);
    if (at < 0) throw new Error(`unknown event id ${lastEventId}`);
    const { streamId } = this.#events[at];
    for (const event of this.#events.slice(at + 1)) {
      // A priming event is stored as an empty message: it has an id and no data.
      if (event.streamId === streamId && event.message.jsonrpc) await send(event.id, event.message);
    }
    return streamId;
  }
}
