// Owns: the fixture MCP endpoint over HTTP (official TypeScript SDK v2), both eras, and what it counted.
// Legacy: stateful sessions with resumable streams. Modern: one server instance per request.
// It refuses to know about ports, paths and tokens: its callers do.

import { createMcpHandler, isInitializeRequest, isLegacyRequest } from '@modelcontextprotocol/server';
import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import { randomBytes, randomUUID } from 'node:crypto';
import { SessionEvents } from './event-store.mjs';
import { buildServer, newWorld } from './fixture-tools.mjs';
import { Ledger } from './ledger.mjs';

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

/** The name under which a gateway knows the session, if it says so. */
function mooredOf(req) {
  return req.headers['moorline-session'];
}

/** `Bearer ada.7` is user `ada`; what stands behind the dot may change, as tokens do. */
function userOf(req) {
  return /^Bearer ([^.]+)/.exec(req.headers.authorization ?? '')?.[1];
}

export class Fixture {
  #stats = { initialize: 0, deleted: 0, streams: 0, resumed: 0, hangups: 0, open: 0, methods: {} };
  #sessions = new Map();
  #world;
  #retryMs;
  #trace;
  #ledger;
  #requireAuth;
  #serveModern;

  /** By default the key is the process's own, as in the SDK's examples: a retry that reaches another server is refused. */
  constructor({ name, stateKey = '', retryMs = 300, ledger = new Ledger('', name), requireAuth = false, trace = false }) {
    this.#world = newWorld(name, stateKey ? stateKey.padEnd(32, '.') : randomBytes(32), ledger);
    this.#ledger = ledger;
    this.#requireAuth = requireAuth;
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

  /** The legacy sessions that are alive: their own id, the name that a gateway gave them, whose they are. */
  sessions() {
    return [...this.#sessions].map(([session, { moored, user }]) => ({ session, moored, user }));
  }

  /** Answers one request to the MCP endpoint. */
  async serve(req, res) {
    const body = req.method === 'POST' ? parse(await readBody(req)) : undefined;
    this.#note(req, res, body);
    if (this.#requireAuth && !this.#admit(req, res, body)) return undefined;
    if (req.method !== 'POST') return this.#serveLegacy(req, res);
    if (body === undefined) return refuse(res, 400, -32700, 'Parse error');
    const probe = await toWebRequest(req, body);
    return (await isLegacyRequest(probe, body)) ? this.#serveLegacy(req, res, body) : this.#serveModern(req, res, body);
  }

  /** Every request must name a user, and a session belongs to the one that began it. */
  #admit(req, res, body) {
    const session = req.headers['mcp-session-id'];
    const user = userOf(req);
    const owner = this.#sessions.get(session)?.user;
    const foreign = owner !== undefined && user !== undefined && owner !== user;
    const facts = { user, owner, session, foreign, moored: mooredOf(req), credentials: req.headers.authorization, http: req.method };
    this.#ledger.write('request', { ...facts, method: body?.method });
    if (user === undefined) refuse(res, 401, -32001, 'Unauthorized', { 'www-authenticate': 'Bearer realm="fixture"' });
    else if (foreign) refuse(res, 403, -32003, 'Forbidden: not your session');
    return user !== undefined && !foreign;
  }

  async #newSession(req) {
    const session = { count: 0, uris: new Set(), moored: mooredOf(req), user: userOf(req) };
    session.transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      eventStore: new SessionEvents(),
      retryInterval: this.#retryMs,
      onsessioninitialized: (id) => {
        this.#stats.initialize += 1;
        this.#sessions.set(id, session);
        this.#ledger.write('initialize', { session: id, moored: session.moored, user: session.user });
      },
      onsessionclosed: (id) => {
        this.#stats.deleted += 1;
        this.#sessions.delete(id);
        this.#ledger.write('deleted', { session: id, moored: session.moored });
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
    const session = id === undefined ? await this.#newSession(req) : this.#sessions.get(id);
    if (!session) return refuse(res, 404, -32001, 'Session not found');
    session.moored ??= mooredOf(req);
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
