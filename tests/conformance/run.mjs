#!/usr/bin/env node
// Runs the suite against one URL and writes the outcome as JSON.
//
//   node run.mjs --url URL --spec 2025-11-25 [--out results.json] [--scenario NAME]
//
// Exits with 1 if a scenario failed.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { passedCount, runSuite } from './suite.mjs';

const { values } = parseArgs({
  options: {
    url: { type: 'string' },
    spec: { type: 'string', default: '2025-11-25' },
    out: { type: 'string' },
    scenario: { type: 'string' },
    timeout: { type: 'string', default: '30000' },
  },
});
if (!values.url) {
  console.error('usage: node run.mjs --url URL [--spec VERSION] [--out FILE] [--scenario NAME]');
  process.exit(2);
}

const outcome = await runSuite({
  url: values.url,
  spec: values.spec,
  scenario: values.scenario,
  timeoutMs: Number(values.timeout),
  onScenario: (name) => process.stderr.write(`running ${name}\n`),
});
for (const { name, pass, passed, failed, total, problems } of outcome.scenarios) {
  console.log(`${pass ? 'pass' : 'FAIL'}  ${name}  ${passed} passed, ${failed} failed of ${total}`);
  for (const problem of problems) console.log(`      ${problem}`);
}
console.log(`${values.spec}: ${passedCount(outcome)} of ${outcome.scenarios.length} scenarios passed`);
if (values.out) await writeFile(values.out, `${JSON.stringify(outcome, null, 2)}\n`);
process.exit(passedCount(outcome) === outcome.scenarios.length ? 0 : 1);
