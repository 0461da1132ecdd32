import { create, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import type {
  CallOptions,
  ContextValues,
  Interceptor,
  StreamRequest,
  StreamResponse,
  Transport,
  UnaryRequest,
  UnaryResponse,
} from "@connectrpc/connect";
import { createContextValues } from "@connectrpc/connect";
import { Channel, type ChannelOptions, credentials, Metadata } from "@grpc/grpc-js";
import { ClientStream, callUnary } from "./client-call.ts";
import { decode, defaultMaxMessageBytes, encode } from "./codec.ts";
import { toConnectError } from "./errors.ts";
import type { AnyNext, AnyRequest, AnyResponse } from "./hosted-method.ts";
import { addHeaders, headersOf } from "./metadata.ts";
import { isRetryable, RetryBudget, type RetryOptions, withRetries } from "./retry.ts";
import { defaultTenant, tenantHeader } from "./tenant.ts";
import { clientTracing } from "./tracing.ts";

export { createClient } from "./typed-client.ts";

export interface GrpcTransportOptions {
  /** `host:port`, or a target such as `dns:///memory:50051`, whose addresses take turns. */
  readonly address: string;
  /** Sent as a Bearer token. */
  readonly authToken?: string | undefined;
  /** Tenant of calls that name none; default `default`. */
  readonly tenant?: string | undefined;
  /** Largest message in either direction; default 16 MiB. */
  readonly maxMessageBytes?: number | undefined;
  /** Bound of unary calls that name none; none by default. Streams have no default bound. */
  readonly defaultTimeoutMs?: number | undefined;
  /** Probe of a connection with calls on it; default 30,000 ms. */
  readonly keepaliveMs?: number | undefined;
  /** For unary methods that the contract declares idempotent, on UNAVAILABLE only. */
  readonly retry?: RetryOptions | undefined;
  /** Extra interceptors, outermost. */
  readonly interceptors?: readonly Interceptor[];
}

/** A Connect transport over one grpc-js channel; it connects with its first call. */
export interface GrpcTransport extends Transport, Disposable {
  readonly address: string;
  /** Ends calls in flight with UNAVAILABLE or CANCELLED, and the connections. */
  close(): void;
}

/** What a request carries besides Connect's fields. */
type TimedRequest = AnyRequest & { readonly deadline: number };

/**
 * A transport for `createClient`. Take the one of this file: with Connect's own, a reader that
 * leaves a response stream early leaves its call open.
 *
 * When a stream fails, grpc-js drops what had arrived and was not yet asked for. A reader that keeps
 * up gets every message before the error; one that lags behind by more than 16 may miss some.
 */
export function createGrpcTransport(options: GrpcTransportOptions): GrpcTransport {
  const channel = new Channel(
    options.address,
    credentials.createInsecure(),
    channelOptions(options),
  );
  const budget = new RetryBudget();
  const maxMessageBytes = options.maxMessageBytes ?? defaultMaxMessageBytes;

  const send: AnyNext = (request) =>
    request.stream
      ? sendStream(channel, request, deadlineOf(request), maxMessageBytes)
      : sendUnary(channel, budget, options.retry, request, deadlineOf(request), maxMessageBytes);
  const interceptors = [
    ...(options.interceptors ?? []),
    clientTracing,
    identity(options.authToken, options.tenant ?? defaultTenant),
  ];
  const run = interceptors.reduceRight<AnyNext>((next, interceptor) => interceptor(next), send);

  return {
    address: options.address,
    unary: (method, signal, timeoutMs, header, input, contextValues) =>
      run(
        requestOf(
          method,
          create(method.input, input),
          signal,
          timeoutMs ?? options.defaultTimeoutMs,
          header,
          contextValues,
        ),
      ) as Promise<never>,
    stream: (method, signal, timeoutMs, header, input, contextValues) =>
      run(requestOf(method, input, signal, timeoutMs, header, contextValues)) as Promise<never>,
    close: () => channel.close(),
    [Symbol.dispose]: () => channel.close(),
  };
}

function channelOptions(options: GrpcTransportOptions): ChannelOptions {
  return {
    // Ours is checked before sending, with an error that has details.
    "grpc.max_send_message_length": -1,
    // Nobody asks for its counts of calls, messages and sockets, which every call would keep.
    "grpc.enable_channelz": 0,
    "grpc.max_receive_message_length": options.maxMessageBytes ?? defaultMaxMessageBytes,
    "grpc.keepalive_time_ms": options.keepaliveMs ?? 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    // A peer that comes back is found within seconds; by default it may take two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 3_000,
    // Peers are inside; a proxy of the environment leads outside.
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
    ...(options.address.startsWith("dns:")
      ? {
          "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
          "grpc.dns_min_time_between_resolutions_ms": 5_000,
        }
      : {}),
  };
}

/** Who calls, and for whom, where the call itself does not say. */
function identity(authToken: string | undefined, tenant: string): Interceptor {
  return (next) => (request) => {
    if (!request.header.has(tenantHeader)) request.header.set(tenantHeader, tenant);
    if (authToken !== undefined) request.header.set("authorization", `Bearer ${authToken}`);
    return next(request);
  };
}

function requestOf(
  method: DescMethod,
  message: unknown,
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
  header: CallOptions["headers"],
  contextValues: ContextValues | undefined,
): AnyRequest {
  return {
    stream: method.methodKind !== "unary",
    service: method.parent,
    method,
    requestMethod: "POST",
    url: `/${method.parent.typeName}/${method.name}`,
    signal: signal ?? neverAborts,
    header: new Headers(header),
    contextValues: contextValues ?? createContextValues(),
    message,
    deadline: timeoutMs === undefined ? Infinity : Date.now() + timeoutMs,
  } as unknown as AnyRequest;
}

const neverAborts = new AbortController().signal;

function deadlineOf(request: AnyRequest): number {
  return (request as TimedRequest).deadline;
}

function initOf(request: AnyRequest, deadline: number) {
  return {
    path: request.url,
    metadata: addHeaders(new Metadata(), request.header),
    deadline,
    signal: request.signal === neverAborts ? undefined : request.signal,
  };
}

async function sendUnary(
  channel: Channel,
  budget: RetryBudget,
  retry: RetryOptions = {},
  request: UnaryRequest,
  deadline: number,
  maxMessageBytes: number,
): Promise<UnaryResponse> {
  const { method } = request;
  const bytes = requestBytes(method, request.message, maxMessageBytes);
  const init = initOf(request, deadline);
  const attempt = () => callUnary(channel, init, bytes);
  const result = await (isRetryable(method)
    ? withRetries(attempt, budget, retry, deadline, init.signal)
    : attempt());
  return responseOf(request, decode(method.output, result.bytes), {
    header: () => result.header,
    trailer: () => result.trailer,
  }) as UnaryResponse;
}

async function sendStream(
  channel: Channel,
  request: StreamRequest,
  deadline: number,
  maxMessageBytes: number,
): Promise<StreamResponse> {
  const { method } = request;
  const call = new ClientStream(
    channel,
    initOf(request, deadline),
    encoded(method, request.message, maxMessageBytes),
    (bytes) => decode(method.output, bytes),
  );
  const header = await call.header;
  return responseOf(request, call.responses, {
    header: () => header,
    trailer: () => call.trailer,
  }) as StreamResponse;
}

function encoded(
  method: DescMethod,
  messages: AsyncIterable<MessageInitShape<DescMethod["input"]>>,
  maxMessageBytes: number,
): AsyncIterable<Buffer> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = messages[Symbol.asyncIterator]();
      return {
        async next() {
          const step = await iterator.next();
          if (step.done === true) return { done: true, value: undefined };
          return { done: false, value: requestBytes(method, step.value, maxMessageBytes) };
        },
        async return() {
          await iterator.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

function requestBytes(
  method: DescMethod,
  message: MessageInitShape<DescMethod["input"]>,
  maxMessageBytes: number,
): Buffer {
  try {
    return encode(method.input, message, maxMessageBytes, "request");
  } catch (error) {
    throw toConnectError(error);
  }
}

/** Headers are made when asked for; most callers never look. */
function responseOf(
  request: AnyRequest,
  message: unknown,
  metadata: { header(): Metadata; trailer(): Metadata },
): AnyResponse {
  return {
    stream: request.stream,
    service: request.service,
    method: request.method,
    message,
    get header() {
      return headersOf(metadata.header());
    },
    get trailer() {
      return headersOf(metadata.trailer());
    },
  } as AnyResponse;
}
