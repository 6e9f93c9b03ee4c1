// Owns: steering one TypeScript client by JSON lines: a command a line in, a result a line out (see README.md).
//
//   node driver-ts.mjs --url URL --sdk 1|2 [--era legacy|modern|auto] [--header 'name: value']... [--wait]

import { createInterface } from 'node:readline';
import { readArgs, readHeaders } from './lib/args.mjs';
import { SdkClient } from './lib/client-ts.mjs';
import { describe, within } from './lib/outcome.mjs';

const options = readArgs({ url: '', sdk: '2', era: 'legacy', timeout: '10000', wait: false }, ['header']);
const GRACE = 1000;

let client;
const running = new Map();

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** Runs one request under a deadline and words its outcome. */
async function attempt(work, timeout, signal) {
  const started = Date.now();
  try {
    const result = await within(timeout + GRACE, work());
    return { ok: true, ms: Date.now() - started, result: result ?? {} };
  } catch (error) {
    return { ok: false, ms: Date.now() - started, ...describe(error, signal?.aborted) };
  }
}

async function connect({ url, headers } = {}) {
  client = new SdkClient({
    sdk: options.sdk,
    era: options.era,
    url: url ?? options.url,
    headers: headers ?? readHeaders(options.header),
  });
  const timeout = Number(options.timeout);
  const outcome = await attempt(() => client.connect(timeout), timeout);
  return outcome.ok ? { ...outcome, result: client.facts() } : outcome;
}

async function close() {
  await client.close();
  return {};
}

async function waitFor({ method, count = 1 }, timeout) {
  await within(timeout, client.recorder.until(() => client.recorder.count(method) >= count), `fewer than ${count} of ${method}`);
  return { count: client.recorder.count(method) };
}

async function openStream(filter, timeout) {
  const modern = client.facts().session === null && options.era !== 'legacy';
  if (modern) return client.listen(filter === true ? { toolsListChanged: true } : filter, { timeout });
  return client.stream(timeout);
}

// Each verb is a key of the command; its value is the verb's operand.
const VERBS = {
  call: (name, command, limits) => client.call(name, command.arguments, { ...limits, progress: command.progress, meta: command.meta }),
  list: (kind, _command, limits) => client.list(kind, limits),
  read: (uri, _command, limits) => client.read(uri, limits),
  ping: (_value, _command, limits) => client.ping(limits),
  raw: ({ method, params }, _command, limits) => client.request(method, params, limits),
  notify: ({ method, params }) => client.notify(method, params),
  subscribe: (uri, _command, limits) => client.subscribe(uri, limits),
  unsubscribe: (uri, _command, limits) => client.unsubscribe(uri, limits),
  log_level: (level, _command, limits) => client.setLevel(level, limits),
  open_stream: (filter, _command, { timeout }) => openStream(filter, timeout),
  wait: (what, _command, { timeout }) => waitFor(what, timeout),
  terminate: () => client.terminate(),
  close,
  seen: () => ({ ...client.recorder.seen(), asked: client.asked, streams: client.streams() }),
  http: () => client.recorder.exchanges,
  session: () => client.facts(),
};

function start(verb, command) {
  const timeout = command.timeout_ms ?? Number(options.timeout);
  const abort = new AbortController();
  const limits = { timeout, signal: abort.signal };
  return { abort, done: attempt(async () => VERBS[verb](command[verb], command, limits), timeout, abort.signal) };
}

async function obey(command) {
  if ('connect' in command) return connect(command.connect === true ? {} : command.connect);
  if ('await' in command) {
    const task = running.get(command.await);
    if (!task) throw new Error(`no such id: ${command.await}`);
    running.delete(command.await);
    return task.done;
  }
  if ('cancel' in command) {
    const task = running.get(command.cancel);
    if (!task) throw new Error(`no such id: ${command.cancel}`);
    task.abort.abort('cancelled by the driver');
    return { ok: true, ms: 0, result: {} };
  }
  const verb = Object.keys(VERBS).find((name) => name in command);
  if (!verb) throw new Error(`no such command; there are connect, await, cancel, ${Object.keys(VERBS).join(', ')}`);
  if (!client) throw new Error('not connected');
  const task = start(verb, command);
  if (command.id === undefined) return task.done;
  running.set(command.id, task);
  return { ok: true, ms: 0, started: command.id };
}

if (!options.wait) say({ ready: true, ...(await connect()) });
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === '') continue;
  try {
    say(await obey(JSON.parse(line)));
  } catch (error) {
    say({ ok: false, ms: 0, outcome: 'bad_command', message: String(error.message) });
  }
}
process.exit(0);
