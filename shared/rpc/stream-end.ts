import type { AnyResponse } from "./hosted-method.ts";

/**
 * Calls `onEnd` once when a response is complete or has failed: at once for a unary response, after
 * the last message of a stream. `onEnd` may return an error to put in the place of the one it got;
 * it gets none where all went well. `reason` tells why a stream was given up.
 */
export function whenEnded(
  response: AnyResponse,
  reason: () => unknown,
  onEnd: (error?: unknown) => unknown,
): AnyResponse {
  if (!response.stream) {
    onEnd();
    return response;
  }
  const source = response.message as AsyncIterable<unknown>;
  return {
    stream: true,
    service: response.service,
    method: response.method,
    message: watched(source, reason, onEnd),
    // Read through, since headers are made when first asked for.
    get header() {
      return response.header;
    },
    get trailer() {
      return response.trailer;
    },
  } as AnyResponse;
}

function watched(
  source: AsyncIterable<unknown>,
  reason: () => unknown,
  onEnd: (error?: unknown) => unknown,
): AsyncIterable<unknown> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = source[Symbol.asyncIterator]();
      const onStep = (step: IteratorResult<unknown>) => {
        if (step.done === true) onEnd();
        return step;
      };
      const onError = (error: unknown) => {
        throw onEnd(error) ?? error;
      };
      return {
        next: () => iterator.next().then(onStep, onError),
        async return() {
          try {
            await iterator.return?.();
          } finally {
            onEnd(reason());
          }
          return { done: true, value: undefined };
        },
      };
    },
  };
}
