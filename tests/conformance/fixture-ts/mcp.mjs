// Builds one MCP server instance: for one legacy session, or for one modern request.
import { McpServer } from '@modelcontextprotocol/server';
import { registerContentTools } from './content-tools.mjs';
import { registerInputTools } from './input-tools.mjs';
import { registerPrompts } from './prompts.mjs';
import { registerReplicaTools } from './replica-tools.mjs';
import { registerResources, registerSubscriptions } from './resources.mjs';

const LISTS = ['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list'];

function cacheHints(ttlMs) {
  if (ttlMs === 0) return undefined;
  return Object.fromEntries(
    [...LISTS, 'resources/read'].map((method) => [method, { ttlMs, cacheScope: 'public' }]),
  );
}

export function buildServer(state, session) {
  const server = new McpServer(
    { name: `moorline-fixture-${state.name}`, version: '1.0.0' },
    {
      capabilities: {
        logging: {},
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
      },
      cacheHints: cacheHints(state.cacheTtlMs),
      requestState: { verify: state.codec.verify },
    },
  );
  registerContentTools(server);
  registerInputTools(server, state);
  registerReplicaTools(server, state, session);
  registerResources(server, state);
  registerPrompts(server);
  if (session) registerSubscriptions(server, session);
  return server;
}
