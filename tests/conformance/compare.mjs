#!/usr/bin/env node
// Compares a direct run with one through Moorline: what passed directly must
// pass through, with no fewer checks.
//
//   node compare.mjs direct.json through.json
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { HERE } from './processes.mjs';

function verdict(direct, through) {
  if (!direct.pass) return 'not required';
  if (!through) return 'MISSING';
  if (!through.pass) return 'FAILS THROUGH';
  if (through.passed < direct.passed || through.total < direct.total) return 'FEWER CHECKS';
  return 'ok';
}

// One row for each scenario of the direct run.
export function compareRuns(direct, through) {
  const byName = new Map(through.scenarios.map((scenario) => [scenario.name, scenario]));
  return direct.scenarios.map((scenario) => {
    const other = byName.get(scenario.name);
    return { name: scenario.name, direct: scenario, through: other, verdict: verdict(scenario, other) };
  });
}

export const isRegression = ({ verdict: said }) => said !== 'ok' && said !== 'not required';

const figures = (scenario) => (scenario ? `${scenario.passed}/${scenario.total}` : '-');

export function table(rows) {
  const width = Math.max(...rows.map(({ name }) => name.length));
  const line = (name, direct, through, said) =>
    `${name.padEnd(width)}  ${direct.padStart(7)}  ${through.padStart(7)}  ${said}`;
  const lines = [line('scenario', 'direct', 'through', 'verdict')];
  for (const row of rows) {
    lines.push(line(row.name, figures(row.direct), figures(row.through), row.verdict));
    if (!isRegression(row)) continue;
    for (const problem of row.through?.problems ?? []) lines.push(`    ${problem}`);
  }
  return lines.join('\n');
}

async function main() {
  const [directFile, throughFile] = process.argv.slice(2);
  if (!directFile || !throughFile) {
    console.error('usage: node compare.mjs direct.json through.json');
    process.exit(2);
  }
  const read = async (file) => JSON.parse(await readFile(file, 'utf8'));
  const rows = compareRuns(await read(directFile), await read(throughFile));
  console.log(table(rows));
  process.exit(rows.some(isRegression) ? 1 : 0);
}

if (process.argv[1] && resolve(process.argv[1]) === join(HERE, 'compare.mjs')) await main();
