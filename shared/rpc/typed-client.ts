import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescService,
  MessageInitShape,
} from "@bufbuild/protobuf";
import {
  type CallOptions,
  type Client,
  Code,
  ConnectError,
  createClient as createConnectClient,
  makeAnyClient,
  type Transport,
} from "@connectrpc/connect";

type Input = MessageInitShape<DescMessage>;

/**
 * Connect's client, whose response streams may be left: `break`, an error within the loop and
 * `return()` cancel the call, also before the first message. Connect's own hides from a transport
 * that nobody reads on, and the call would stay open.
 */
export function createClient<S extends DescService>(service: S, transport: Transport): Client<S> {
  const connect = createConnectClient<DescService>(service, transport);
  return makeAnyClient(service, (method) => {
    switch (method.methodKind) {
      case "server_streaming":
        return (input: Input, options?: CallOptions) =>
          responsesOf(transport, method, once(input), options);
      case "bidi_streaming":
        return (input: AsyncIterable<Input>, options?: CallOptions) =>
          responsesOf(transport, method, input, options);
      default:
        return connect[method.localName] ?? null;
    }
  }) as Client<S>;
}

function responsesOf(
  transport: Transport,
  method: DescMethodServerStreaming | DescMethodBiDiStreaming,
  input: AsyncIterable<Input>,
  options: CallOptions = {},
): AsyncIterable<unknown> {
  const { signal, timeoutMs, headers, contextValues, onHeader, onTrailer } = options;
  const cancel = new AbortController();
  const onAbort = () => cancel.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();
  const response = transport.stream(
    method,
    cancel.signal,
    timeoutMs,
    headers,
    input,
    contextValues,
  );
  // Where nobody reads, nobody is told.
  response.catch(() => {});

  async function* read() {
    try {
      const told = await response;
      onHeader?.(told.header);
      yield* told.message;
      onTrailer?.(told.trailer);
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }
  const messages = read();
  /** A generator that was never asked runs no `finally`, so the listener goes here, too. */
  const leave = async () => {
    signal?.removeEventListener("abort", onAbort);
    cancel.abort(new ConnectError("the reader has gone", Code.Canceled));
    await messages.return(undefined);
  };
  const iterator: AsyncIterableIterator<unknown> = {
    next: () => messages.next(),
    async return(value?: unknown) {
      await leave();
      return { done: true, value };
    },
    async throw(error: unknown) {
      await leave();
      throw error;
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return iterator;
}

async function* once<T>(value: T): AsyncGenerator<T> {
  yield value;
}
