// Owns: one face for the official TypeScript clients, v1 and v2, legacy and modern.
// It refuses to retry or repair anything: what the SDK does is what a caller sees.

import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CreateMessageRequestSchema, ElicitRequestSchema, ResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { Client as ClientV2, LOG_LEVEL_META_KEY, StreamableHTTPClientTransport as TransportV2 } from '@modelcontextprotocol/client';
import { z } from 'zod';
import { Recorder } from './recorder.mjs';
import { within } from './outcome.mjs';

const INFO = { name: 'moorline-sdk-driver', version: '1.0.0' };
const CAPABILITIES = { elicitation: {}, sampling: {} };
const MODERN = '2026-07-28';
const ANY_RESULT = z.looseObject({});
const LISTS = { tools: 'listTools', resources: 'listResources', prompts: 'listPrompts', templates: 'listResourceTemplates' };

export class SdkClient {
  recorder = new Recorder();
  asked = { elicit: 0, sample: 0 };
  closed = false;
  #level;
  #listens = [];

  constructor({ sdk, era, url, headers = {}, authProvider }) {
    if (!['1', '2'].includes(sdk)) throw new Error('--sdk is 1 or 2');
    if (era === 'modern' && sdk === '1') throw new Error('TypeScript SDK v1 is legacy only');
    this.sdk = sdk;
    this.era = era;
    this.name = `ts${sdk}-${era}`;
    const options = { fetch: this.recorder.fetch, requestInit: { headers }, authProvider };
    this.transport = sdk === '1' ? new TransportV1(new URL(url), options) : new TransportV2(new URL(url), options);
    this.client = sdk === '1' ? new ClientV1(INFO, { capabilities: CAPABILITIES }) : new ClientV2(INFO, this.#optionsV2());
    this.#handle();
  }

  // `auto` is what an application that knows nothing of its server would set; `modern` insists.
  #optionsV2() {
    const mode = { legacy: 'legacy', modern: { pin: MODERN }, auto: 'auto' }[this.era];
    if (mode === undefined) throw new Error('--era is legacy, modern or auto');
    return { capabilities: CAPABILITIES, versionNegotiation: { mode } };
  }

  #handle() {
    const elicit = () => {
      this.asked.elicit += 1;
      return { action: 'accept', content: { name: 'Moor' } };
    };
    const sample = () => {
      this.asked.sample += 1;
      return { model: 'driver', role: 'assistant', content: { type: 'text', text: 'moor' } };
    };
    this.client.setRequestHandler(this.sdk === '1' ? ElicitRequestSchema : 'elicitation/create', elicit);
    this.client.setRequestHandler(this.sdk === '1' ? CreateMessageRequestSchema : 'sampling/createMessage', sample);
    this.client.fallbackNotificationHandler = async (notification) => this.recorder.notified(notification);
    this.client.onerror = (error) => this.recorder.errors.push(String(error.message).slice(0, 300));
    this.client.onclose = () => {
      this.closed = true;
    };
  }

  async connect(timeout) {
    await this.client.connect(this.transport, { timeout });
  }

  facts() {
    const version = this.sdk === '1' ? this.transport.protocolVersion : this.client.getNegotiatedProtocolVersion();
    return { client: this.name, session: this.transport.sessionId ?? null, version: version ?? null, closed: this.closed };
  }

  /** Calls a tool; progress notifications are counted like any other. */
  call(name, args = {}, { timeout, signal, progress, meta } = {}) {
    const params = { name, arguments: args };
    const envelope = { ...meta };
    if (this.#level && this.#isModern()) envelope[LOG_LEVEL_META_KEY] = this.#level;
    if (Object.keys(envelope).length > 0) params._meta = envelope;
    const options = { timeout, signal };
    if (progress) options.onprogress = (p) => this.recorder.notified({ method: 'notifications/progress', params: p });
    return this.sdk === '1' ? this.client.callTool(params, undefined, options) : this.client.callTool(params, options);
  }

  list(kind, options) {
    if (!(kind in LISTS)) throw new Error(`nothing to list: ${kind}`);
    return this.client[LISTS[kind]]({}, options);
  }

  read(uri, options) {
    return this.client.readResource({ uri }, options);
  }

  ping(options) {
    return this.client.ping(options);
  }

  request(method, params, options) {
    return this.client.request({ method, params }, this.sdk === '1' ? ResultSchema : ANY_RESULT, options);
  }

  notify(method, params) {
    return this.client.notification({ method, params });
  }

  /** Legacy: `resources/subscribe`. Modern: a `subscriptions/listen` stream of its own. */
  subscribe(uri, options) {
    if (this.#isModern()) return this.listen({ resourceSubscriptions: [uri] }, options);
    return this.client.subscribeResource({ uri }, options);
  }

  async unsubscribe(uri, options) {
    if (!this.#isModern()) return this.client.unsubscribeResource({ uri }, options);
    await Promise.all(this.#listens.map(({ subscription }) => subscription.close()));
    this.#listens = [];
    return {};
  }

  async listen(filter, options) {
    const subscription = await this.client.listen(filter, options);
    const listen = { subscription, ended: null };
    subscription.closed.then((how) => {
      listen.ended = how;
    });
    this.#listens.push(listen);
    return { honored: subscription.honoredFilter, open: this.streams() };
  }

  /** One entry per `subscriptions/listen`: null while it is open, else how it ended. */
  streams() {
    return this.#listens.map(({ ended }) => ended);
  }

  /** Waits until the notification stream (GET) has been answered; resolves with its exchange. */
  async stream(timeout) {
    const answered = () => this.recorder.exchanges.findLast((e) => e.http === 'GET' && (e.status !== null || e.error));
    await within(timeout, this.recorder.until(() => Boolean(answered())), 'no notification stream');
    return answered();
  }

  async setLevel(level, options) {
    this.#level = level;
    if (this.#isModern()) return {};
    return this.client.setLoggingLevel(level, options);
  }

  terminate() {
    return this.transport.terminateSession();
  }

  close() {
    return this.client.close();
  }

  #isModern() {
    return this.sdk === '2' && this.client.getProtocolEra() === 'modern';
  }
}
