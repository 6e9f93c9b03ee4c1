// Owns: decisions of rate-limiter-flexible with ioredis, so many at the same time, for so long. One line of JSON on stdout.
//
//   node flexible.mjs redis://127.0.0.1:6379 64 5
import Redis from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';

const [url, width, seconds] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const client = new Redis(url, { enableOfflineQueue: false, lazyConnect: true, enableAutoPipelining: process.argv[5] === 'pipelined' });
await client.connect();
const limiter = new RateLimiterRedis({ storeClient: client, keyPrefix: 'flexible', points: 1e9, duration: 60, useRedisPackage: false });

let over = false;
const taken = [];

async function caller(number) {
  for (let turn = 0; !over; turn += 1) {
    const begun = process.hrtime.bigint();
    await limiter.consume(`10.0.${number}.${turn % 100}`);
    taken.push(Number(process.hrtime.bigint() - begun) / 1000);
  }
}

async function run(time) {
  over = false;
  taken.length = 0;
  const [begun, cpu] = [process.hrtime.bigint(), process.cpuUsage()];
  const callers = Array.from({ length: width }, (_, number) => caller(number));
  setTimeout(() => { over = true; }, time * 1000);
  await Promise.all(callers);
  const used = process.cpuUsage(cpu);
  return { wall: Number(process.hrtime.bigint() - begun) / 1e9, cpu: used.user + used.system };
}

await run(1);
const { wall, cpu } = await run(seconds);
taken.sort((a, b) => a - b);
const at = (share) => Math.round(taken[Math.floor((taken.length - 1) * share)]);
console.log(JSON.stringify({
  who: 'rate-limiter-flexible', decisions: taken.length, perSecond: Math.round(taken.length / wall),
  cpuMicros: Number((cpu / taken.length).toFixed(2)), p50: at(0.5), p99: at(0.99),
}));
client.disconnect();
