// Owns: what became of a request, in words that are the same for every SDK.
//
//   rpc_error   the client saw a JSON-RPC error (`code`, `data`)
//   http_error  the client saw an HTTP status (`status`)
//   hang        nothing came before the deadline
//   cancelled   the driver itself cancelled it
//   network     the connection failed or broke
//   died        the whole client session is torn down
//   error       anything else (`name`)

export class Hang extends Error {}

/** Settles with `promise`, or with a `Hang` after `ms`. */
export function within(ms, promise, what = 'nothing came') {
  let timer;
  const deadline = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Hang(`${what} within ${ms} ms`)), ms);
  });
  return Promise.race([promise, deadline]).finally(() => clearTimeout(timer));
}

function isTimeout(error) {
  return error instanceof Hang || error?.code === 'REQUEST_TIMEOUT' || (error?.code === -32001 && error?.data?.timeout !== undefined);
}

/** Describes a rejection of the SDK's; `cancelled` says that the driver had aborted it. */
export function describe(error, cancelled = false) {
  const message = String(error?.message ?? error).slice(0, 500);
  const name = error?.constructor?.name ?? typeof error;
  if (cancelled) return { outcome: 'cancelled', name, message };
  if (isTimeout(error)) return { outcome: 'hang', name, message };
  if (name === 'UnauthorizedError') return { outcome: 'http_error', status: 401, name, message };
  if (name === 'StreamableHTTPError') return { outcome: 'http_error', status: error.code, name, message };
  if (error?.data?.status !== undefined && typeof error.code === 'string') {
    return { outcome: 'http_error', status: error.data.status, name, message };
  }
  if (error?.code === 'CONNECTION_CLOSED' || error?.code === 'NOT_CONNECTED') return { outcome: 'died', name, message };
  if (typeof error?.code === 'number') return { outcome: 'rpc_error', code: error.code, data: error.data ?? null, name, message };
  if (error instanceof TypeError) return { outcome: 'network', name, message: `${message}: ${error.cause?.code ?? error.cause ?? ''}` };
  return { outcome: 'error', name, message };
}
