import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { status } from "@grpc/grpc-js";
import {
  type Context,
  context,
  ProxyTracerProvider,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  trace,
} from "@opentelemetry/api";
import type { AnyNext, AnyRequest, AnyResponse } from "./hosted-method.ts";
import { headerOf } from "./metadata.ts";
import { whenEnded } from "./stream-end.ts";

const tracerName = "mahavishnu.rpc";

/**
 * Continues the caller's trace with a span for the served call. Where this process records no
 * spans, the caller's context is kept all the same, for logs and for calls to peers.
 */
export const serverTracing: Interceptor = (next) => (request) => {
  if (!isTracing() && headerOf(request, "traceparent") === null) return next(request);
  const parent = propagation.extract(context.active(), request.header, headersGetter);
  return inSpan(next, request, SpanKind.SERVER, parent, serverFaults);
};

/** Gives an outgoing call a span and tells the peer about it. */
export const clientTracing: Interceptor = (next) => (request) => {
  if (!isTracing() && trace.getActiveSpan() === undefined) return next(request);
  return inSpan(next, request, SpanKind.CLIENT, context.active(), allCodes);
};

/** Without a tracer provider nothing records, and calls should not pay for it. */
function isTracing(): boolean {
  const provider = trace.getTracerProvider();
  return !(
    provider instanceof ProxyTracerProvider && provider.getDelegateTracer(tracerName) === undefined
  );
}

/** A server's span is in error only where the server is at fault; a client's for every failure. */
const serverFaults = new Set<Code>([
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
]);
const allCodes: { has(code: Code): boolean } = { has: () => true };

async function inSpan(
  next: AnyNext,
  request: AnyRequest,
  kind: SpanKind,
  parent: Context,
  errors: { has(code: Code): boolean },
): Promise<AnyResponse> {
  const span = trace.getTracer(tracerName).startSpan(
    `${request.service.typeName}/${request.method.name}`,
    {
      kind,
      attributes: {
        "rpc.system": "grpc",
        "rpc.service": request.service.typeName,
        "rpc.method": request.method.name,
      },
    },
    parent,
  );
  const active = trace.setSpan(parent, span);
  if (kind === SpanKind.CLIENT) propagation.inject(active, request.header, headersSetter);
  try {
    const response = await context.with(active, () => next(request));
    const within = response.stream ? activeIn(active, response) : response;
    return whenEnded(within, goneReason, (error) => endSpan(span, error, errors));
  } catch (error) {
    endSpan(span, error, errors);
    throw error;
  }
}

const goneReason = () => new ConnectError("the reader has gone", Code.Canceled);

function endSpan(span: Span, error: unknown, errors: { has(code: Code): boolean }): void {
  const code = error === undefined ? 0 : ConnectError.from(error).code;
  span.setAttribute("rpc.grpc.status_code", code);
  if (code !== 0 && errors.has(code)) {
    span.setStatus({ code: SpanStatusCode.ERROR, message: status[code] ?? "UNKNOWN" });
  }
  span.end();
}

/** The body of a handler that streams runs when its reader pulls, outside of `context.with`. */
function activeIn(active: Context, response: AnyResponse): AnyResponse {
  const source = response.message as AsyncIterable<unknown>;
  const message = {
    [Symbol.asyncIterator]() {
      const iterator = source[Symbol.asyncIterator]();
      return {
        next: () => context.with(active, () => iterator.next()),
        return: () =>
          context.with(
            active,
            () => iterator.return?.() ?? Promise.resolve({ done: true, value: undefined }),
          ),
      };
    },
  };
  return {
    stream: true,
    service: response.service,
    method: response.method,
    message,
    get header() {
      return response.header;
    },
    get trailer() {
      return response.trailer;
    },
  } as AnyResponse;
}

const headersGetter: TextMapGetter<Headers> = {
  keys: (headers) => [...headers.keys()],
  get: (headers, key) => headers.get(key) ?? undefined,
};
const headersSetter = {
  set: (headers: Headers, key: string, value: string) => headers.set(key, value),
};
