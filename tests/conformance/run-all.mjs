#!/usr/bin/env node
// The whole proof: each server directly and through Moorline with three
// replicas behind it, at each revision of the protocol. `run-all.sh` installs
// what this needs and then starts it.
//
//   node run-all.mjs MOORLINE_BINARY [--only ts,py,everything] [--out DIRECTORY]
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { keepsOut, startBearer, writeIdentity } from './bearer.mjs';
import { compareRuns, isRegression, table } from './compare.mjs';
import { answersOk, freePort, start, stop, waitFor } from './processes.mjs';
import { proveRebinding } from './rebinding.mjs';
import { startReplicas, stopReplicas } from './replicas.mjs';
import { passedCount, runSuite } from './suite.mjs';

const KINDS = ['ts', 'py', 'everything'];
const SPECS = ['2025-06-18', '2025-11-25', '2026-07-28'];
const REPLICAS = 3;
// With whose servers the suite runs once more with tokens.
const KNOWN = 'ts';

// How many scenarios must pass directly; a fixture that decays must not go unnoticed.
const FLOOR = {
  'ts 2025-06-18': 27,
  'ts 2025-11-25': 33,
  'ts 2026-07-28': 40,
  'py 2025-06-18': 27,
  'py 2025-11-25': 33,
  'everything 2025-11-25': 11,
};

async function startMoorline(binary, replicas) {
  const [port, adminPort] = [await freePort(), await freePort()];
  const backends = replicas.flatMap(({ url }) => ['--backend', url]);
  const addresses = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`];
  const child = start(binary, ['serve', ...addresses, ...backends]);
  const ready = `http://127.0.0.1:${adminPort}/readyz`;
  await waitFor(child, () => answersOk(ready), { what: `${binary} (${ready})` });
  return { child, url: `http://127.0.0.1:${port}/mcp` };
}

// Runs every revision in its turn against one URL.
async function runSpecs(url, label) {
  const outcomes = [];
  for (const spec of SPECS) {
    const outcome = await runSuite({ url, spec });
    const { length } = outcome.scenarios;
    console.log(`${label} ${spec}: ${passedCount(outcome)} of ${length} scenarios passed`);
    outcomes.push(outcome);
  }
  return outcomes;
}

async function runDirect(kind) {
  const replicas = await startReplicas(kind, 1, { prefix: `${kind}-direct` });
  try {
    return await runSpecs(replicas[0].url, `${kind} direct `);
  } finally {
    await stopReplicas(replicas);
  }
}

async function runThrough(kind, binary) {
  const replicas = await startReplicas(kind, REPLICAS);
  let moorline;
  try {
    moorline = await startMoorline(binary, replicas);
    return await runSpecs(moorline.url, `${kind} through`);
  } finally {
    if (moorline) await stop(moorline.child);
    await stopReplicas(replicas);
  }
}

// The same with callers who must show a token.
async function runKnown(kind, binary) {
  const replicas = await startReplicas(kind, REPLICAS, { prefix: `${kind}-known` });
  const identity = await writeIdentity(replicas.map(({ url }) => url));
  let child;
  let bearer;
  try {
    const [port, adminPort] = [await freePort(), await freePort()];
    child = start(binary, ['serve', '--config', await identity.write(port, adminPort)]);
    const ready = `http://127.0.0.1:${adminPort}/readyz`;
    await waitFor(child, () => answersOk(ready), { what: `${binary} (${ready})` });
    const url = `http://127.0.0.1:${port}/mcp`;
    if (!(await keepsOut(url))) throw new Error('somebody without a token was let in');
    bearer = await startBearer(url, identity.token);
    return await runSpecs(bearer.url, `${kind} with tokens`);
  } finally {
    if (bearer) await bearer.stop();
    if (child) await stop(child);
    await stopReplicas(replicas);
    await identity.remove();
  }
}

function judge(kind, direct, through) {
  const counts = { passed: 0, failed: 0 };
  SPECS.forEach((spec, at) => {
    const rows = compareRuns(direct[at], through[at]);
    const required = rows.filter((row) => row.direct.pass);
    const failed = rows.filter(isRegression);
    counts.passed += required.length - failed.length;
    counts.failed += failed.length;
    if (failed.length > 0) console.log(`\n${kind} ${spec}\n${table(failed)}\n`);
    const floor = FLOOR[`${kind} ${spec}`] ?? 0;
    if (required.length < floor) {
      counts.failed += 1;
      console.log(`${kind} ${spec}: ${required.length} scenarios pass directly, not ${floor}:`);
      for (const { direct: scenario } of rows.filter((row) => !row.direct.pass)) {
        console.log(`  ${scenario.name}: ${scenario.problems.join('; ')}`);
      }
    }
  });
  return counts;
}

async function keep(directory, kind, runs) {
  if (!directory) return;
  await mkdir(directory, { recursive: true });
  for (const [label, outcomes] of Object.entries(runs)) {
    for (const outcome of outcomes) {
      const file = join(directory, `${kind}-${outcome.spec}-${label}.json`);
      await writeFile(file, `${JSON.stringify(outcome, null, 2)}\n`);
    }
  }
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { only: { type: 'string', default: KINDS.join(',') }, out: { type: 'string' } },
  });
  const [binary] = positionals;
  if (!binary) {
    console.error('usage: run-all.sh MOORLINE_BINARY [--only ts,py,everything] [--out DIRECTORY]');
    process.exit(2);
  }
  const total = { passed: 0, failed: 0 };
  for (const kind of values.only.split(',')) {
    // Two suites at a time: one direct, one through.
    const [direct, through] = await Promise.all([runDirect(kind), runThrough(kind, binary)]);
    await keep(values.out, kind, { direct, through });
    const counts = judge(kind, direct, through);
    total.passed += counts.passed;
    total.failed += counts.failed;
    if (kind === KNOWN) {
      const known = await runKnown(kind, binary);
      await keep(values.out, kind, { known });
      const counts = judge(`${kind} with tokens`, direct, known);
      total.passed += counts.passed;
      total.failed += counts.failed;
    }
  }
  const rebinding = await proveRebinding(async (replicas) => {
    const { child, url } = await startMoorline(binary, replicas);
    return { url, stop: () => stop(child) };
  });
  total.passed += rebinding.passed;
  total.failed += rebinding.failed;
  console.log(`conformance: ${total.passed} passed, ${total.failed} failed`);
  process.exit(total.failed === 0 ? 0 : 1);
}

main().catch((error) => {
  console.error(error.message);
  console.log('conformance: the run broke off');
  process.exit(1);
});
