import type { ErrorReason } from "./gen/mahavishnu/type/v1/error_pb.js";

/** What went wrong, in the words of the canonical status codes; the RPC layer owns the mapping. */
export type ErrorKind =
  | "invalid_argument"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "unauthenticated"
  | "failed_precondition"
  | "aborted"
  | "resource_exhausted"
  | "unavailable"
  | "deadline_exceeded"
  | "canceled"
  | "unimplemented"
  | "internal";

/** A name of the contract's ErrorReason, such as `MODEL_MISMATCH`. */
export type ErrorReasonName = Exclude<keyof typeof ErrorReason, "UNSPECIFIED">;

/** One field of a request and what is wrong with it. */
export interface FieldViolation {
  /** Path within the request, in proto names: `documents[3].vector`. */
  readonly field: string;
  readonly description: string;
}

export interface DomainErrorFacts {
  /** Facts for programs; they reach the caller as ErrorInfo.metadata. Never driver text or SQL. */
  readonly facts?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
  /** When a retry is worth trying. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/**
 * An error that the domain means to tell its caller. Its message is written for people and is sent
 * as it is; `cause` stays in our logs. Anything else that is thrown reaches the caller as INTERNAL.
 */
export class DomainError extends Error {
  override readonly name: string = "DomainError";
  readonly kind: ErrorKind;
  readonly reason: ErrorReasonName;
  readonly facts: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: ErrorKind,
    reason: ErrorReasonName,
    message: string,
    { facts = {}, violations = [], retryAfterMs, cause }: DomainErrorFacts = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.reason = reason;
    this.facts = facts;
    this.violations = violations;
    this.retryAfterMs = retryAfterMs;
  }
}

/** A request with fields that are missing or out of bounds; all of them at once. */
export class InvalidRequestError extends DomainError {
  override readonly name = "InvalidRequestError";

  constructor(violations: readonly FieldViolation[]) {
    const summary = violations.map((v) => `${v.field}: ${v.description}`).join("; ");
    super("invalid_argument", "INVALID_FIELD", summary, { violations });
  }
}

/** Collects the violations of one request, so that the caller learns of all of them at once. */
export class Violations {
  readonly list: FieldViolation[] = [];

  add(field: string, description: string): void {
    this.list.push({ field, description });
  }

  /** Adds a violation unless the condition holds; returns the condition. */
  require(condition: boolean, field: string, description: string): boolean {
    if (!condition) this.add(field, description);
    return condition;
  }

  throwIfAny(): void {
    if (this.list.length > 0) throw new InvalidRequestError(this.list);
  }
}

/** A peer or store that this call needs and that does not answer. */
export class DependencyUnavailableError extends DomainError {
  override readonly name = "DependencyUnavailableError";

  constructor(dependency: string, message: string, cause?: unknown) {
    super("unavailable", "DEPENDENCY_UNAVAILABLE", message, {
      facts: { dependency },
      retryAfterMs: 1_000,
      cause,
    });
  }
}

/** The part that serves the call is switched off, by this name under `memory_service` in the settings. */
export class SwitchedOffError extends DomainError {
  override readonly name = "SwitchedOffError";

  constructor(name: string) {
    super("failed_precondition", "SWITCHED_OFF", `switched off by memory_service.${name}`, {
      facts: { switch: name },
    });
  }
}
