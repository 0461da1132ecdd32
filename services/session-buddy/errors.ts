import { DomainError } from "../../shared/errors.ts";

/** How long a caller may wait before it writes again while Session-Buddy holds the file. */
const lockedRetryMs = 5_000;

/** Another program holds the file, and this call has to write. */
export class StoreLockedError extends DomainError {
  override readonly name = "StoreLockedError";

  constructor(holder: string | undefined, cause?: unknown) {
    super(
      "unavailable",
      "STORE_LOCKED",
      `Session-Buddy's file is held by ${holder ?? "another program"}; nothing was written`,
      {
        facts: holder === undefined ? {} : { holder },
        retryAfterMs: lockedRetryMs,
        cause,
      },
    );
  }
}

/** The file cannot be read or written, and the message says why in words for an operator. */
export class StoreUnavailableError extends DomainError {
  override readonly name = "StoreUnavailableError";

  constructor(message: string, cause?: unknown) {
    super("unavailable", "DEPENDENCY_UNAVAILABLE", message, {
      facts: { dependency: "session-buddy file" },
      retryAfterMs: 2_000,
      cause,
    });
  }
}

/** The file has indexes that only their extension may change; writing without it damages them. */
export class UnwritableIndexError extends DomainError {
  override readonly name = "UnwritableIndexError";

  constructor(indexes: readonly string[]) {
    super(
      "failed_precondition",
      "STORE_NOT_WRITABLE",
      `Session-Buddy's file has HNSW indexes (${indexes.join(", ")}), which are written with DuckDB's vss extension only; store through Session-Buddy, or drop them`,
      { facts: { needs: "duckdb vss extension" } },
    );
  }
}

export class RequestIdReusedError extends DomainError {
  override readonly name = "RequestIdReusedError";

  constructor(requestId: string) {
    super(
      "already_exists",
      "REQUEST_ID_REUSED",
      `request_id "${requestId}" was used with another content`,
      { facts: { request_id: requestId } },
    );
  }
}

/** The query's vector does not fit those of its model in the side index. */
export class DimensionMismatchError extends DomainError {
  override readonly name = "DimensionMismatchError";

  constructor(model: string, expected: number, actual: number) {
    super(
      "failed_precondition",
      "DIMENSION_MISMATCH",
      `vectors of "${model}" have ${expected} components; vector has ${actual}`,
      { facts: { expected: String(expected), actual: String(actual), model } },
    );
  }
}

/** Each export holds a copy of the files, so there may be few at a time. */
export class TooManyExportsError extends DomainError {
  override readonly name = "TooManyExportsError";

  constructor(most: number) {
    super("resource_exhausted", "OVERLOADED", `${most} exports run already`, {
      retryAfterMs: 5_000,
    });
  }
}
