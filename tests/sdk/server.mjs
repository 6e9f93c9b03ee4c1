// Owns: the fixture MCP server that the drivers talk to: `/mcp` for both eras, `/stats`, which counts what arrived,
// and `/sessions`, those that are alive, so that a test can tell what a gateway really passed on.
//
//   node server.mjs [--port N] [--name NAME] [--state-key TEXT] [--retry-ms N] [--ledger PATH] [--require-auth] [--trace]

import { createServer } from 'node:http';
import { readArgs } from './lib/args.mjs';
import { Fixture, refuse, sendJson } from './lib/fixture-http.mjs';
import { Ledger } from './lib/ledger.mjs';

const options = readArgs({ port: '0', name: 'fixture', 'state-key': '', 'retry-ms': '300', ledger: '', 'require-auth': false, trace: false });
const fixture = new Fixture({
  name: options.name,
  stateKey: options['state-key'],
  retryMs: Number(options['retry-ms']),
  ledger: new Ledger(options.ledger, options.name),
  requireAuth: options['require-auth'],
  trace: options.trace,
});

const http = createServer((req, res) => {
  const path = new URL(req.url, 'http://fixture').pathname;
  if (path === '/stats') return sendJson(res, fixture.stats());
  if (path === '/sessions') return sendJson(res, fixture.sessions());
  if (path !== '/mcp') return refuse(res, 404, -32600, 'Not Found');
  return fixture.serve(req, res).catch((error) => {
    console.error(error);
    if (!res.headersSent) refuse(res, 500, -32603, String(error));
  });
});
http.listen(Number(options.port), '127.0.0.1', () => {
  console.log(`listening http://127.0.0.1:${http.address().port}/mcp`);
});
process.on('SIGTERM', () => process.exit(0));
