// Owns: what a TypeScript client did on the wire and what it was notified of.

const KEEP = 100;

function rpcMethod(init) {
  if (typeof init?.body !== 'string') return null;
  try {
    const body = JSON.parse(init.body);
    return body.method ?? 'response';
  } catch {
    return null;
  }
}

export class Recorder {
  exchanges = [];
  errors = [];
  #counts = {};
  #last = [];
  #waiters = new Set();
  #started = Date.now();

  /** A `fetch` that notes method, status and the headers that matter to a gateway. */
  fetch = async (url, init) => {
    const headers = new Headers(init?.headers);
    const exchange = {
      at: Date.now() - this.#started,
      http: init?.method ?? 'GET',
      origin: new URL(url).origin,
      path: new URL(url).pathname,
      rpc: rpcMethod(init),
      session: headers.get('mcp-session-id'),
      last_event_id: headers.get('last-event-id'),
      status: null,
    };
    this.exchanges.push(exchange);
    try {
      const response = await fetch(url, init);
      exchange.status = response.status;
      exchange.type = response.headers.get('content-type');
      exchange.ms = Date.now() - this.#started - exchange.at;
      return response;
    } catch (error) {
      exchange.error = String(error.cause?.code ?? error);
      throw error;
    } finally {
      this.#wake();
    }
  };

  notified(notification) {
    this.#counts[notification.method] = (this.#counts[notification.method] ?? 0) + 1;
    this.#last.push({ method: notification.method, params: notification.params ?? {} });
    if (this.#last.length > KEEP) this.#last.shift();
    this.#wake();
  }

  seen() {
    return { counts: { ...this.#counts }, last: [...this.#last], errors: this.errors.slice(-20) };
  }

  count(method) {
    return this.#counts[method] ?? 0;
  }

  /** Resolves once `ready()` is true; it is asked after every notification and exchange. */
  until(ready) {
    if (ready()) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.add({ ready, resolve }));
  }

  #wake() {
    for (const waiter of this.#waiters) {
      if (!waiter.ready()) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}
