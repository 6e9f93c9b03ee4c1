// Owns: a minimal OAuth 2.1 authorization server: metadata, dynamic registration, an authorize
// endpoint that consents by itself, a token endpoint with PKCE (S256) and refresh.
// Tokens are opaque and live in memory; it is a fixture, not a model.

import { createHash, randomUUID } from 'node:crypto';
import { readBody, sendJson } from './fixture-http.mjs';

const LIFETIME_SECONDS = 600;

const challengeOf = (verifier) => createHash('sha256').update(verifier).digest('base64url');

export class AuthorizationServer {
  stats = { registered: 0, authorized: 0, issued: 0, refreshed: 0, resources: [] };
  #clients = new Map();
  #codes = new Map();
  #refresh = new Map();
  #tokens = new Map();

  constructor(issuer) {
    this.issuer = issuer;
  }

  /** What an access token was issued for, or undefined. */
  lookUp(token) {
    const found = this.#tokens.get(token);
    return found && found.expires > Date.now() ? found : undefined;
  }

  revokeAll() {
    this.#tokens.clear();
  }

  /** Answers the request if it is one for an authorization server. */
  async serve(req, res, url) {
    const route = `${req.method} ${url.pathname}`;
    if (route === 'GET /.well-known/oauth-authorization-server') sendJson(res, this.#metadata());
    else if (route === 'POST /register') this.#register(res, JSON.parse(await readBody(req)));
    else if (route === 'GET /authorize') this.#authorize(res, url.searchParams);
    else if (route === 'POST /token') this.#token(res, new URLSearchParams(await readBody(req)));
    else return false;
    return true;
  }

  #metadata() {
    return {
      issuer: this.issuer,
      authorization_endpoint: `${this.issuer}/authorize`,
      token_endpoint: `${this.issuer}/token`,
      registration_endpoint: `${this.issuer}/register`,
      response_types_supported: ['code'],
      grant_types_supported: ['authorization_code', 'refresh_token'],
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_methods_supported: ['none'],
      scopes_supported: ['mcp'],
      authorization_response_iss_parameter_supported: true,
    };
  }

  #register(res, wanted) {
    const client = { ...wanted, client_id: randomUUID(), client_id_issued_at: Math.floor(Date.now() / 1000), token_endpoint_auth_method: 'none' };
    this.#clients.set(client.client_id, client);
    this.stats.registered += 1;
    sendJson(res, client, 201);
  }

  #authorize(res, query) {
    const client = this.#clients.get(query.get('client_id'));
    const target = query.get('redirect_uri');
    if (!client || !client.redirect_uris.includes(target)) return sendJson(res, { error: 'invalid_client' }, 400);
    const code = randomUUID();
    this.#codes.set(code, { client: client.client_id, target, challenge: query.get('code_challenge'), resource: query.get('resource'), scope: query.get('scope') });
    this.stats.authorized += 1;
    const back = new URL(target);
    back.searchParams.set('code', code);
    back.searchParams.set('iss', this.issuer);
    if (query.has('state')) back.searchParams.set('state', query.get('state'));
    res.writeHead(302, { location: back.href });
    return res.end();
  }

  #token(res, form) {
    if (form.get('grant_type') === 'refresh_token') {
      const grant = this.#refresh.get(form.get('refresh_token'));
      if (!grant) return sendJson(res, { error: 'invalid_grant' }, 400);
      this.#refresh.delete(form.get('refresh_token'));
      this.stats.refreshed += 1;
      return this.#issue(res, grant);
    }
    const grant = this.#codes.get(form.get('code'));
    this.#codes.delete(form.get('code'));
    const proved = grant && challengeOf(form.get('code_verifier') ?? '') === grant.challenge;
    if (!proved || form.get('redirect_uri') !== grant.target) return sendJson(res, { error: 'invalid_grant' }, 400);
    if ((form.get('resource') ?? null) !== grant.resource) return sendJson(res, { error: 'invalid_target' }, 400);
    return this.#issue(res, grant);
  }

  #issue(res, grant) {
    const [access, refresh] = [randomUUID(), randomUUID()];
    this.#tokens.set(access, { ...grant, expires: Date.now() + LIFETIME_SECONDS * 1000 });
    this.#refresh.set(refresh, grant);
    this.stats.issued += 1;
    this.stats.resources.push(grant.resource);
    sendJson(res, { access_token: access, token_type: 'Bearer', expires_in: LIFETIME_SECONDS, refresh_token: refresh, scope: grant.scope ?? 'mcp' });
  }
}
