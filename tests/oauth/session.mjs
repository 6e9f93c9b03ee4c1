// Owns: the official TypeScript client against an endpoint that asks for tokens of `server.mjs`: it logs in by discovery from
// the 401 on, calls a tool, has the issuer rotate its keys in mid-flow, and goes on. Then it does what it must not.
// Prints one JSON object with what came of each step; exit status 0 if the honest steps succeeded.
//
//   node session.mjs --url URL --issuer URL [--sdk 1|2] [--era legacy|modern|auto] [--tool whoami]

import { readArgs } from '../sdk/lib/args.mjs';
import { SdkClient } from '../sdk/lib/client-ts.mjs';
import { HeadlessProvider } from '../sdk/lib/oauth-provider.mjs';
import { describe } from '../sdk/lib/outcome.mjs';

const options = readArgs({ url: '', issuer: '', sdk: '2', era: 'legacy', tool: 'whoami' });
const TIMEOUT = 20_000;
const wire = [];

function newClient(authProvider) {
  const client = new SdkClient({ sdk: options.sdk, era: options.era, url: options.url, authProvider });
  wire.push(client.recorder.exchanges);
  return client;
}

const tell = async (path) => (await fetch(new URL(path, options.issuer), { method: 'POST' })).json();
const part = (token, at) => JSON.parse(Buffer.from(token.split('.')[at], 'base64url').toString());

/** The first connection is refused; the SDK then discovers, registers and sends the user to consent. */
async function logIn(provider) {
  try {
    await newClient(provider).connect(TIMEOUT);
    throw new Error('nobody asked for a token');
  } catch (error) {
    if (error?.constructor?.name !== 'UnauthorizedError') throw error;
  }
  const last = newClient(provider);
  await last.transport.finishAuth(options.sdk === '1' ? provider.answer.get('code') : provider.answer);
}

async function connected(provider) {
  await logIn(provider);
  const client = newClient(provider);
  await client.connect(TIMEOUT);
  return client;
}

/** A request of no SDK's, with exactly this token and session. */
async function raw(token, session) {
  const response = await fetch(options.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2025-11-25',
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(session ? { 'mcp-session-id': session } : {}),
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: options.tool, arguments: {} } }),
  });
  const body = await response.text();
  return { status: response.status, challenge: response.headers.get('www-authenticate'), body: body.slice(0, 2000) };
}

const facts = (provider) => {
  const { access_token: token } = provider.tokens();
  const { kid, alg } = part(token, 0);
  const { iss, sub, aud, scope } = part(token, 1);
  return { kid, alg, iss, sub, aud, scope };
};

async function main(report) {
  await tell('/test/account?name=ada');
  const ada = new HeadlessProvider();
  report.steps = ada.steps;
  const client = await connected(ada);
  report.first = { ...facts(ada), ...client.facts(), result: await client.call(options.tool, {}, { timeout: TIMEOUT }) };

  // The issuer has new keys, and the old ones are withdrawn. The client's token goes bad, and it refreshes it as SDKs do.
  const old = ada.tokens().access_token;
  report.rotated = await tell('/test/rotate');
  ada.saveTokens({ ...ada.tokens(), access_token: `${old.slice(0, -8)}AAAAAAAA` });
  const result = await client.call(options.tool, {}, { timeout: TIMEOUT });
  report.second = { ...facts(ada), ...client.facts(), result };

  const session = client.facts().session;
  report.forbidden = { nothing: await raw(null, session), withdrawn: await raw(old, session) };
  await tell('/test/account?name=eve');
  const eve = new HeadlessProvider();
  const other = await connected(eve);
  report.forbidden.hijack = await raw(eve.tokens().access_token, session);
  report.still = await client.call(options.tool, {}, { timeout: TIMEOUT });
  report.refreshed = eve.tokens().refresh_token !== undefined;
  for (const one of [other, client]) {
    await one.terminate();
    await one.close();
  }
}

const report = { client: `ts${options.sdk}-${options.era}`, ok: true };
await main(report).catch((error) => Object.assign(report, { ok: false, ...describe(error), stack: String(error.stack).slice(0, 2000) }));
report.wire = wire.flat().map(({ http, origin, path, rpc, status }) => ({ http, origin, path, rpc, status }));
console.log(JSON.stringify(report));
process.exit(report.ok ? 0 : 1);
