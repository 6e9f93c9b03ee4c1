// The suite with callers who must show a token: an issuer whose keys are in a
// file, and a proxy that puts its token into each of the suite's requests, for
// the suite itself cannot.
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ISSUER = 'https://auth.example.com';
const AUDIENCE = 'conformance';

function issue(key) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: 'suite', iat: now, exp: now + 3600 };
  const signed = [{ alg: 'EdDSA', typ: 'at+jwt', kid: 'suite' }, claims].map(encode).join('.');
  return `${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`;
}

// Writes an issuer's keys and a configuration that believes them, for these backends.
export async function writeIdentity(backends) {
  const directory = await mkdtemp(join(tmpdir(), 'moorline-identity-'));
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'suite', alg: 'EdDSA', use: 'sig' };
  const jwks = join(directory, 'jwks.json');
  await writeFile(jwks, JSON.stringify({ keys: [jwk] }));
  const config = (port, adminPort) => `
listen = "127.0.0.1:${port}"
admin = "127.0.0.1:${adminPort}"

[auth]
mode = "jwt"

[[auth.issuer]]
issuer = "${ISSUER}"
jwks = ${JSON.stringify(jwks)}
audience = ["${AUDIENCE}"]

[[pool]]
path = "/mcp"
backends = ${JSON.stringify(backends)}
`;
  const path = join(directory, 'moorline.toml');
  const write = async (port, adminPort) => {
    await writeFile(path, config(port, adminPort));
    return path;
  };
  return { write, token: issue(privateKey), remove: () => rm(directory, { recursive: true, force: true }) };
}

// A proxy in front of `url` that shows the token with all that passes.
export async function startBearer(url, token) {
  const { hostname, port } = new URL(url);
  const server = createServer((incoming, outgoing) => {
    const headers = { ...incoming.headers, authorization: `Bearer ${token}` };
    const { method, url: path } = incoming;
    const onward = request({ hostname, port, method, path, headers, setHost: false }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      outgoing.flushHeaders();
      answer.pipe(outgoing);
      answer.on('error', () => outgoing.destroy());
    });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const stop = () => new Promise((closed) => { server.closeAllConnections(); server.close(closed); });
  return { url: `http://127.0.0.1:${server.address().port}/mcp`, stop };
}

// Whether somebody without a token is kept out.
export async function keepsOut(url) {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
  const { status } = await fetch(url, { method: 'POST', headers, body });
  return status === 401;
}
