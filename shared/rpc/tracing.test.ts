import { context, metrics, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { afterEach, expect, test } from "vitest";
import { DomainError } from "../errors.ts";
import { outgoing } from "./call-context.ts";
import { drain, eventually, rejection } from "./testing/conditions.ts";
import { startEcho } from "./testing/echo-server.ts";

interface EndedSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly status: { readonly code: SpanStatusCode };
  readonly attributes: Record<string, unknown>;
  readonly parentSpanContext?: { readonly spanId: string };
  spanContext(): { readonly traceId: string; readonly spanId: string };
}

let stop = async () => {};

afterEach(async () => {
  await stop();
  stop = async () => {};
  trace.disable();
  metrics.disable();
  propagation.disable();
  context.disable();
});

function recordSpans(): EndedSpan[] {
  const spans: EndedSpan[] = [];
  process.env["OTEL_METRICS_EXPORTER"] = "none";
  const sdk = new NodeSDK({
    spanProcessors: [
      {
        onStart() {},
        onEnd: (span) => void spans.push(span as never),
        forceFlush: async () => {},
        shutdown: async () => {},
      },
    ],
    instrumentations: [],
    resourceDetectors: [],
    logRecordProcessors: [],
  });
  sdk.start();
  stop = () => sdk.shutdown();
  return spans;
}

const activeTrace = () => trace.getActiveSpan()?.spanContext().traceId;
const traceId = "0af7651916cd43dd8448eb211c80319c";
const fromAbove = { headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` } };

test("one trace goes through client, server and the server's own calls", async () => {
  const spans = recordSpans();
  await using last = await startEcho({ unary: () => ({ text: activeTrace() ?? "" }) });
  await using first = await startEcho({
    unary: (_request, context) => last.client.unary({}, outgoing(context)),
  });
  const { text } = await trace.getTracer("test").startActiveSpan("root", async (root) => {
    const reply = await first.client.unary({});
    root.end();
    return reply;
  });
  await eventually(() => spans.length === 5);
  const [server2, client2, server1, client1, root] = spans;
  expect(spans.map((span) => span.kind)).toEqual([
    SpanKind.SERVER,
    SpanKind.CLIENT,
    SpanKind.SERVER,
    SpanKind.CLIENT,
    SpanKind.INTERNAL,
  ]);
  expect(new Set(spans.map((span) => span.spanContext().traceId))).toEqual(new Set([text]));
  const parents = [server2, client2, server1, client1].map((s) => s?.parentSpanContext?.spanId);
  expect(parents).toEqual([client2, server1, client1, root].map((s) => s?.spanContext().spanId));
  expect(server1).toMatchObject({
    name: "mahavishnu.testing.v1.EchoService/Unary",
    attributes: {
      "rpc.system": "grpc",
      "rpc.service": "mahavishnu.testing.v1.EchoService",
      "rpc.method": "Unary",
      "rpc.grpc.status_code": 0,
    },
  });
});

test("the span of a stream is active in its handler and lasts until its end", async () => {
  const spans = recordSpans();
  await using echo = await startEcho({
    async *bidi(requests) {
      for await (const _ of requests) yield { text: activeTrace() ?? "" };
      throw new Error("at the end");
    },
  });
  async function* requests() {
    yield {};
    expect(spans).toEqual([]);
    yield {};
  }
  const { items, error } = await drain(echo.client.bidi(requests()));
  await eventually(() => spans.length === 2);
  const ids = new Set(spans.map((span) => span.spanContext().traceId));
  expect(new Set(items.map((m) => m.text))).toEqual(ids);
  expect(spans.map((span) => span.status.code)).toEqual([
    SpanStatusCode.ERROR,
    SpanStatusCode.ERROR,
  ]);
  // Caller and log both name the trace.
  const [id] = ids;
  expect(String(error)).toContain(`internal error (trace ${id})`);
});

test("a caller's mistake is no error of the server's span, only of the client's", async () => {
  const spans = recordSpans();
  await using echo = await startEcho({
    unary: () => {
      throw new DomainError("not_found", "MEMORY_NOT_FOUND", "none");
    },
  });
  await rejection(echo.client.unary({}));
  await eventually(() => spans.length === 2);
  expect(spans.map(({ kind, status }) => [kind, status.code])).toEqual([
    [SpanKind.SERVER, SpanStatusCode.UNSET],
    [SpanKind.CLIENT, SpanStatusCode.ERROR],
  ]);
});

test("a stream that its caller gives up ends its span", async () => {
  const spans = recordSpans();
  await using echo = await startEcho({
    async *serverStream() {
      while (true) yield { payload: new Uint8Array(100_000) };
    },
  });
  const abort = new AbortController();
  const stream = echo.client.serverStream({}, { signal: abort.signal })[Symbol.asyncIterator]();
  await stream.next();
  abort.abort();
  await rejection(
    (async () => {
      while (!(await stream.next()).done);
    })(),
  );
  await eventually(() => spans.length === 2);
});

test("where no spans are recorded, the caller's trace still reaches logs and peers", async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  await using last = await startEcho({ unary: () => ({ text: activeTrace() ?? "" }) });
  await using first = await startEcho({
    // The trace passes through the active context alone.
    unary: () => last.client.unary({}),
  });
  expect((await first.client.unary({}, fromAbove)).text).toBe(traceId);
  expect((await first.client.unary({})).text).toBe("");
});
