// Owns: how both programs are traced: every span sent to the collector by OTLP, and W3C Trace Context as what they pass on.
// It refuses to sample: each of their spans is recorded.

import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

export { context, propagation, SpanKind, trace };

/** Starts tracing under this name; what it returns sends what is left. */
export function start(name, collector) {
  const exporter = new OTLPTraceExporter({ url: `${collector}/v1/traces` });
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': name }),
    spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: 100 })],
  });
  provider.register();
  return () => provider.shutdown();
}

/** Runs `work` in a span of its own. */
export function spanned(name, kind, parent, work) {
  return trace.getTracer('moorline-tests').startActiveSpan(name, { kind }, parent, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  });
}
