// Owns: an MCP server on the official SDK that is traced, and whose one tool says what it was told of its trace.
//
//   node server.mjs --collector http://127.0.0.1:4318

import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { context, propagation, SpanKind, spanned, start } from './tracing.mjs';

const { values } = parseArgs({ options: { collector: { type: 'string' } } });
const stop = start('tools', values.collector);

const FIELDS = ['traceparent', 'tracestate', 'baggage'];
const pick = (read) => Object.fromEntries(FIELDS.map((name) => [name, read(name) ?? null]));

function build() {
  const server = new McpServer({ name: 'traced', version: '1.0.0' }, { capabilities: { tools: {} } });
  server.registerTool('told', { description: 'what the server was told of its trace', inputSchema: z.object({}) }, (_args, ctx) => {
    const meta = ctx.mcpReq._meta ?? {};
    const header = Object.fromEntries(FIELDS.map((name) => [name, ctx.http?.req?.headers.get(name) ?? undefined]));
    // What the message says counts before what its transport says.
    const parent = propagation.extract(context.active(), meta.traceparent === undefined ? header : meta);
    return spanned('tools/call told', SpanKind.SERVER, parent, async () => {
      const told = { header: pick((name) => header[name]), meta: pick((name) => meta[name]) };
      return { content: [{ type: 'text', text: JSON.stringify(told) }] };
    });
  });
  return server;
}

const serve = toNodeHandler(createMcpHandler(build));
const http = createServer((req, res) => serve(req, res));
http.listen(0, '127.0.0.1', () => console.log(`listening http://127.0.0.1:${http.address().port}/mcp`));
process.on('SIGTERM', () => stop().finally(() => process.exit(0)));
