// Owns: the fixture MCP endpoint over HTTP (official TypeScript SDK v2), both eras, and what it counted.
// Legacy: stateful sessions with resumable streams. Modern: one server instance per request.
// It refuses to know about ports, paths and tokens: its callers do.

import { createMcpHandler, isInitializeRequest, isLegacyRequest } from '@modelcontextprotocol/server';
import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import { randomBytes, randomUUID } from 'node:crypto';
import { SessionEvents } from './event-store.mjs';
import { buildServer, newWorld } from './fixture-tools.mjs';

export function refuse(res, status, code, message, headers = {}) {
  res.writeHead(status, { 'content-type': 'application/json', ...headers });
  res.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } }));
}

export function sendJson(res, value, status = 200) {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify(value));
}

export async function readBody(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export class Fixture {
  #stats = { initialize: 0, deleted: 0, streams: 0, resumed: 0, hangups: 0, open: 0, methods: {} };
  #sessions = new Map();
  #world;
  #retryMs;
  #trace;
  #serveModern;

  /** By default the key is the process's own, as in the SDK's examples: a retry that reaches another server is refused. */
  constructor({ name, stateKey = '', retryMs = 300, trace = false }) {
    this.#world = newWorld(name, stateKey ? stateKey.padEnd(32, '.') : randomBytes(32));
    this.#retryMs = retryMs;
    this.#trace = trace;
    const modern = createMcpHandler(() => buildServer(this.#world, 'modern'), { legacy: 'reject' });
    this.#serveModern = toNodeHandler(modern);
    this.#world.publish = (uri) => {
      for (const session of this.#sessions.values()) session.tell?.(uri);
      modern.notify.resourceUpdated(uri);
    };
  }

  stats() {
    return { name: this.#world.name, ...this.#stats, sessions: this.#sessions.size, cancelled: this.#world.cancelled.length };
  }

  /** Answers one request to the MCP endpoint. */
  async serve(req, res) {
    const body = req.method === 'POST' ? parse(await readBody(req)) : undefined;
    this.#note(req, res, body);
    if (req.method !== 'POST') return this.#serveLegacy(req, res);
    if (body === undefined) return refuse(res, 400, -32700, 'Parse error');
    const probe = await toWebRequest(req, body);
    return (await isLegacyRequest(probe, body)) ? this.#serveLegacy(req, res, body) : this.#serveModern(req, res, body);
  }

  async #newSession() {
    const session = { count: 0, uris: new Set() };
    session.transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      eventStore: new SessionEvents(),
      retryInterval: this.#retryMs,
      onsessioninitialized: (id) => {
        this.#stats.initialize += 1;
        this.#sessions.set(id, session);
      },
      onsessionclosed: (id) => {
        this.#stats.deleted += 1;
        this.#sessions.delete(id);
      },
    });
    await buildServer(this.#world, 'legacy', session).connect(session.transport);
    return session;
  }

  async #serveLegacy(req, res, body) {
    const id = req.headers['mcp-session-id'];
    if (id === undefined && !isInitializeRequest(body)) {
      return refuse(res, 400, -32600, 'Bad Request: Mcp-Session-Id header is required');
    }
    const session = id === undefined ? await this.#newSession() : this.#sessions.get(id);
    if (!session) return refuse(res, 404, -32001, 'Session not found');
    return session.transport.handleRequest(req, res, body);
  }

  #note(req, res, body) {
    const stats = this.#stats;
    const method = body?.method ?? (body ? 'response' : req.method);
    stats.methods[method] = (stats.methods[method] ?? 0) + 1;
    if (req.method === 'GET') stats.streams += 1;
    if (req.headers['last-event-id']) stats.resumed += 1;
    stats.open += 1;
    res.on('close', () => {
      stats.open -= 1;
      if (!res.writableFinished) stats.hangups += 1;
    });
    if (this.#trace) {
      console.error(JSON.stringify({ http: req.method, method, id: body?.id, params: body?.params, headers: req.headers }));
    }
  }
}
