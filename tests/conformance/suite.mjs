// Runs the official suite's server scenarios against one URL, in one process of
// the suite, and reads the checks that it leaves behind.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HERE, nodeBinary, start } from './processes.mjs';

const SUITE = join(HERE, 'node_modules', '@modelcontextprotocol', 'conformance', 'dist', 'index.js');
const COUNTED = { SUCCESS: 'passed', FAILURE: 'failed', WARNING: 'warnings' };

function summary(name, checks) {
  const scenario = { name, pass: false, passed: 0, failed: 0, warnings: 0, total: checks.length };
  for (const { status } of checks) {
    if (COUNTED[status]) scenario[COUNTED[status]] += 1;
  }
  // The suite's own rule, but a scenario that checked nothing has not passed.
  scenario.pass = scenario.failed === 0 && scenario.passed > 0;
  scenario.problems = checks
    .filter(({ status }) => status === 'FAILURE' || status === 'WARNING')
    .map(({ id, status, errorMessage }) => `${status} ${id}: ${errorMessage ?? ''}`);
  return scenario;
}

async function readChecks(directory, name) {
  const prefix = `server-${name}-2`;
  const found = (await readdir(directory)).find((entry) => entry.startsWith(prefix));
  if (!found) return [];
  try {
    return JSON.parse(await readFile(join(directory, found, 'checks.json'), 'utf8'));
  } catch {
    return [];
  }
}

// `scenario` narrows the run to one; `onScenario` hears each name as it starts.
export async function runSuite({ url, spec, scenario, timeoutMs = 30_000, onScenario }) {
  const directory = await mkdtemp(join(tmpdir(), 'moorline-conformance-'));
  const names = scenario ? [scenario] : [];
  const which = scenario ? ['--scenario', scenario] : ['--suite', 'all'];
  const args = [SUITE, 'server', '--url', url, '--spec-version', spec, ...which];
  const child = start(nodeBinary(), [...args, '-o', directory, '--timeout', String(timeoutMs)], {
    onLine: (line) => {
      const name = line.match(/^=== Running scenario: (\S+) ===$/)?.[1];
      if (!name) return;
      names.push(name);
      onScenario?.(name);
    },
  });
  try {
    await child.ended;
    if (names.length === 0) throw new Error(`the suite ran nothing:\n${child.tail.join('\n')}`);
    const scenarios = [];
    for (const name of names) scenarios.push(summary(name, await readChecks(directory, name)));
    return { url, spec, scenarios };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export const passedCount = ({ scenarios }) => scenarios.filter(({ pass }) => pass).length;
