// Owns: the fixture MCP server behind OAuth. It demands a bearer token itself, names its protected
// resource metadata in the 401, and its authorization server stands on a port of its own.
//
//   node oauth-server.mjs [--port N] [--auth-port N] [--name NAME] [--public URL] [--strict]
//
//   --public URL  the address that clients use; the metadata then names it (default: the server's own)
//   --strict      refuse tokens whose audience is not that address, as MCP asks of a server
//   --trace       each request on stderr
//
// Prints `listening URL issuer ISSUER`. `POST /revoke` forgets all tokens; `/stats` counts.

import { createServer } from 'node:http';
import { readArgs } from './lib/args.mjs';
import { AuthorizationServer } from './lib/authorization-server.mjs';
import { Fixture, sendJson } from './lib/fixture-http.mjs';

const options = readArgs({ port: '0', 'auth-port': '0', name: 'oauth-fixture', public: '', strict: false, trace: false });
const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const fixture = new Fixture({ name: options.name, trace: options.trace });
const stats = { challenged: 0, wrong_audience: 0, metadata: 0 };

const listen = (server, port) =>
  new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`)));

let authorization;
let resource;

function challenge(res, error) {
  stats.challenged += 1;
  const at = new URL(resource);
  const problem = error ? `error="invalid_token", error_description="${error}", ` : '';
  const metadata = `resource_metadata="${at.origin}${WELL_KNOWN}${at.pathname}"`;
  res.writeHead(401, { 'www-authenticate': `Bearer ${problem}scope="mcp", ${metadata}`, 'content-type': 'application/json' });
  res.end(JSON.stringify({ error: 'invalid_token', error_description: error ?? 'a bearer token is required' }));
}

/** Answers 401 and returns false, unless the request carries a good token. */
function admit(req, res) {
  const [scheme, token] = (req.headers.authorization ?? '').split(' ');
  if (scheme.toLowerCase() !== 'bearer' || !token) return challenge(res), false;
  const grant = authorization.lookUp(token);
  if (!grant) return challenge(res, 'unknown or expired token'), false;
  if (options.strict && grant.resource !== resource) {
    stats.wrong_audience += 1;
    return challenge(res, 'token is for another audience'), false;
  }
  return true;
}

async function serve(req, res) {
  const { pathname } = new URL(req.url, 'http://fixture');
  if (pathname === `${WELL_KNOWN}/mcp`) {
    stats.metadata += 1;
    return sendJson(res, { resource, authorization_servers: [authorization.issuer], scopes_supported: ['mcp'], bearer_methods_supported: ['header'] });
  }
  if (pathname === '/stats') return sendJson(res, { ...fixture.stats(), ...stats, ...authorization.stats });
  if (pathname === '/revoke' && req.method === 'POST') {
    authorization.revokeAll();
    return sendJson(res, {});
  }
  if (pathname !== '/mcp') return sendJson(res, { error: 'not found' }, 404);
  return admit(req, res) ? fixture.serve(req, res) : undefined;
}

const guard = (answer) => (req, res) => {
  Promise.resolve(answer(req, res)).catch((error) => {
    console.error(error);
    if (!res.headersSent) sendJson(res, { error: 'server_error' }, 500);
  });
};

async function serveAuthorization(req, res) {
  if (options.trace) console.error(JSON.stringify({ authorization: req.method, url: req.url }));
  const served = await authorization.serve(req, res, new URL(req.url, authorization.issuer));
  if (!served) sendJson(res, { error: 'not found' }, 404);
}

authorization = new AuthorizationServer(await listen(createServer(guard(serveAuthorization)), Number(options['auth-port'])));
const own = `${await listen(createServer(guard(serve)), Number(options.port))}/mcp`;
resource = options.public || own;
console.log(`listening ${own} issuer ${authorization.issuer}`);
process.on('SIGTERM', () => process.exit(0));
