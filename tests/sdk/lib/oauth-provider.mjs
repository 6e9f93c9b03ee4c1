// Owns: an OAuth client provider for the TypeScript SDKs that needs no browser: where a person would
// be sent to the authorization server, it follows the redirect itself and keeps the answer.

const CALLBACK = 'http://127.0.0.1:9/callback';

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

  async redirectToAuthorization(url) {
    const response = await fetch(url, { redirect: 'manual' });
    await response.body?.cancel();
    const back = response.headers.get('location');
    if (response.status !== 302 || !back?.startsWith(CALLBACK)) throw new Error(`no consent: HTTP ${response.status}`);
    this.answer = new URL(back).searchParams;
    this.#note('authorized', { resource: url.searchParams.get('resource') });
  }

  #note(step, detail = {}) {
    this.steps.push({ step, ...detail });
  }
}
