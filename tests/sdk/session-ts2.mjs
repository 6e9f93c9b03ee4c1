// Owns: a whole session of the official TypeScript SDK v2: node session-ts2.mjs --url URL [--era legacy|modern|auto]
import { main } from './lib/session-ts.mjs';

await main('2');
