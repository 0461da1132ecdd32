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

export class SwitchedOffError extends DomainError {
  override readonly name = "SwitchedOffError";

  constructor(name: string) {
    super("failed_precondition", "SWITCHED_OFF", `switched off by memory_service.${name}`, {
      facts: { switch: name },
    });
  }
}

/** Every source of a search that was asked failed. */
export class AllSourcesFailedError extends DomainError {
  override readonly name = "AllSourcesFailedError";

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
  }
}
