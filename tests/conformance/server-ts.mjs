#!/usr/bin/env node
// One replica of the TypeScript fixture: both eras on /mcp, legacy sessions kept
// in memory. Owns the command line and the HTTP listener.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import {
  localhostHostValidation,
  localhostOriginValidation,
  toNodeHandler,
  toWebRequest,
} from '@modelcontextprotocol/node';
import { createMcpHandler, isLegacyRequest } from '@modelcontextprotocol/server';
import { buildServer } from './fixture-ts/mcp.mjs';
import { handleLegacy, refuse } from './fixture-ts/sessions.mjs';
import { ReplicaState } from './fixture-ts/state.mjs';

const MAX_BODY = 16 * 1024 * 1024;
const validHost = localhostHostValidation();
const validOrigin = localhostOriginValidation();

async function readBody(req) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size > MAX_BODY) throw new RangeError('body too large');
    chunks.push(chunk);
  }
  return chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

async function handle(state, modern, req, res) {
  if (!state.anyHost && (!validHost(req, res) || !validOrigin(req, res))) return undefined;
  if (new URL(req.url, 'http://localhost').pathname !== '/mcp') {
    return refuse(res, 404, -32000, 'Not Found');
  }
  let body;
  try {
    body = req.method === 'POST' ? await readBody(req) : undefined;
  } catch (error) {
    if (error instanceof RangeError) return refuse(res, 413, -32000, error.message);
    return refuse(res, 400, -32700, 'Parse error: Invalid JSON');
  }
  const legacy = await isLegacyRequest(await toWebRequest(req, body), body);
  return legacy ? handleLegacy(state, req, res, body) : modern(req, res, body);
}

function main() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: process.env.PORT ?? '0' },
      name: { type: 'string', default: `ts-${process.pid}` },
      'cache-ttl': { type: 'string', default: '0' },
      // Leaves the check of Host and Origin to whoever stands in front.
      'any-host': { type: 'boolean', default: false },
    },
  });
  const state = new ReplicaState({ name: values.name, cacheTtlMs: Number(values['cache-ttl']) });
  state.anyHost = values['any-host'];
  const handler = createMcpHandler(() => buildServer(state), { legacy: 'reject' });
  state.modernNotify = handler.notify;
  const modern = toNodeHandler(handler);

  const listener = createServer((req, res) => {
    handle(state, modern, req, res).catch((error) => {
      console.error(error);
      if (res.headersSent) res.destroy();
      else refuse(res, 500, -32603, 'Internal error');
    });
  });
  listener.listen(Number(values.port), '127.0.0.1', () => {
    console.log(`listening http://127.0.0.1:${listener.address().port}/mcp`);
  });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
}

main();
