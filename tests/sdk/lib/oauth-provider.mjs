// Owns: an OAuth client provider for the TypeScript SDKs that needs no browser: where a person would
// be sent to the authorization server, it follows the redirects itself and keeps the answer.

const CALLBACK = 'http://127.0.0.1:9/callback';
const MOST_HOPS = 10;

function keepCookie(cookies, set) {
  const [pair, ...attributes] = set.split(';');
  const [name, value] = pair.split(/=(.*)/s);
  const gone = attributes.some((attribute) => /^\s*expires=Thu, 01 Jan 1970/i.test(attribute));
  if (gone) cookies.delete(name);
  else cookies.set(name, value);
}

export class HeadlessProvider {
  steps = [];
  answer = undefined;
  #kept = {};

  get redirectUrl() {
    return CALLBACK;
  }

  get clientMetadata() {
    return {
      client_name: 'moorline-sdk-driver',
      redirect_uris: [CALLBACK],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
  }

  state() {
    return 'state-of-the-driver';
  }

  clientInformation() {
    return this.#kept.client;
  }

  saveClientInformation(client) {
    this.#note('registered');
    this.#kept.client = client;
  }

  tokens() {
    return this.#kept.tokens;
  }

  saveTokens(tokens) {
    this.#note('token');
    this.#kept.tokens = tokens;
  }

  codeVerifier() {
    return this.#kept.verifier;
  }

  saveCodeVerifier(verifier) {
    this.#kept.verifier = verifier;
  }

  discoveryState() {
    return this.#kept.discovery;
  }

  saveDiscoveryState(state) {
    this.#kept.discovery = state;
    this.#note('discovered', { resource: state.resourceMetadata?.resource, issuer: state.authorizationServerUrl });
  }

  /** Goes where a browser would: through login and consent, with the cookies that are set on the way, until it is sent back. */
  async redirectToAuthorization(url) {
    const cookies = new Map();
    let next = new URL(url);
    for (let hops = 0; hops < MOST_HOPS; hops += 1) {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const response = await fetch(next, { redirect: 'manual', headers: cookie ? { cookie } : {} });
      await response.body?.cancel();
      for (const set of response.headers.getSetCookie()) keepCookie(cookies, set);
      const to = response.headers.get('location');
      if (![302, 303].includes(response.status) || !to) throw new Error(`no consent: HTTP ${response.status} at ${next.pathname}`);
      if (to.startsWith(CALLBACK)) {
        this.answer = new URL(to).searchParams;
        this.#note('authorized', { resource: url.searchParams.get('resource'), scope: url.searchParams.get('scope') });
        return;
      }
      next = new URL(to, next);
    }
    throw new Error('no consent: sent from one page to the next');
  }

  #note(step, detail = {}) {
    this.steps.push({ step, ...detail });
  }
}
