// Prompts: four plain ones, and one that asks the user first.
import { acceptedContent, completable, inputRequired } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { embedded, image, text } from './media.mjs';

const userMessage = (content) => ({ role: 'user', content });

export function registerPrompts(server) {
  server.registerPrompt('test_simple_prompt', { description: 'One message' }, () => ({
    messages: [userMessage(text('This is a simple prompt for testing.'))],
  }));
  const suggest = (schema) =>
    completable(schema, (value) => ['paris', 'park', 'party'].filter((s) => s.startsWith(value)));
  server.registerPrompt(
    'test_prompt_with_arguments',
    {
      description: 'Shows its two arguments',
      argsSchema: z.object({
        arg1: suggest(z.string().describe('First test argument')),
        arg2: suggest(z.string().describe('Second test argument')),
      }),
    },
    ({ arg1, arg2 }) => ({
      messages: [userMessage(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
    }),
  );
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    {
      description: 'Embeds the resource that it is given',
      argsSchema: z.object({ resourceUri: z.string().describe('URI to embed') }),
    },
    ({ resourceUri }) => ({
      messages: [
        userMessage(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
        userMessage(text('Please process the embedded resource above.')),
      ],
    }),
  );
  server.registerPrompt('test_prompt_with_image', { description: 'Shows an image' }, () => ({
    messages: [userMessage(image()), userMessage(text('Please analyze the image above.'))],
  }));
  registerAskingPrompt(server);
}

function registerAskingPrompt(server) {
  server.registerPrompt(
    'test_input_required_result_prompt',
    { description: 'Asks for a context first' },
    (ctx) => {
      const answer = acceptedContent(ctx.mcpReq.inputResponses, 'user_context');
      if (typeof answer?.context === 'string') {
        return { messages: [userMessage(text(`Context: ${answer.context}`))] };
      }
      return inputRequired({
        inputRequests: {
          user_context: inputRequired.elicit({
            message: 'What context should the prompt use?',
            requestedSchema: {
              type: 'object',
              properties: { context: { type: 'string' } },
              required: ['context'],
            },
          }),
        },
      });
    },
  );
}
