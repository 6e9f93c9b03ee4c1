// Starting and stopping child processes: which node to use, free ports, waiting
// until something answers, and nothing left behind at exit.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const HERE = dirname(fileURLToPath(import.meta.url));
const MINIMUM_NODE = 22;
const KILL_AFTER_MS = 3000;

// The suite needs Node 22; the npm package `node` brings it where the machine has less.
export function nodeBinary() {
  if (Number(process.versions.node.split('.')[0]) >= MINIMUM_NODE) return process.execPath;
  const packaged = join(HERE, 'node_modules', 'node', 'bin', 'node');
  if (existsSync(packaged)) return packaged;
  throw new Error(`Node ${process.version} is too old and ${packaged} is missing: run npm ci`);
}

// A port that was free a moment ago.
export async function freePort() {
  const probe = createServer();
  await new Promise((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', resolve);
  });
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

const alive = new Set();
// The last resort for whatever an error path left running.
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => process.exit(1));
}

// Starts a child and keeps the end of what it prints, for error messages.
export function start(command, args, { env = {}, onLine } = {}) {
  const child = spawn(command, args, {
    cwd: HERE,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.tail = [];
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        child.tail.push(line);
        if (child.tail.length > 40) child.tail.shift();
        onLine?.(line);
      }
    });
  }
  alive.add(child);
  child.ended = new Promise((resolve) => {
    child.once('error', (error) => {
      child.tail.push(String(error));
      resolve(-1);
    });
    child.once('close', (code) => resolve(code ?? -1));
  });
  child.ended.then(() => alive.delete(child));
  return child;
}

export async function stop(child) {
  if (!alive.has(child)) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
  await child.ended;
  clearTimeout(timer);
}

// Asks `ready` again and again until it returns something, the child ends or time is up.
export async function waitFor(child, ready, { what, timeoutMs = 20_000 }) {
  let over = false;
  child.ended.then(() => (over = true));
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline && !over) {
    const value = await ready();
    if (value) return value;
    await sleep(50);
  }
  const why = over ? 'it ended' : `not within ${timeoutMs} ms`;
  throw new Error(`${what} did not become ready (${why}):\n${child.tail.join('\n')}`);
}

export function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const done = (value) => {
      socket.destroy();
      resolve(value);
    };
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}

export async function answersOk(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    return false;
  }
}
