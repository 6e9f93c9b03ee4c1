// Owns: a real OAuth server (oidc-provider) as the issuer of access tokens: JWTs for the resource that is asked for
// (RFC 8707), clients that register themselves (RFC 7591), PKCE, refresh tokens. Consent needs no person.
//
//   node server.mjs [--port N] [--resource URL] [--scopes "mcp:tools mcp:admin"] [--ttl SECONDS]
//
//   --resource URL  tokens are issued for this resource alone (default: whatever is asked for)
//
// Prints `listening URL`. Besides OAuth it understands:
//   POST /test/rotate            new keys; old ones leave the key set at once
//   POST /test/rotate?keep=1     new keys; old ones stay in the key set, as careful servers do it
//   POST /test/account?name=N    who logs in from now on (default: ada)
//   POST /test/mood?is=M         how the key set is served: good, down (500), slow (not at all)
//   GET  /test/stats             how often the key set and the metadata were asked for

import { createServer } from 'node:http';
import { webcrypto } from 'node:crypto';
import Provider from 'oidc-provider';

const options = { port: '0', resource: '', scopes: 'mcp:tools mcp:admin', ttl: '300' };
for (let at = 2; at < process.argv.length; at += 2) options[process.argv[at].slice(2)] = process.argv[at + 1];

const stats = { jwks: 0, metadata: 0, rotations: 0 };
let account = 'ada';
let mood = 'good';
let keys = [];
let provider;

async function newKey() {
  const { privateKey } = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const { kty, crv, x, y, d } = await webcrypto.subtle.exportKey('jwk', privateKey);
  stats.rotations += 1;
  return { kty, crv, x, y, d, kid: `key-${stats.rotations}`, alg: 'ES256', use: 'sig' };
}

/** What was issued and registered; it outlives the keys. */
const kept = new Map();

class Store {
  constructor(model) {
    this.key = (id) => `${model}:${id}`;
  }

  async upsert(id, payload) {
    kept.set(this.key(id), payload);
  }

  async find(id) {
    return kept.get(this.key(id));
  }

  async findByUid(uid) {
    return [...kept].find(([key, payload]) => key.startsWith(this.key('')) && payload.uid === uid)?.[1];
  }

  async consume(id) {
    const payload = kept.get(this.key(id));
    if (payload) payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    kept.delete(this.key(id));
  }

  async revokeByGrantId(grant) {
    for (const [key, payload] of kept) if (payload.grantId === grant) kept.delete(key);
  }
}

const configuration = () => ({
  adapter: Store,
  // The first key signs.
  jwks: { keys },
  cookies: { keys: ['only', 'for', 'tests'] },
  scopes: ['openid', 'offline_access', ...options.scopes.split(' ')],
  clientDefaults: { id_token_signed_response_alg: 'ES256', token_endpoint_auth_method: 'none' },
  enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
  pkce: { required: () => true },
  issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  interactions: { url: (_ctx, interaction) => `/test/interaction/${interaction.uid}` },
  findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  extraTokenClaims: (_ctx, token) => ({ org: token.accountId === 'ada' ? 'acme' : 'other' }),
  ttl: { Session: 3600, Grant: 3600, Interaction: 600, RefreshToken: 3600 },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => options.resource || undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (_ctx, resource) => {
        if (options.resource && resource !== options.resource) throw new Error('unknown resource');
        return {
          scope: options.scopes,
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: Number(options.ttl),
          jwt: { sign: { alg: 'ES256' } },
        };
      },
    },
  },
});

/** Keys are part of what a provider is made with: rotating makes another. */
async function rotate(keep) {
  keys = [await newKey(), ...(keep ? keys : [])];
  provider = new Provider(issuer, configuration());
  provider.on('server_error', (_ctx, error) => console.error(error));
}

/** Logs in and consents to all that is asked for, where a person would. */
async function interact(req, res) {
  const { prompt, params, grantId } = await provider.interactionDetails(req, res);
  if (prompt.name === 'login') {
    return provider.interactionFinished(req, res, { login: { accountId: account } }, { mergeWithLastSubmission: false });
  }
  const { session } = await provider.interactionDetails(req, res);
  const known = grantId ? await provider.Grant.find(grantId) : undefined;
  const grant = known ?? new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingResourceScopes } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {})) grant.addResourceScope(resource, scopes.join(' '));
  const consent = { grantId: await grant.save() };
  return provider.interactionFinished(req, res, { consent }, { mergeWithLastSubmission: true });
}

const say = (res, value) => res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));

async function serve(req, res) {
  const { pathname, searchParams } = new URL(req.url, issuer);
  if (pathname.startsWith('/test/interaction/')) return interact(req, res);
  if (pathname === '/test/rotate') return rotate(searchParams.has('keep')).then(() => say(res, { kid: keys[0].kid }));
  if (pathname === '/test/account') return say(res, { account: (account = searchParams.get('name')) });
  if (pathname === '/test/mood') return say(res, { mood: (mood = searchParams.get('is')) });
  if (pathname === '/test/stats') return say(res, stats);
  if (pathname.startsWith('/.well-known/')) stats.metadata += 1;
  if (pathname === '/jwks') {
    stats.jwks += 1;
    if (mood === 'down') return res.writeHead(500).end();
    if (mood === 'slow') return undefined;
  }
  return provider.callback()(req, res);
}

let issuer;
const server = createServer((req, res) => {
  Promise.resolve(serve(req, res)).catch((error) => {
    console.error(error);
    if (!res.headersSent) res.writeHead(500).end();
  });
});
await new Promise((resolve) => server.listen(Number(options.port), '127.0.0.1', resolve));
issuer = `http://127.0.0.1:${server.address().port}`;
await rotate(false);
console.log(`listening ${issuer}`);
process.on('SIGTERM', () => process.exit(0));
