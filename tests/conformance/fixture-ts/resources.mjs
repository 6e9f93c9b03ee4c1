// Resources and their subscriptions. Subscribing is a legacy method; in the
// modern era the handler's listen streams do it.
import { ResourceTemplate } from '@modelcontextprotocol/server';
import { PNG_BASE64 } from './media.mjs';
import { WATCHED_URIS } from './state.mjs';

export function registerResources(server, state) {
  server.registerResource(
    'static-text',
    'test://static-text',
    { description: 'A text that never changes', mimeType: 'text/plain' },
    (uri) => ({
      contents: [
        {
          uri: uri.href,
          mimeType: 'text/plain',
          text: 'This is the content of the static text resource.',
        },
      ],
    }),
  );
  server.registerResource(
    'static-binary',
    'test://static-binary',
    { description: 'An image that never changes', mimeType: 'image/png' },
    (uri) => ({ contents: [{ uri: uri.href, mimeType: 'image/png', blob: PNG_BASE64 }] }),
  );
  server.registerResource(
    'template',
    new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { description: 'Data by id', mimeType: 'application/json' },
    (uri, { id }) => ({
      contents: [
        {
          uri: uri.href,
          mimeType: 'application/json',
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
        },
      ],
    }),
  );
  for (const watched of WATCHED_URIS) {
    server.registerResource(
      watched.slice('test://'.length),
      watched,
      { description: 'Changes with each call of `touch`', mimeType: 'text/plain' },
      (uri) => ({
        contents: [
          { uri: uri.href, mimeType: 'text/plain', text: `revision ${state.watchedRevision}` },
        ],
      }),
    );
  }
}

export function registerSubscriptions(server, session) {
  server.server.setRequestHandler('resources/subscribe', ({ params }) => {
    session.subscriptions.add(params.uri);
    return {};
  });
  server.server.setRequestHandler('resources/unsubscribe', ({ params }) => {
    session.subscriptions.delete(params.uri);
    return {};
  });
}
