import type { DescMessage, DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import type {
  HandlerContext,
  Interceptor,
  StreamRequest,
  StreamResponse,
  UnaryRequest,
  UnaryResponse,
} from "@connectrpc/connect";
import { encode } from "./codec.ts";
import { protocolError } from "./errors.ts";
import type { MethodHandler } from "./service.ts";

export type AnyRequest = UnaryRequest | StreamRequest;
export type AnyResponse = UnaryResponse | StreamResponse;
export type AnyNext = (request: AnyRequest) => Promise<AnyResponse>;

/** A call as it passes through the server's own interceptors: request and context in one. */
export type HostedRequest = AnyRequest & HandlerContext;

/**
 * Everything between the wire and a method's handler, composed once per method:
 * own interceptors -> encoding -> extra interceptors -> handler.
 *
 * The response's `message` that leaves here is bytes already. So what goes wrong in encoding is
 * seen by the server's own interceptors like any error of the handler, and they have no payload
 * to look at.
 */
export function composeMethod(
  method: DescMethod,
  handler: MethodHandler,
  own: readonly Interceptor[],
  extra: readonly Interceptor[],
  maxMessageBytes: number,
): AnyNext {
  const toBytes = (message: MessageInitShape<DescMessage>) =>
    encode(method.output, message, maxMessageBytes, "response");
  const serve: AnyNext = async (request) => {
    const call = request as HostedRequest;
    const result = await (extra.length === 0
      ? answer(method, handler, call.message, call)
      : answerThrough(extra, method, handler, call));
    return responseOf(
      call,
      call.stream
        ? mapped(result as AsyncIterable<MessageInitShape<DescMessage>>, toBytes)
        : toBytes(result as MessageInitShape<DescMessage>),
    );
  };
  return apply(serve, own);
}

function apply(innermost: AnyNext, interceptors: readonly Interceptor[]): AnyNext {
  return interceptors.reduceRight((next, interceptor) => interceptor(next), innermost);
}

/** Interceptors written for Connect may copy a request by spreading it, so they get a plain one. */
async function answerThrough(
  interceptors: readonly Interceptor[],
  method: DescMethod,
  handler: MethodHandler,
  call: HostedRequest,
): Promise<unknown> {
  const plain = {
    stream: call.stream,
    message: call.message,
    service: call.service,
    method: call.method,
    requestMethod: call.requestMethod,
    url: call.url,
    signal: call.signal,
    header: call.header,
    contextValues: call.contextValues,
  } as AnyRequest;
  const invoke: AnyNext = async (request) =>
    responseOf(call, await answer(method, handler, request.message, call));
  return (await apply(invoke, interceptors)(plain)).message;
}

/** Headers and trailers are those of the call, and made only when somebody asks for them. */
class HostedResponse {
  readonly stream: boolean;
  readonly message: unknown;
  readonly #call: HostedRequest;

  constructor(call: HostedRequest, message: unknown) {
    this.stream = call.stream;
    this.message = message;
    this.#call = call;
  }
  get service() {
    return this.#call.service;
  }
  get method() {
    return this.#call.method;
  }
  get header() {
    return this.#call.responseHeader;
  }
  get trailer() {
    return this.#call.responseTrailer;
  }
}

function responseOf(call: HostedRequest, message: unknown): AnyResponse {
  return new HostedResponse(call, message) as AnyResponse;
}

async function answer(
  method: DescMethod,
  handler: MethodHandler,
  message: unknown,
  call: HandlerContext,
): Promise<unknown> {
  switch (method.methodKind) {
    case "unary":
      return await handler(message, call);
    case "server_streaming":
      return handler(await only(message as AsyncIterable<unknown>), call);
    case "client_streaming":
      return once(await handler(message, call));
    case "bidi_streaming":
      return handler(message, call);
  }
}

async function only(messages: AsyncIterable<unknown>): Promise<unknown> {
  const iterator = messages[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) throw protocolError("the request message is missing");
  if ((await iterator.next()).done !== true) throw protocolError("more than one request message");
  return first.value;
}

async function* once(value: unknown): AsyncGenerator<unknown> {
  yield value;
}

/** Maps by hand: a generator in between would cost every message two more promises. */
function mapped<T>(source: AsyncIterable<T>, map: (value: T) => unknown) {
  return {
    [Symbol.asyncIterator]() {
      const iterator = source[Symbol.asyncIterator]();
      return {
        async next() {
          const step = await iterator.next();
          if (step.done === true) return step;
          try {
            return { done: false, value: map(step.value) };
          } catch (error) {
            await iterator.return?.();
            throw error;
          }
        },
        return: () => iterator.return?.() ?? Promise.resolve({ done: true, value: undefined }),
      };
    },
  };
}
