// Owns: one whole session of a TypeScript client against the fixture server, as named checks.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { readArgs, readHeaders } from './args.mjs';
import { SdkClient } from './client-ts.mjs';
import { describe, within } from './outcome.mjs';

const DEADLINE = 10_000;
const COUNTER = 'demo://counter';
const UPDATED = 'notifications/resources/updated';
const PROGRESS = 'notifications/progress';

const textOf = (result) => result.content?.[0]?.text;

function expect(condition, detail) {
  if (!condition) throw new Error(detail);
}

async function count(client, method, least) {
  await within(DEADLINE, client.recorder.until(() => client.recorder.count(method) >= least), `fewer than ${least} of ${method}`);
  return client.recorder.count(method);
}

async function say(client, name, args, options = {}) {
  return textOf(await client.call(name, args, { timeout: DEADLINE, ...options }));
}

const COMMON = {
  async tools_list(client) {
    const { tools } = await client.list('tools', { timeout: DEADLINE });
    expect(tools.some((tool) => tool.name === 'whoami'), 'whoami is not listed');
    return `${tools.length} tools`;
  },
  async tool(client) {
    return say(client, 'whoami');
  },
  async tool_error(client) {
    const outcome = await client.call('no-such-tool', {}, { timeout: DEADLINE }).catch((error) => error);
    expect(outcome?.isError === true || typeof outcome?.code === 'number', `unexpected: ${JSON.stringify(outcome)}`);
    return say(client, 'whoami');
  },
  async progress(client) {
    const before = client.recorder.count(PROGRESS);
    const answer = await say(client, 'slow', { steps: 4, ms: 30 }, { progress: true });
    const got = client.recorder.count(PROGRESS) - before;
    expect(got === 4, `${got} of 4 progress notifications`);
    return answer;
  },
  async elicitation(client) {
    const answer = await say(client, 'elicit');
    expect(JSON.parse(answer).content?.name === 'Moor' && client.asked.elicit === 1, answer);
    return answer;
  },
  async sampling(client) {
    const answer = await say(client, 'sample');
    expect(answer.includes('moor') && client.asked.sample === 1, answer);
    return answer;
  },
  async log_level(client) {
    await client.setLevel('warning', { timeout: DEADLINE });
    await say(client, 'log');
    await count(client, 'notifications/message', 2);
    const levels = client.recorder.seen().last.filter((n) => n.method === 'notifications/message').map((n) => n.params.level);
    expect(levels.join() === 'warning,error', levels.join());
    return levels.join();
  },
  async resource(client) {
    const { contents } = await client.read(COUNTER, { timeout: DEADLINE });
    return `${contents[0].uri} is ${contents[0].text}`;
  },
  async subscription(client) {
    const before = client.recorder.count(UPDATED);
    await client.subscribe(COUNTER, { timeout: DEADLINE });
    for (let at = 1; at <= 3; at += 1) {
      await say(client, 'touch');
      await count(client, UPDATED, before + at);
    }
    return `${client.recorder.count(UPDATED) - before} updates`;
  },
  async cancellation(client) {
    const label = randomUUID();
    const abort = new AbortController();
    const before = client.recorder.count(PROGRESS);
    const call = client.call('slow', { steps: 200, ms: 50, label }, { timeout: DEADLINE, signal: abort.signal, progress: true });
    const ended = call.then(() => 'answered', () => 'cancelled');
    await count(client, PROGRESS, before + 1);
    abort.abort('enough');
    expect((await within(DEADLINE, ended)) === 'cancelled', 'the cancelled call was answered');
    while ((await say(client, 'cancelled', { label })) !== '1') await sleep(20);
    return 'the server stopped';
  },
};

async function resumesOf(client) {
  return client.recorder.exchanges.filter((e) => e.http === 'GET' && e.last_event_id !== null).length;
}

// After a JSON-RPC error on a stream with event ids, SDK v1 opens needless GET streams for about a second.
// One of them can take the place of a notification stream that is just being resumed (the server then answers
// 409 to the real one), with no gateway in between; so in a legacy session errors come last.
const { tool_error: toolError, ...WITHOUT_ERRORS } = COMMON;

