// Tools that need something from the client: elicitation, sampling, roots.
// Each is written once as an `input_required` result; the SDK turns it into a
// server request for legacy sessions.
import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  inputRequired,
  inputResponse,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { progress } from './content-tools.mjs';
import { textResult } from './media.mjs';

const object = (properties, required = Object.keys(properties)) => ({
  type: 'object',
  properties,
  required,
});
const elicit = (message, requestedSchema) => inputRequired.elicit({ message, requestedSchema });
const askName = () => elicit('What is your name?', object({ name: { type: 'string' } }));
const confirm = () => elicit('Please confirm', object({ ok: { type: 'boolean' } }));
const sample = (question, maxTokens) =>
  inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text: question } }],
    maxTokens,
  });

const DEFAULTS_SCHEMA = object(
  {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
  [],
);

const titled = (...titles) => titles.map((title, at) => ({ const: `value${at + 1}`, title }));
const OPTIONS = ['option1', 'option2', 'option3'];
const ENUMS_SCHEMA = object(
  {
    untitledSingle: { type: 'string', enum: OPTIONS },
    titledSingle: {
      type: 'string',
      oneOf: titled('First Option', 'Second Option', 'Third Option'),
    },
    legacyEnum: {
      type: 'string',
      enum: ['opt1', 'opt2', 'opt3'],
      enumNames: ['Option One', 'Option Two', 'Option Three'],
    },
    untitledMulti: { type: 'array', items: { type: 'string', enum: OPTIONS } },
    titledMulti: {
      type: 'array',
      items: { anyOf: titled('First Choice', 'Second Choice', 'Third Choice') },
    },
  },
  [],
);

// Registers a tool that asks one elicitation and then reports the answer.
function askingTool(server, name, schema, message, report) {
  server.registerTool(name, { description: `Asks: ${message}` }, (ctx) => {
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'answer');
    if (answer.kind !== 'elicit') {
      return inputRequired({ inputRequests: { answer: elicit(message, schema) } });
    }
    return textResult(report(answer));
  });
}

const completed = ({ action, content }) =>
  `Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`;

function registerLegacyNames(server) {
  server.registerTool(
    'test_sampling',
    { description: 'Asks the client\'s model', inputSchema: z.object({ prompt: z.string() }) },
    ({ prompt }, ctx) => {
      const answer = inputResponse(ctx.mcpReq.inputResponses, 'answer');
      if (answer.kind !== 'sampling') {
        return inputRequired({ inputRequests: { answer: sample(prompt, 100) } });
      }
      return textResult(`LLM response: ${answer.result.content.text}`);
    },
  );
  server.registerTool(
    'test_elicitation',
    { description: 'Asks the user', inputSchema: z.object({ message: z.string() }) },
    ({ message }, ctx) => {
      const answer = inputResponse(ctx.mcpReq.inputResponses, 'answer');
      if (answer.kind !== 'elicit') {
        const schema = object({
          username: { type: 'string', description: "User's response" },
          email: { type: 'string', description: "User's email address" },
        });
        return inputRequired({ inputRequests: { answer: elicit(message, schema) } });
      }
      const { action, content } = answer;
      return textResult(`User response: action: ${action}, content: ${JSON.stringify(content)}`);
    },
  );
  askingTool(server, 'test_elicitation_sep1034_defaults', DEFAULTS_SCHEMA, 'Defaults', completed);
  askingTool(server, 'test_elicitation_sep1330_enums', ENUMS_SCHEMA, 'Enums', completed);
}

