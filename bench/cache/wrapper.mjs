// Owns: a gateway as people write one by hand to keep the results of tool calls: by name and arguments, in Redis, with a time
// to live. Everything else is relayed. Written to be quick: connections are kept, and results are not parsed twice.
//
//   node wrapper.mjs FILE        FILE: {"port": 3000, "tools": ["search"], "ttl": 3600, "redis": "redis://…", "origins": ["http://…"]}
import { readFileSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import Redis from 'ioredis';

const { port, tools, ttl, redis: url, origins } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const redis = new Redis(url, { enableAutoPipelining: true });
const agent = new Agent({ keepAlive: true, maxSockets: 256 });
const kept = new Set(tools);
let turn = 0;

async function bodyOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
}

function ask(req, body) {
  const origin = origins[turn++ % origins.length];
  const { connection, ...headers } = req.headers;
  return new Promise((resolve, reject) => {
    const asked = request(origin + req.url, { method: req.method, headers, agent }, resolve);
    asked.on('error', reject);
    asked.end(body);
  });
}

function answer(res, id, result, source) {
  const text = `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`;
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), 'x-cache': source });
  res.end(text);
}

/** The message in an answer, which may be one event of a stream. */
function messageOf(answered, body) {
  const text = body.toString();
  if (!answered.headers['content-type']?.startsWith('text/event-stream')) return JSON.parse(text);
  const events = text.split('\n').filter((line) => line.startsWith('data:') && line.includes('"jsonrpc"'));
  return JSON.parse(events.at(-1).slice(5));
}

async function serve(req, res) {
  const body = req.method === 'POST' ? await bodyOf(req) : undefined;
  const message = body ? JSON.parse(body.toString()) : undefined;
  const { name, arguments: values } = message?.params ?? {};
  const isKept = message?.method === 'tools/call' && kept.has(name);
  const key = isKept ? `tool:${name}:${JSON.stringify(values)}` : undefined;
  const found = isKept ? await redis.get(key) : null;
  if (found !== null) return answer(res, message.id, found, 'hit');
  const answered = await ask(req, body);
  if (!isKept || answered.statusCode !== 200) {
    res.writeHead(answered.statusCode, answered.headers);
    return answered.pipe(res);
  }
  const { result } = messageOf(answered, await bodyOf(answered));
  const text = JSON.stringify(result);
  // Nobody waits for it.
  if (result && !result.isError) redis.set(key, text, 'EX', ttl).catch(() => {});
  return answer(res, message.id, text, 'miss');
}

createServer((req, res) => {
  serve(req, res).catch((error) => {
    console.error(error);
    res.destroy();
  });
}).listen(port, '127.0.0.1');
