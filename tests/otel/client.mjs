// Owns: an MCP client on the official SDK that is traced: it calls the tool once in each way in which a trace may be passed on, and
// prints what the server says that it was told, with the span that it was called in.
//
//   node client.mjs --url http://127.0.0.1:8080/mcp --collector http://127.0.0.1:4318 --era modern|legacy

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { AsyncLocalStorage } from 'node:async_hooks';
import { parseArgs } from 'node:util';
import { context, propagation, SpanKind, spanned, start } from './tracing.mjs';

const { values } = parseArgs({ options: { url: { type: 'string' }, collector: { type: 'string' }, era: { type: 'string' } } });
const stop = start('agent', values.collector);

const headers = new AsyncLocalStorage();
const fetchTraced = (url, init) => {
  const all = new Headers(init?.headers);
  for (const [name, value] of Object.entries(headers.getStore() ?? {})) all.set(name, value);
  return fetch(url, { ...init, headers: all });
};

const mode = values.era === 'modern' ? { pin: '2026-07-28' } : 'legacy';
const client = new Client({ name: 'agent', version: '1.0.0' }, { versionNegotiation: { mode } });
await client.connect(new StreamableHTTPClientTransport(new URL(values.url), { fetch: fetchTraced }));

const BAGGAGE = propagation.createBaggage({ tenant: { value: 'acme' } });

/** Calls the tool in a span, and says of it what the server was told. */
async function call(way) {
  const active = propagation.setBaggage(context.active(), BAGGAGE);
  return spanned('tools/call told', SpanKind.CLIENT, active, async (span) => {
    const carrier = {};
    propagation.inject(context.active(), carrier);
    const params = { name: 'told', arguments: {}, ...(way === 'meta' ? { _meta: carrier } : {}) };
    const result = await headers.run(way === 'header' ? carrier : {}, () => client.callTool(params));
    const { traceId, spanId } = span.spanContext();
    return { way, trace: traceId, span: spanId, told: JSON.parse(result.content[0].text) };
  });
}

const calls = [];
for (const way of ['header', 'meta']) calls.push(await call(way));
await client.close();
await stop();
console.log(JSON.stringify(calls));