function registerSingleRound(server) {
  server.registerTool(
    'test_input_required_result_elicitation',
    { description: 'Asks for a name' },
    (ctx) => {
      const answer = acceptedContent(ctx.mcpReq.inputResponses, 'user_name');
      if (typeof answer?.name === 'string') return textResult(`Hello, ${answer.name}!`);
      return inputRequired({ inputRequests: { user_name: askName() } });
    },
  );
  server.registerTool(
    'test_input_required_result_sampling',
    { description: 'Asks for a capital' },
    (ctx) => {
      const answer = inputResponse(ctx.mcpReq.inputResponses, 'capital_question');
      if (answer.kind === 'sampling') return textResult(answer.result.content.text);
      return inputRequired({
        inputRequests: { capital_question: sample('What is the capital of France?', 100) },
      });
    },
  );
  server.registerTool(
    'test_input_required_result_list_roots',
    { description: 'Asks for the roots' },
    (ctx) => {
      const answer = inputResponse(ctx.mcpReq.inputResponses, 'client_roots');
      if (answer.kind === 'roots') return textResult(answer.roots.map((r) => r.uri).join(', '));
      return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
    },
  );
  // Streams progress before it asks: the stream may carry no request of its own.
  server.registerTool(
    'test_streaming_elicitation',
    { description: 'Streams, then asks for a name' },
    async (ctx) => {
      const answer = acceptedContent(ctx.mcpReq.inputResponses, 'user_name');
      if (typeof answer?.name === 'string') return textResult(`Hello, ${answer.name}!`);
      await progress(ctx, 1, 2);
      return inputRequired({ inputRequests: { user_name: askName() } });
    },
  );
  server.registerTool(
    'test_missing_capability',
    { description: 'Works only for clients with sampling' },
    (ctx) => {
      const answer = inputResponse(ctx.mcpReq.inputResponses, 'answer');
      if (answer.kind === 'sampling') return textResult('sampled');
      return inputRequired({ inputRequests: { answer: sample('Say anything', 10) } });
    },
  );
}

// Tools whose state is signed by this process: another replica refuses it.
function registerStateful(server, state) {
  const mint = (payload) => state.codec.mint({ ...payload, by: state.name });
  for (const name of [
    'test_input_required_result_request_state',
    'test_input_required_result_tampered_state',
  ]) {
    server.registerTool(name, { description: 'Asks with signed state' }, async (ctx) => {
      const answer = acceptedContent(ctx.mcpReq.inputResponses, 'confirm');
      if (answer && ctx.mcpReq.requestState()?.step === 'confirm') {
        return textResult(`state-ok by ${state.name}`);
      }
      return inputRequired({
        inputRequests: { confirm: confirm() },
        requestState: await mint({ step: 'confirm' }),
      });
    });
  }
  server.registerTool(
    'test_input_required_result_multiple_inputs',
    { description: 'Asks three things at once' },
    async (ctx) => {
      const given = ctx.mcpReq.inputResponses;
      const name = acceptedContent(given, 'user_name')?.name;
      const greeting = inputResponse(given, 'greeting');
      const roots = inputResponse(given, 'client_roots');
      if (name && greeting.kind === 'sampling' && roots.kind === 'roots') {
        return textResult(`${greeting.result.content.text} ${name} (${roots.roots.length} roots)`);
      }
      return inputRequired({
        inputRequests: {
          user_name: askName(),
          greeting: sample('Generate a greeting', 50),
          client_roots: inputRequired.listRoots(),
        },
        requestState: await mint({ step: 'all' }),
      });
    },
  );
  registerMultiRound(server, mint);
}

function registerMultiRound(server, mint) {
  server.registerTool(
    'test_input_required_result_multi_round',
    { description: 'Asks twice, with state that grows' },
    async (ctx) => {
      const held = ctx.mcpReq.requestState();
      const name = acceptedContent(ctx.mcpReq.inputResponses, 'step1')?.name;
      const color = acceptedContent(ctx.mcpReq.inputResponses, 'step2')?.color;
      if (held?.step === 2 && color) return textResult(`${held.name} likes ${color}`);
      if (held?.step === 1 && name) {
        const schema = object({ color: { type: 'string' } });
        return inputRequired({
          inputRequests: { step2: elicit('Step 2: What is your favorite color?', schema) },
          requestState: await mint({ step: 2, name }),
        });
      }
      const schema = object({ name: { type: 'string' } });
      return inputRequired({
        inputRequests: { step1: elicit('Step 1: What is your name?', schema) },
        requestState: await mint({ step: 1 }),
      });
    },
  );
}

function registerCapabilityAware(server) {
  server.registerTool(
    'test_input_required_result_capabilities',
    { description: 'Asks only what the client can answer' },
    (ctx) => {
      const capabilities =
        ctx.mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY] ??
        server.server.getClientCapabilities() ??
        {};
      const given = ctx.mcpReq.inputResponses;
      if (given && Object.keys(given).length > 0) return textResult(Object.keys(given).join(', '));
      const inputRequests = {};
      if (capabilities.sampling) inputRequests.greeting = sample('Generate a greeting', 50);
      if (capabilities.elicitation) inputRequests.user_name = askName();
      if (Object.keys(inputRequests).length === 0) return textResult('nothing to ask');
      return inputRequired({ inputRequests });
    },
  );
}

export function registerInputTools(server, state) {
  registerLegacyNames(server);
  registerSingleRound(server);
  registerStateful(server, state);
  registerCapabilityAware(server);
}
