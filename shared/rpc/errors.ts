import { Code, ConnectError } from "@connectrpc/connect";
import { DomainError, type ErrorKind } from "../errors.ts";
import { detailsOf, errorInfo } from "./error-details.ts";

/** The one place where a domain's word for a failure becomes a status code. */
export const codeOfKind: Readonly<Record<ErrorKind, Code>> = {
  invalid_argument: Code.InvalidArgument,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  permission_denied: Code.PermissionDenied,
  unauthenticated: Code.Unauthenticated,
  failed_precondition: Code.FailedPrecondition,
  aborted: Code.Aborted,
  resource_exhausted: Code.ResourceExhausted,
  unavailable: Code.Unavailable,
  deadline_exceeded: Code.DeadlineExceeded,
  canceled: Code.Canceled,
  unimplemented: Code.Unimplemented,
  internal: Code.Internal,
};

/** What the funnel needs to know about the call in which something was thrown. */
export interface FunnelContext {
  /** The call's own signal: what is thrown after it has aborted is a consequence of that. */
  readonly signal?: AbortSignal | undefined;
  /** Told to the caller of an INTERNAL error, so that the log can be searched for it. */
  readonly traceId?: string | undefined;
  /** Receives whatever is thrown and is neither a DomainError nor a ConnectError. */
  readonly onUnexpected?: ((error: unknown) => void) | undefined;
}

/**
 * The one door through which errors leave a service. A DomainError gets its code and its details;
 * a ConnectError passes as it is; an abort becomes CANCELLED or DEADLINE_EXCEEDED; anything else
 * is INTERNAL, says nothing about itself, and is handed to `onUnexpected`.
 */
export function toConnectError(error: unknown, context: FunnelContext = {}): ConnectError {
  if (context.signal?.aborted) return abortError(context.signal.reason, error);
  if (error instanceof DomainError) return fromDomainError(error);
  if (error instanceof ConnectError) return error;
  if (isNamed(error, "TimeoutError")) return deadlineError(error);
  // The call itself goes on, so somebody else's abort is a fault of ours and no cancellation.
  context.onUnexpected?.(error);
  const suffix = context.traceId === undefined ? "" : ` (trace ${context.traceId})`;
  return new ConnectError(
    `internal error${suffix}`,
    Code.Internal,
    undefined,
    [errorInfo("INTERNAL", context.traceId === undefined ? {} : { trace_id: context.traceId })],
    error,
  );
}

function fromDomainError(error: DomainError): ConnectError {
  return new ConnectError(
    error.message,
    codeOfKind[error.kind],
    undefined,
    detailsOf(error),
    error.cause ?? error,
  );
}

/** What an aborted call answers: the reason of its signal, as a status. */
function abortError(reason: unknown, cause: unknown): ConnectError {
  if (reason instanceof ConnectError) return reason;
  if (isNamed(reason, "TimeoutError")) return deadlineError(cause);
  return canceledError(cause);
}

/** The caller went away. */
export function canceledError(cause?: unknown): ConnectError {
  return new ConnectError("the call was cancelled", Code.Canceled, undefined, undefined, cause);
}

/** The call's time is over. */
export function deadlineError(cause?: unknown): ConnectError {
  return new ConnectError(
    "the deadline passed before the work was done",
    Code.DeadlineExceeded,
    undefined,
    [errorInfo("DEADLINE_EXCEEDED")],
    cause,
  );
}

/** A call that broke the protocol: too few or too many messages for its kind. */
export function protocolError(message: string): ConnectError {
  return new ConnectError(`protocol error: ${message}`, Code.Unimplemented);
}

function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && error.name === name;
}
