// Tools that answer at once or stream notifications: the suite's content,
// logging, progress and schema scenarios. None of them asks the client for input.
import { setTimeout as sleep } from 'node:timers/promises';
import { fromJsonSchema } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { embedded, image, text, textResult, WAV_BASE64 } from './media.mjs';

const SCHEMA_2020_12 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

const HEADER_SCHEMA = {
  type: 'object',
  properties: { region: { type: 'string', 'x-mcp-header': 'Region' } },
  required: ['region'],
};

// Sends one progress notification if the caller gave a token for it.
export async function progress(ctx, value, total) {
  const progressToken = ctx.mcpReq._meta?.progressToken;
  if (progressToken === undefined) return;
  await ctx.mcpReq.notify({
    method: 'notifications/progress',
    params: { progressToken, progress: value, total },
  });
}

async function steps(ctx, count, ms) {
  for (let step = 1; step <= count; step += 1) {
    await sleep(ms, undefined, { signal: ctx.mcpReq.signal });
    await progress(ctx, step, count);
  }
}

function registerContent(server) {
  const tool = (name, description, handler) => server.registerTool(name, { description }, handler);

  tool('test_simple_text', 'Returns one text', () =>
    textResult('This is a simple text response for testing.'));
  tool('test_image_content', 'Returns one image', () => ({ content: [image()] }));
  tool('test_audio_content', 'Returns one sound', () => ({
    content: [{ type: 'audio', data: WAV_BASE64, mimeType: 'audio/wav' }],
  }));
  tool('test_embedded_resource', 'Returns an embedded resource', () => ({
    content: [
      embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.'),
    ],
  }));
  tool('test_multiple_content_types', 'Returns text, an image and a resource', () => ({
    content: [
      text('Multiple content types test:'),
      image(),
      embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
    ],
  }));
  tool('test_error_handling', 'Always fails', () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
}

function registerStreaming(server) {
  const log = async (ctx) => {
    await ctx.mcpReq.log('info', 'Tool execution started');
    await sleep(50);
    await ctx.mcpReq.log('info', 'Tool processing data');
    await sleep(50);
    await ctx.mcpReq.log('info', 'Tool execution completed');
    return textResult('logged');
  };
  server.registerTool('test_tool_with_logging', { description: 'Logs three lines' }, log);
  server.registerTool('test_logging_tool', { description: 'Logs where it is asked to' }, log);

  server.registerTool(
    'test_tool_with_progress',
    { description: 'Reports progress 0, 50, 100' },
    async (ctx) => {
      for (const value of [0, 50, 100]) {
        await progress(ctx, value, 100);
        await sleep(value === 100 ? 0 : 50);
      }
      return textResult('progressed');
    },
  );

  server.registerTool(
    'slow',
    {
      description: 'Takes `steps` pauses of `ms` milliseconds, with progress after each',
      inputSchema: z.object({
        steps: z.number().int().min(0).default(5),
        ms: z.number().int().min(0).default(100),
      }),
      annotations: { readOnlyHint: true },
    },
    async ({ steps: count, ms }, ctx) => {
      await steps(ctx, count, ms);
      return textResult(`done after ${count} steps`);
    },
  );

  // Closes its own stream in mid-call, so that the client must resume to get the result.
  server.registerTool(
    'test_reconnection',
    { description: 'Closes the response stream before the result' },
    async (ctx) => {
      ctx.http?.closeSSE?.();
      await sleep(100);
      return textResult('Reconnection test completed');
    },
  );
}

function registerSchemas(server) {
  server.registerTool(
    'json_schema_2020_12_tool',
    {
      description: 'Tool with JSON Schema 2020-12 features',
      inputSchema: fromJsonSchema(SCHEMA_2020_12),
    },
    (args) => textResult(JSON.stringify(args)),
  );
  server.registerTool(
    'test_header_param',
    {
      description: 'Wants its region in a header too',
      inputSchema: fromJsonSchema(HEADER_SCHEMA),
    },
    ({ region }) => textResult(region),
  );
}

export function registerContentTools(server) {
  registerContent(server);
  registerStreaming(server);
  registerSchemas(server);
}
