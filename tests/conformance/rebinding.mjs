// The suite's scenario for DNS rebinding, with a server that takes any Host and
// Origin: it fails directly, and must pass through Moorline.
import { startReplicas, stopReplicas } from './replicas.mjs';
import { runSuite } from './suite.mjs';

const SCENARIO = 'dns-rebinding-protection';
const SPECS = ['2025-11-25', '2026-07-28'];

async function passes(url, spec) {
  const { scenarios } = await runSuite({ url, spec, scenario: SCENARIO });
  const [scenario] = scenarios;
  if (!scenario || scenario.total === 0) throw new Error(`${SCENARIO} checked nothing at ${spec}`);
  return scenario;
}

// How many revisions hold; `startMoorline` starts an instance in front of replicas.
export async function proveRebinding(startMoorline) {
  const counts = { passed: 0, failed: 0 };
  const replicas = await startReplicas('ts-any-host', 2);
  let moorline;
  try {
    moorline = await startMoorline(replicas);
    for (const spec of SPECS) {
      const direct = await passes(replicas[0].url, spec);
      const through = await passes(moorline.url, spec);
      const holds = !direct.pass && through.pass;
      counts[holds ? 'passed' : 'failed'] += 1;
      const said = (scenario) => (scenario.pass ? 'passes' : 'fails');
      console.log(`any host ${spec}: ${SCENARIO} ${said(direct)} directly, ${said(through)} through`);
      for (const problem of holds ? [] : through.problems) console.log(`  ${problem}`);
    }
    return counts;
  } finally {
    if (moorline) await moorline.stop();
    await stopReplicas(replicas);
  }
}
