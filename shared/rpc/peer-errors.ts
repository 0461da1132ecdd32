import { Code, ConnectError } from "@connectrpc/connect";
import {
  DependencyUnavailableError,
  DomainError,
  type ErrorKind,
  type ErrorReasonName,
} from "../errors.ts";
import {
  BadRequestSchema,
  type ErrorInfo,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.js";
import { ErrorReason } from "../gen/mahavishnu/type/v1/error_pb.js";
import { errorDomain } from "./error-details.ts";
import { codeOfKind } from "./errors.ts";

const kindOfCode = new Map(
  Object.entries(codeOfKind).map(([kind, code]) => [code, kind as ErrorKind]),
);

/** Reasons for the codes that say enough by themselves, where a peer gave none. */
const reasonOfCode = new Map<Code, ErrorReasonName>([
  [Code.InvalidArgument, "INVALID_FIELD"],
  [Code.ResourceExhausted, "OVERLOADED"],
  [Code.DeadlineExceeded, "DEADLINE_EXCEEDED"],
  [Code.Unauthenticated, "UNAUTHENTICATED"],
  [Code.Unimplemented, "NOT_IMPLEMENTED"],
  [Code.Aborted, "CONFLICT"],
]);

/** The reason that an error of this project's services carries, such as `MODEL_MISMATCH`. */
export function reasonOf(error: unknown): string | undefined {
  if (error instanceof DomainError) return error.reason;
  return infoOf(error)?.reason;
}

function infoOf(error: unknown): ErrorInfo | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  return error.findDetails(ErrorInfoSchema).find((info) => info.domain === errorDomain);
}

/**
 * Turns the error of a call to a peer into one that the domain may rethrow: UNAVAILABLE becomes a
 * DependencyUnavailableError that names the peer, everything else keeps its kind, reason, facts,
 * violations and delay. What is no ConnectError, and a cancellation, come back as they are.
 */
export function domainErrorOf(error: unknown, dependency: string): unknown {
  if (!(error instanceof ConnectError) || error.code === Code.Canceled) return error;
  const info = infoOf(error);
  if (error.code === Code.Unavailable && (info === undefined || isDown(info))) {
    // A peer that answers but lacks a part of its own says so in its message; that is worth keeping.
    const message = info === undefined ? `${dependency} does not answer` : error.rawMessage;
    return new DependencyUnavailableError(dependency, message, error);
  }
  const retryDelay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return new DomainError(
    kindOfCode.get(error.code) ?? "internal",
    knownReason(info?.reason) ?? reasonOfCode.get(error.code) ?? "INTERNAL",
    error.rawMessage,
    {
      facts: info?.metadata ?? {},
      violations: error.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations),
      cause: error,
      ...(retryDelay === undefined
        ? {}
        : { retryAfterMs: Number(retryDelay.seconds) * 1_000 + retryDelay.nanos / 1_000_000 }),
    },
  );
}

function isDown(info: ErrorInfo): boolean {
  return info.reason === "DEPENDENCY_UNAVAILABLE";
}

/** A name of our ErrorReason; undefined for a name that a newer peer may have sent. */
function knownReason(name: string | undefined): ErrorReasonName | undefined {
  return name !== undefined && name in ErrorReason ? (name as ErrorReasonName) : undefined;
}
