// The legacy era: one server and one transport per session, kept until the
// client deletes the session or the process ends.
import { randomUUID } from 'node:crypto';
import { NodeStreamableHTTPServerTransport } from '@modelcontextprotocol/node';
import { isInitializeRequest } from '@modelcontextprotocol/server';
import { buildServer } from './mcp.mjs';

const MAX_EVENTS = 1000;

// Keeps the latest events of one session, so that a cut stream can be resumed.
class RecentEvents {
  #events = new Map();
  #next = 1;

  async storeEvent(streamId, message) {
    const eventId = `${streamId}_${this.#next++}`;
    this.#events.set(eventId, { streamId, message });
    if (this.#events.size > MAX_EVENTS) this.#events.delete(this.#events.keys().next().value);
    return eventId;
  }

  async getStreamIdForEventId(eventId) {
    return this.#events.get(eventId)?.streamId;
  }

  async replayEventsAfter(lastEventId, { send }) {
    const streamId = this.#events.get(lastEventId)?.streamId ?? '';
    let seen = false;
    for (const [eventId, event] of this.#events) {
      // A priming event carries no message and is not worth a replay.
      if (seen && event.streamId === streamId && event.message?.jsonrpc) {
        await send(eventId, event.message);
      }
      seen ||= eventId === lastEventId;
    }
    return streamId;
  }
}

export function refuse(res, status, code, message, id = null) {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id }));
}

async function openSession(state) {
  const session = { calls: 0, subscriptions: new Set() };
  session.server = buildServer(state, session);
  session.transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new RecentEvents(),
    retryInterval: 500,
    onsessioninitialized: (id) => void state.sessions.set(id, session),
    onsessionclosed: (id) => void state.sessions.delete(id),
  });
  await session.server.connect(session.transport);
  return session;
}

export async function handleLegacy(state, req, res, body) {
  const id = req.headers['mcp-session-id'];
  const session = id === undefined ? undefined : state.sessions.get(id);
  if (session) return session.transport.handleRequest(req, res, body);
  if (id !== undefined) return refuse(res, 404, -32001, 'Session not found', body?.id);
  if (req.method === 'POST' && isInitializeRequest(body)) {
    const opened = await openSession(state);
    return opened.transport.handleRequest(req, res, body);
  }
  return refuse(res, 400, -32000, 'Bad Request: Mcp-Session-Id header is required', body?.id);
}
