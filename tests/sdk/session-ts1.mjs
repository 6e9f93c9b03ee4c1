// Owns: a whole session of the official TypeScript SDK v1: node session-ts1.mjs --url URL [--header 'name: value']...
import { main } from './lib/session-ts.mjs';

await main('1');
