// Proves what other tests rely on beyond the suite: the tools that tell
// replicas apart, the notifications, and that signed state stays with its replica.
//
//   node --test fixtures.test.mjs
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { startReplicas, stopReplicas } from './replicas.mjs';

const MODERN = '2026-07-28';
const DEADLINE_MS = 5000;

const replicas = { ts: await startReplicas('ts', 2), py: await startReplicas('py', 1) };
const clients = [];
after(async () => {
  for (const client of clients) await client.close().catch(() => {});
  await Promise.all(Object.values(replicas).map(stopReplicas));
});

async function connect(url, mode = 'legacy') {
  const client = new Client(
    { name: 'fixtures-test', version: '1.0.0' },
    { capabilities: {}, versionNegotiation: { mode } },
  );
  client.heard = [];
  for (const method of ['notifications/resources/updated', 'notifications/tools/list_changed']) {
    client.setNotificationHandler(method, ({ params }) => {
      client.heard.push(params?.uri ?? method);
    });
  }
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  clients.push(client);
  return client;
}

async function call(client, name, args = {}, options = undefined) {
  const result = await client.callTool({ name, arguments: args }, options);
  return result.content[0].text;
}

async function hears(client, what) {
  const deadline = Date.now() + DEADLINE_MS;
  while (!client.heard.includes(what)) {
    assert.ok(Date.now() < deadline, `${what} did not arrive, only ${client.heard}`);
    await sleep(20);
  }
}

for (const kind of ['ts', 'py']) {
  test(`${kind}: a legacy session has its own counter, the process shares its marks`, async () => {
    const { url, name } = replicas[kind][0];
    const [one, two] = [await connect(url), await connect(url)];
    assert.equal(await call(one, 'whoami'), name);
    assert.equal(await call(one, 'count'), '1');
    assert.equal(await call(one, 'count'), '2');
    assert.equal(await call(two, 'count'), '1');
    const before = Number(await call(one, 'executions'));
    await call(one, 'mark');
    assert.equal(await call(two, 'executions'), String(before + 1));
    assert.equal(await call(two, 'echo', { text: 'hi' }), 'hi');
  });

  test(`${kind}: only a subscribed legacy session hears of touch`, async () => {
    const { url } = replicas[kind][0];
    const [subscribed, other] = [await connect(url), await connect(url)];
    await subscribed.subscribeResource({ uri: 'test://watched' });
    await call(other, 'touch');
    await hears(subscribed, 'test://watched');
    await call(other, 'list_change');
    await hears(subscribed, 'notifications/tools/list_changed');
    await hears(other, 'notifications/tools/list_changed');
    assert.ok(!other.heard.includes('test://watched'));
  });

  test(`${kind}: slow reports each step`, async () => {
    const client = await connect(replicas[kind][0].url);
    const seen = [];
    const onprogress = ({ progress }) => seen.push(progress);
    const answer = await call(client, 'slow', { steps: 3, ms: 10 }, { onprogress });
    assert.equal(answer, 'done after 3 steps');
    assert.deepEqual(seen, [1, 2, 3]);
  });
}

test('ts: a modern listen stream hears of touch and list_change', async () => {
  const client = await connect(replicas.ts[0].url, { pin: MODERN });
  await client.listen({ toolsListChanged: true, resourceSubscriptions: ['test://watched'] });
  await call(client, 'touch');
  await hears(client, 'test://watched');
  await call(client, 'list_change');
  await hears(client, 'notifications/tools/list_changed');
});

test('ts: state signed by one replica is refused by the other', async () => {
  const [first, second] = await Promise.all(
    replicas.ts.map(({ url }) => connect(url, { pin: MODERN })),
  );
  const name = 'test_input_required_result_request_state';
  const capabilities = { elicitation: {} };
  const params = (more) => ({
    name,
    arguments: {},
    _meta: { 'io.modelcontextprotocol/clientCapabilities': capabilities },
    ...more,
  });
  const asked = await first.callTool(params(), { allowInputRequired: true });
  assert.equal(asked.resultType, 'input_required');
  const answer = params({
    inputResponses: { confirm: { action: 'accept', content: { ok: true } } },
    requestState: asked.requestState,
  });
  await assert.rejects(second.callTool(answer), /requestState/);
  const result = await first.callTool(answer);
  assert.match(result.content[0].text, /^state-ok by ts-1$/);
});