const LEGACY = {
  async stream(client) {
    const exchange = await client.stream(DEADLINE);
    expect(exchange.status === 200, `status ${exchange.status}`);
    return `GET ${exchange.status}`;
  },
  ...WITHOUT_ERRORS,
  async session_state(client) {
    const counts = [await say(client, 'count'), await say(client, 'count')];
    expect(counts.join() === '1,2', counts.join());
    return counts.join();
  },
  async ping(client) {
    await client.ping({ timeout: DEADLINE });
    return 'pong';
  },
  async resume_call(client) {
    const [resumes, before] = [await resumesOf(client), client.recorder.count(PROGRESS)];
    const answer = await say(client, 'drop', {}, { progress: true });
    const got = client.recorder.count(PROGRESS) - before;
    expect(answer === 'resumed', answer);
    expect(got === 2, `${got} of 2 progress notifications`);
    expect((await resumesOf(client)) > resumes, 'no GET with Last-Event-ID');
    return answer;
  },
  async resume_stream(client) {
    const [resumes, before] = [await resumesOf(client), client.recorder.count(UPDATED)];
    await say(client, 'drop_stream');
    await count(client, UPDATED, before + 1);
    expect((await resumesOf(client)) > resumes, 'no GET with Last-Event-ID');
    await say(client, 'touch');
    const got = (await count(client, UPDATED, before + 2)) - before;
    expect(got === 2, `${got} updates of 2`);
    return 'the update made meanwhile arrived once';
  },
  async unsubscribe(client) {
    const before = client.recorder.count(UPDATED);
    await client.unsubscribe(COUNTER, { timeout: DEADLINE });
    await say(client, 'touch');
    await say(client, 'whoami');
    expect(client.recorder.count(UPDATED) === before, 'an update after unsubscribe');
    return 'no more updates';
  },
  tool_error: toolError,
  async delete(client, { url, headers }) {
    const { session, version } = client.facts();
    await client.terminate();
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...headers, 'mcp-session-id': session, 'mcp-protocol-version': version, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }),
    });
    await response.body?.cancel();
    expect(response.status === 404, `status ${response.status} for the ended session`);
    return 'the session is gone';
  },
};

const MODERN = {
  ...COMMON,
  async listen_close(client) {
    const before = client.recorder.count(UPDATED);
    await client.unsubscribe(COUNTER);
    await say(client, 'touch');
    await say(client, 'whoami');
    expect(client.recorder.count(UPDATED) === before, 'an update after the stream was closed');
    return 'no more updates';
  },
  async no_session(client) {
    const carried = client.recorder.exchanges.filter((e) => e.session !== null).length;
    expect(carried === 0, `${carried} requests carried a session id`);
    return 'no session id anywhere';
  },
};

async function run(name, work, checks) {
  const started = Date.now();
  try {
    const detail = await within(3 * DEADLINE, work());
    checks.push({ name, ok: true, ms: Date.now() - started, detail });
  } catch (error) {
    const { outcome, message } = describe(error);
    checks.push({ name, ok: false, ms: Date.now() - started, detail: `${outcome}: ${message}` });
  }
  return checks.at(-1).ok;
}

/** Runs the session that the command line asks for, prints its JSON object, and exits. */
export async function main(sdk) {
  const options = readArgs({ url: '', era: 'legacy' }, ['header']);
  const headers = readHeaders(options.header);
  const client = new SdkClient({ sdk, era: options.era, url: options.url, headers });
  const checks = [];
  const connected = await run('connect', async () => {
    await client.connect(DEADLINE);
    const { session, version } = client.facts();
    expect(options.era === 'legacy' ? session !== null : version === '2026-07-28', JSON.stringify(client.facts()));
    return version;
  }, checks);
  if (connected) {
    for (const [name, check] of Object.entries(options.era === 'legacy' ? LEGACY : MODERN)) {
      await run(name, () => check(client, { url: options.url, headers }), checks);
    }
  }
  console.log(JSON.stringify({ client: client.name, ok: checks.every((c) => c.ok), checks, errors: client.recorder.errors }));
  process.exit(checks.every((c) => c.ok) ? 0 : 1);
}
