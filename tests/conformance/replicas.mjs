#!/usr/bin/env node
// Starts replicas of one kind of server on free ports.
//
//   node replicas.mjs --kind ts|ts-any-host|py|everything [--count 3] [--cache-ttl MS]
//
// Prints one line of JSON, {"kind":…,"replicas":[{"name":…,"url":…,"pid":…}]},
// and stops all of them when stdin closes or on SIGTERM.
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { accepts, freePort, HERE, nodeBinary, start, stop, waitFor } from './processes.mjs';

const EVERYTHING = join('node_modules', '@modelcontextprotocol', 'server-everything');

// Both fixtures choose their own port and print where they listen.
async function startFixture(name, command, args) {
  let url;
  const child = start(command, [...args, '--port', '0', '--name', name], {
    onLine: (line) => (url ??= line.match(/^listening (http:\S+)$/)?.[1]),
  });
  await waitFor(child, () => url, { what: name });
  return { name, url, pid: child.pid, child };
}

async function startEverything(name) {
  const port = await freePort();
  const entry = join(HERE, EVERYTHING, 'dist', 'index.js');
  const child = start(nodeBinary(), [entry, 'streamableHttp'], { env: { PORT: String(port) } });
  await waitFor(child, () => accepts(port), { what: name });
  return { name, url: `http://127.0.0.1:${port}/mcp`, pid: child.pid, child };
}

function startOne(kind, name, { cacheTtl }) {
  switch (kind) {
    case 'ts':
      return startFixture(name, nodeBinary(), ['server-ts.mjs', '--cache-ttl', String(cacheTtl)]);
    case 'ts-any-host':
      return startFixture(name, nodeBinary(), ['server-ts.mjs', '--any-host']);
    case 'py':
      return startFixture(name, join(HERE, '.venv', 'bin', 'python'), ['server-py.py']);
    case 'everything':
      return startEverything(name);
    default:
      throw new Error(`unknown kind of server: ${kind}`);
  }
}

export async function startReplicas(kind, count, { cacheTtl = 0, prefix = kind } = {}) {
  const names = Array.from({ length: count }, (_, at) => `${prefix}-${at + 1}`);
  return Promise.all(names.map((name) => startOne(kind, name, { cacheTtl })));
}

export const stopReplicas = (replicas) => Promise.all(replicas.map(({ child }) => stop(child)));

async function main() {
  const { values } = parseArgs({
    options: {
      kind: { type: 'string', default: 'ts' },
      count: { type: 'string', default: '3' },
      'cache-ttl': { type: 'string', default: '0' },
    },
  });
  const replicas = await startReplicas(values.kind, Number(values.count), {
    cacheTtl: Number(values['cache-ttl']),
  });
  const shown = replicas.map(({ name, url, pid }) => ({ name, url, pid }));
  console.log(JSON.stringify({ kind: values.kind, replicas: shown }));
  process.stdin.resume();
  process.stdin.once('end', async () => {
    await stopReplicas(replicas);
    process.exit(0);
  });
}

if (process.argv[1] && resolve(process.argv[1]) === join(HERE, 'replicas.mjs')) await main();
