// Owns: backends made with the official TypeScript SDK that have the tool of the cache's works: what a call costs a real server.
// Sessions are not its matter: `initialize` and DELETE, by which the benchmark sees that a peer is up, are answered by hand.
//
//   node server.mjs PORT,PORT…
import { createServer } from 'node:http';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { z } from 'zod';

// The text is as long as the one in an answer of 8 KiB from the benchmark's own origin: every byte of it is compared.
const content = (text) => [{ type: 'text', text }];
const bare = { jsonrpc: '2.0', id: 10000000, result: { resultType: 'complete', content: content('to call 10000000: '), isError: false } };
const pad = ''.padEnd(8192 - JSON.stringify(bare).length, 'moored ');

function build() {
  const server = new McpServer({ name: 'bench-sdk', version: '1' });
  const inputSchema = z.object({ text: z.string(), key: z.string() });
  const facts = { description: 'answers at length', inputSchema, annotations: { readOnlyHint: true } };
  server.registerTool('kept', facts, ({ key }) => ({ content: content(`to call ${key}: ${pad}`) }));
  return server;
}

const serveModern = toNodeHandler(createMcpHandler(build, { legacy: 'reject' }));

async function bodyOf(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function greet(res, id) {
  const result = {
    protocolVersion: '2025-11-25',
    capabilities: { tools: { listChanged: true } },
    serverInfo: { name: 'bench-origin', version: '1' },
  };
  const text = JSON.stringify({ jsonrpc: '2.0', id, result });
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length, 'mcp-session-id': 'a-session' });
  res.end(text);
}

async function serve(req, res) {
  if (req.method !== 'POST') return res.writeHead(200, { 'content-length': 0 }).end();
  const message = JSON.parse(await bodyOf(req));
  if (message.method === 'initialize') return greet(res, message.id);
  return serveModern(req, res, message);
}

for (const port of process.argv[2].split(',')) {
  createServer((req, res) => {
    serve(req, res).catch((error) => {
      console.error(error);
      res.destroy();
    });
  }).listen(Number(port), '127.0.0.1');
}
