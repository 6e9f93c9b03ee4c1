// Tools that show which replica answered and what it remembers. The suite does
// not ask for them; tests of routing, rehoming and notifications do.
import { z } from 'zod';
import { textResult } from './media.mjs';

// `session` holds what belongs to one legacy session; a modern request has none.
export function registerReplicaTools(server, state, session) {
  server.registerTool(
    'whoami',
    { description: 'Name of the replica that answers', annotations: { readOnlyHint: true } },
    () => textResult(state.name),
  );
  server.registerTool(
    'count',
    { description: 'Counts calls in this session, or in this process where there are no sessions' },
    () => {
      const owner = session ?? state;
      owner.calls += 1;
      return textResult(owner.calls);
    },
  );
  server.registerTool(
    'echo',
    {
      description: 'Returns its text',
      inputSchema: z.object({ text: z.string().default('') }),
      annotations: { readOnlyHint: true, idempotentHint: true },
    },
    ({ text }) => textResult(text),
  );
  server.registerTool('mark', { description: 'Has the side effect that `executions` counts' }, () => {
    state.marks += 1;
    return textResult(state.marks);
  });
  server.registerTool(
    'executions',
    { description: 'How often `mark` ran in this process', annotations: { readOnlyHint: true } },
    () => textResult(state.marks),
  );
  registerChangeTools(server, state);
}

function registerChangeTools(server, state) {
  server.registerTool('touch', { description: 'Updates test://watched' }, async () =>
    textResult(await state.touchWatched()));

  // The names in the list stay the same; only this description moves on.
  const described = `Announces a new list of tools (list version ${state.listVersion})`;
  for (const name of ['list_change', 'test_trigger_tool_change']) {
    server.registerTool(name, { description: described }, () => textResult(state.toolsChanged()));
  }
  server.registerTool(
    'test_trigger_prompt_change',
    { description: 'Announces a new list of prompts' },
    () => textResult(state.promptsChanged()),
  );
}
