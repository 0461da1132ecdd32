import type { Interceptor } from "@connectrpc/connect";
import { callInfoKey } from "./call-info.ts";
import { deadlineError } from "./errors.ts";

/** What a unary call may take when its caller sets no deadline. */
export const defaultUnaryTimeoutMs = 60_000;

/**
 * Refuses calls whose deadline has passed, and gives unary calls without one a bound, since a
 * caller that forgot it would hold our resources for ever. Streams may last: bulk loads and
 * watches have no natural bound.
 */
export function deadline(unaryTimeoutMs: number): Interceptor {
  return (next) => async (request) => {
    const info = request.contextValues.get(callInfoKey);
    if (info?.deadline !== undefined) {
      if (info.deadline <= Date.now()) throw deadlineError();
    } else if (!request.stream) info?.limitTo(unaryTimeoutMs);
    return next(request);
  };
}
