// Owns: the fixture MCP server that the drivers talk to: `/mcp` for both eras, and `/stats`,
// which counts what arrived, so that a test can tell what a gateway really passed on.
//
//   node server.mjs [--port N] [--name NAME] [--state-key TEXT] [--retry-ms N] [--trace]

import { createServer } from 'node:http';
import { readArgs } from './lib/args.mjs';
import { Fixture, refuse, sendJson } from './lib/fixture-http.mjs';

const options = readArgs({ port: '0', name: 'fixture', 'state-key': '', 'retry-ms': '300', trace: false });
const fixture = new Fixture({
  name: options.name,
  stateKey: options['state-key'],
  retryMs: Number(options['retry-ms']),
  trace: options.trace,
});

const http = createServer((req, res) => {
  const path = new URL(req.url, 'http://fixture').pathname;
  if (path === '/stats') return sendJson(res, fixture.stats());
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
