import { DomainError, type ErrorKind } from "../../shared/errors.ts";

const transientKinds: ReadonlySet<ErrorKind> = new Set([
  "unavailable",
  "deadline_exceeded",
  "resource_exhausted",
  "aborted",
  "canceled",
]);

/**
 * Whether the same work may succeed later, or may even have been done: all but an answer that
 * would be the same for ever.
 */
export function isTransient(error: unknown): boolean {
  return !(error instanceof DomainError) || transientKinds.has(error.kind);
}

export class MemoryNotFoundError extends DomainError {
  override readonly name = "MemoryNotFoundError";

  constructor(id: string) {
    super("not_found", "MEMORY_NOT_FOUND", `there is no memory ${id}`, { facts: { id } });
  }
}

/** The change was based on another state of the memory than the one that is stored. */
export class EtagMismatchError extends DomainError {
  override readonly name = "EtagMismatchError";

  constructor(id: string, etag: string) {
    const message = `the memory ${id} was changed meanwhile: its etag is ${etag}`;
    super("aborted", "ETAG_MISMATCH", message, { facts: { id, etag } });
  }
}

/** Others kept changing the memory for longer than it is sensible to go on. */
export class UpdateConflictError extends DomainError {
  override readonly name = "UpdateConflictError";

  constructor(id: string) {
    super("aborted", "CONFLICT", `others keep changing the memory ${id}`, {
      facts: { id },
      retryAfterMs: 100,
    });
  }
}

/** What a field follows, so that it cannot be changed by itself. */
export type FixedBy = "workflow_execution" | "conversation_turn" | "insight" | "pinned";

export class FieldFixedError extends DomainError {
  override readonly name = "FieldFixedError";

  constructor(field: string, because: FixedBy) {
    const message = `${field} cannot be changed: ${reasons[because]}`;
    super("failed_precondition", "FIELD_FIXED", message, { facts: { field, because } });
  }
}

const reasons: Readonly<Record<FixedBy, string>> = {
  workflow_execution: "the memory follows its workflow execution; record that anew",
  conversation_turn: "the memory holds what was said in a turn of a conversation",
  insight: "the memory's id is made of its content; store the other insight, and delete this one",
  pinned: "the memory is pinned and does not expire",
};

/** The same request id came with another payload. */
export class RequestIdReusedError extends DomainError {
  override readonly name = "RequestIdReusedError";

  constructor(requestId: string) {
    super(
      "already_exists",
      "REQUEST_ID_REUSED",
      `request id ${requestId} was used before with another content`,
      { facts: { request_id: requestId } },
    );
  }
}

/** Every source of a search that was asked failed. */
export class AllSourcesFailedError extends DomainError {
  override readonly name = "AllSourcesFailedError";
  readonly causes: readonly unknown[];

  constructor(
    failures: readonly { readonly source: string; readonly message: string }[],
    causes: readonly unknown[],
  ) {
    const told = failures.map(({ source, message }) => `${source}: ${message}`).join("; ");
    super("unavailable", "ALL_SOURCES_FAILED", `every source failed: ${told}`, {
      facts: Object.fromEntries(failures.map(({ source, message }) => [source, message])),
      retryAfterMs: 1_000,
      cause: new AggregateError(causes, "every source failed"),
    });
    this.causes = causes;
  }
}
