// Owns: the official TypeScript client logging in to a server that asks for OAuth, and calling a tool.
// Prints one JSON object; exit status 0 if the call succeeded.
//
//   node oauth-login.mjs --url URL [--sdk 1|2] [--era legacy|modern|auto] [--tool whoami]

import { readArgs } from './lib/args.mjs';
import { SdkClient } from './lib/client-ts.mjs';
import { HeadlessProvider } from './lib/oauth-provider.mjs';
import { describe } from './lib/outcome.mjs';

const options = readArgs({ url: '', sdk: '2', era: 'legacy', tool: 'whoami' });
const TIMEOUT = 10_000;
const provider = new HeadlessProvider();
const exchanges = [];

function newClient() {
  const client = new SdkClient({ sdk: options.sdk, era: options.era, url: options.url, authProvider: provider });
  exchanges.push(client.recorder.exchanges);
  return client;
}

/** The first connection is refused; the SDK then discovers, registers and sends the user to consent. */
async function logIn() {
  const client = newClient();
  try {
    await client.connect(TIMEOUT);
    throw new Error('the server asked for no token');
  } catch (error) {
    if (error?.constructor?.name !== 'UnauthorizedError') throw error;
  }
  if (!provider.answer) throw new Error('the client was not sent to an authorization server');
  await client.transport.finishAuth(options.sdk === '1' ? provider.answer.get('code') : provider.answer);
}

async function main() {
  await logIn();
  const client = newClient();
  await client.connect(TIMEOUT);
  const result = await client.call(options.tool, {}, { timeout: TIMEOUT });
  await client.terminate();
  await client.close();
  return { ok: true, result };
}

const outcome = await main().catch((error) => ({ ok: false, ...describe(error) }));
const wire = exchanges.flat().map(({ http, origin, path, rpc, status }) => ({ http, origin, path, rpc, status }));
console.log(JSON.stringify({ client: `ts${options.sdk}-${options.era}`, ...outcome, steps: provider.steps, wire }));
process.exit(outcome.ok ? 0 : 1);
