import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import type { DomainError, ErrorReasonName, FieldViolation } from "../errors.ts";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../gen/google/rpc/error_details_pb.js";

/** The `domain` of every ErrorInfo of this project. */
export const errorDomain = "mahavishnu";

/** A detail on its way out, as ConnectError takes it. */
export interface ErrorDetail {
  readonly desc: DescMessage;
  readonly value: MessageInitShape<DescMessage>;
}

/**
 * Details travel in a trailer, and several gRPC implementations refuse trailers above 8 KiB; so
 * violations beyond this many characters are counted instead of listed.
 */
const maxViolationCharacters = 3_000;

export function errorInfo(
  reason: ErrorReasonName,
  metadata: Readonly<Record<string, string>> = {},
): ErrorDetail {
  return {
    desc: ErrorInfoSchema,
    value: { reason, domain: errorDomain, metadata: { ...metadata } },
  };
}

/** ErrorInfo always; BadRequest where fields are at fault; RetryInfo where a retry helps. */
export function detailsOf(error: DomainError): ErrorDetail[] {
  const details = [errorInfo(error.reason, error.facts)];
  if (error.violations.length > 0) {
    details.push({
      desc: BadRequestSchema,
      value: { fieldViolations: bounded(error.violations) },
    });
  }
  if (error.retryAfterMs !== undefined) {
    const seconds = Math.floor(error.retryAfterMs / 1_000);
    const nanos = Math.floor((error.retryAfterMs - seconds * 1_000) * 1_000_000);
    details.push({
      desc: RetryInfoSchema,
      value: { retryDelay: { seconds: BigInt(seconds), nanos } },
    });
  }
  return details;
}

function bounded(violations: readonly FieldViolation[]): FieldViolation[] {
  const listed: FieldViolation[] = [];
  let room = maxViolationCharacters;
  for (const { field, description } of violations) {
    room -= field.length + description.length;
    if (room < 0) break;
    listed.push({ field, description });
  }
  const rest = violations.length - listed.length;
  if (rest > 0) listed.push({ field: "", description: `and ${rest} more` });
  return listed;
}
