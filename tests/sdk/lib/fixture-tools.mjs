// Owns: what the fixture server offers (tools and the one resource), for both eras.
// State that belongs to the process lives in `world`, state of one session in `session`.

import { McpServer, inputRequired, inputResponse, acceptedContent, createRequestStateCodec } from '@modelcontextprotocol/server';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

export const COUNTER = 'demo://counter';

const LEVELS = ['debug', 'info', 'notice', 'warning', 'error'];
const READ_ONLY = { readOnlyHint: true };

const text = (value) => ({ content: [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) }] });

/** State of the process: `key` seals the request state of input_required results, `ledger` outlives the process. */
export function newWorld(name, key, ledger) {
  return {
    name,
    ledger,
    cancelled: [],
    counter: 0,
    modernCalls: 0,
    publish: () => {},
    codec: createRequestStateCodec({ key, ttlSeconds: 600 }),
  };
}

/** One MCP server instance: one per session (legacy) or per request (modern). */
export function buildServer(world, era, session) {
  const server = new McpServer(
    { name: world.name, version: '1.0.0' },
    {
      capabilities: { tools: {}, resources: { subscribe: true }, logging: {} },
      requestState: { verify: (state, ctx) => world.codec.verify(state, ctx) },
    },
  );
  addPlain(server, world, era, session);
  addSlow(server, world);
  addCounted(server, world, session);
  addQuestions(server, world, era);
  addStreams(server, world, era);
  addResource(server, world, era, session);
  return server;
}

function addPlain(server, world, era, session) {
  server.registerTool('whoami', { description: 'which server answers', annotations: READ_ONLY, inputSchema: z.object({}) }, (_args, ctx) =>
    text({ name: world.name, pid: process.pid, era, session: ctx.sessionId ?? null }));
  server.registerTool('count', { description: 'calls in this session', inputSchema: z.object({}) }, () => {
    if (!session) {
      world.modernCalls += 1;
      return text(String(world.modernCalls));
    }
    session.count += 1;
    return text(String(session.count));
  });
  const label = z.string().optional();
  server.registerTool('cancelled', { description: 'calls cancelled here so far, of one label or all', annotations: READ_ONLY, inputSchema: z.object({ label }) }, (args) =>
    text(String(world.cancelled.filter((one) => args.label === undefined || one === args.label).length)));
  server.registerTool('log', { description: 'one log message per level', inputSchema: z.object({}) }, async (_args, ctx) => {
    for (const level of LEVELS) await ctx.mcpReq.log(level, `a line at ${level}`, 'fixture');
    return text('logged');
  });
}

async function progress(ctx, step, total) {
  const progressToken = ctx.mcpReq._meta?.progressToken;
  if (progressToken === undefined) return;
  await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: step, total } });
}

function addSlow(server, world) {
  const inputSchema = z.object({ steps: z.number().int().default(3), ms: z.number().default(50), label: z.string().default('') });
  server.registerTool('slow', { description: 'reports progress in steps', inputSchema }, async ({ steps, ms, label }, ctx) => {
    for (let step = 1; step <= steps; step += 1) {
      try {
        await sleep(ms, undefined, { signal: ctx.mcpReq.signal });
      } catch {
        world.cancelled.push(label);
        return text('cancelled');
      }
      await progress(ctx, step, steps);
    }
    return text(`done in ${steps} steps at ${world.name}`);
  });
}

/** Each execution is written down, under the label that the caller gave it, before anybody can hear of it. */
function addCounted(server, world, session) {
  const inputSchema = z.object({ label: z.string().default(''), ms: z.number().default(0) });
  const execute = (what) => async ({ label, ms }, ctx) => {
    world.ledger.write(what, { label, session: ctx.sessionId, moored: session?.moored });
    await sleep(ms);
    return text({ label, name: world.name });
  };
  server.registerTool('record', { description: 'must not run twice', inputSchema }, execute('record'));
  server.registerTool('look', { description: 'may run twice', annotations: READ_ONLY, inputSchema }, execute('look'));
}

function addQuestions(server, world, era) {
  const requestedSchema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
  const question = { message: 'What is your name?', requestedSchema };
  server.registerTool('elicit', { description: 'asks the user', inputSchema: z.object({ label: z.string().default('') }) }, async ({ label }, ctx) => {
    if (era === 'legacy') {
      const answer = await ctx.mcpReq.elicitInput(label === '' ? question : { ...question, message: label });
      world.ledger.write('answered', { label, content: answer.content });
      return text({ action: answer.action, content: answer.content ?? null, asked: 1 });
    }
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'name');
    if (answer.kind === 'missing') {
      const requestState = await world.codec.mint({ asked: 1 }, ctx);
      return inputRequired({ inputRequests: { name: inputRequired.elicit(question) }, requestState });
    }
    const asked = ctx.mcpReq.requestState()?.asked ?? 0;
    return text({ action: answer.action, content: acceptedContent(ctx.mcpReq.inputResponses, 'name') ?? null, asked });
  });

  const sampling = { maxTokens: 20, messages: [{ role: 'user', content: { type: 'text', text: 'say moor' } }] };
  server.registerTool('sample', { description: 'asks the model', inputSchema: z.object({}) }, async (_args, ctx) => {
    if (era === 'legacy') return text((await ctx.mcpReq.requestSampling(sampling)).content);
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'model');
    if (answer.kind === 'missing') {
      const requestState = await world.codec.mint({ asked: 1 }, ctx);
      return inputRequired({ inputRequests: { model: inputRequired.createMessage(sampling) }, requestState });
    }
    return text(answer.result.content);
  });
}

function addStreams(server, world, era) {
  server.registerTool('drop', { description: 'ends the stream of its own request half way', inputSchema: z.object({ ms: z.number().default(100) }) }, async ({ ms }, ctx) => {
    if (!ctx.http?.closeSSE) return text(`not droppable in era ${era}`);
    await progress(ctx, 1, 2);
    ctx.http.closeSSE();
    await sleep(ms);
    await progress(ctx, 2, 2);
    return text('resumed');
  });
  server.registerTool('drop_stream', { description: 'ends the notification stream, then changes the resource', inputSchema: z.object({}) }, (_args, ctx) => {
    if (!ctx.http?.closeStandaloneSSE) return text(`no notification stream in era ${era}`);
    ctx.http.closeStandaloneSSE();
    world.counter += 1;
    world.publish(COUNTER);
    return text(String(world.counter));
  });
  server.registerTool('touch', { description: 'changes the resource', inputSchema: z.object({}) }, () => {
    world.counter += 1;
    world.publish(COUNTER);
    return text(String(world.counter));
  });
}

function addResource(server, world, era, session) {
  server.registerResource('counter', COUNTER, { mimeType: 'text/plain' }, () => ({
    contents: [{ uri: COUNTER, mimeType: 'text/plain', text: String(world.counter) }],
  }));
  if (era !== 'legacy') return;
  session.tell = (uri) => {
    if (session.uris.has(uri)) server.server.sendResourceUpdated({ uri }).catch(() => {});
  };
  server.server.setRequestHandler('resources/subscribe', ({ params }) => {
    session.uris.add(params.uri);
    return {};
  });
  server.server.setRequestHandler('resources/unsubscribe', ({ params }) => {
    session.uris.delete(params.uri);
    return {};
  });
}
