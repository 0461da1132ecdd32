import { DomainError } from "../../shared/errors.ts";

export class CollectionNotFoundError extends DomainError {
  override readonly name = "CollectionNotFoundError";

  constructor(collection: string) {
    super("not_found", "COLLECTION_NOT_FOUND", `there is no collection ${collection}`, {
      facts: { collection },
    });
  }
}

export class CollectionExistsError extends DomainError {
  override readonly name = "CollectionExistsError";

  constructor(collection: string) {
    super("already_exists", "COLLECTION_EXISTS", `there is a collection ${collection} already`, {
      facts: { collection },
    });
  }
}

/** Each collection is a table with a dozen indexes; a database takes some, not any number. */
export class TooManyCollectionsError extends DomainError {
  override readonly name = "TooManyCollectionsError";

  constructor(limit: number) {
    super("resource_exhausted", "TOO_MANY_COLLECTIONS", `there are ${limit} collections already`, {
      facts: { limit: String(limit) },
    });
  }
}

export class CollectionProtectedError extends DomainError {
  override readonly name = "CollectionProtectedError";

  constructor(collection: string) {
    const message = `the platform needs the collection ${collection}: delete its documents instead`;
    super("failed_precondition", "COLLECTION_PROTECTED", message, { facts: { collection } });
  }
}

/** Another caller builds the index of this collection. */
export class IndexBuildRunningError extends DomainError {
  override readonly name = "IndexBuildRunningError";

  constructor(collection: string) {
    super("aborted", "CONFLICT", `an index of ${collection} is being built`, {
      facts: { collection },
      retryAfterMs: 10_000,
    });
  }
}

/** Lists have their centres in the rows that are there; with too few they would be no good. */
export class TooFewRowsError extends DomainError {
  override readonly name = "TooFewRowsError";

  constructor(rows: number, needed: number) {
    const message = `an IVFFlat index of so many lists needs ${needed} vectors, there are ${rows}`;
    super("failed_precondition", "TOO_FEW_ROWS", message, {
      facts: { rows: String(rows), needed: String(needed) },
    });
  }
}

/** A build holds one connection while others tell its progress and go on serving. */
export class PoolTooSmallError extends DomainError {
  override readonly name = "PoolTooSmallError";

  constructor(needed: number) {
    const message = `building an index needs ${needed} connections: raise MAHAVISHNU_PG_POOL_SIZE`;
    super("failed_precondition", "OVERLOADED", message, { facts: { needed: String(needed) } });
  }
}

/** A vector of another model than the collection's: comparing the two would mean nothing. */
export class ModelMismatchError extends DomainError {
  override readonly name = "ModelMismatchError";

  constructor(expected: string, actual: string) {
    const message = `the collection holds vectors of ${expected}, not of ${actual}`;
    super("failed_precondition", "MODEL_MISMATCH", message, { facts: { expected, actual } });
  }
}

export class DimensionMismatchError extends DomainError {
  override readonly name = "DimensionMismatchError";

  constructor(field: string, expected: number, actual: number) {
    const message = `${field}: the collection's vectors have ${expected} components, not ${actual}`;
    super("failed_precondition", "DIMENSION_MISMATCH", message, {
      facts: { expected: String(expected), actual: String(actual) },
    });
  }
}

/** The content is stored under another id in the same scope. */
export class DuplicateContentError extends DomainError {
  override readonly name = "DuplicateContentError";

  constructor(field: string, id: string) {
    const message = `${field}: the document ${id} has this content in the same scope`;
    super("already_exists", "DUPLICATE_CONTENT", message, { facts: { id } });
  }
}

/** A vector came for a content that the document no longer has. */
export class ContentChangedError extends DomainError {
  override readonly name = "ContentChangedError";

  constructor(id: string) {
    super("aborted", "CONFLICT", `the document ${id} has another content by now`, {
      facts: { id },
    });
  }
}

/** A change was meant for another state of the document. */
export class DocumentChangedError extends DomainError {
  override readonly name = "DocumentChangedError";

  constructor(id: string) {
    super("aborted", "CONFLICT", `the document ${id} was written meanwhile`, { facts: { id } });
  }
}

export class DocumentNotFoundError extends DomainError {
  override readonly name = "DocumentNotFoundError";

  constructor(id: string) {
    super("not_found", "MEMORY_NOT_FOUND", `there is no document ${id}`, { facts: { id } });
  }
}

/** What was asked for is larger than a message; `remedy` says what to ask for instead. */
export class AnswerTooLargeError extends DomainError {
  override readonly name = "AnswerTooLargeError";

  constructor(limitBytes: number, remedy: string) {
    const message = `the documents have more than ${limitBytes} bytes together: ${remedy}`;
    super("resource_exhausted", "MESSAGE_TOO_LARGE", message, {
      facts: { limit_bytes: String(limitBytes) },
    });
  }
}

/** Other writers kept changing the same documents for longer than it is sensible to go on. */
export class WriteConflictError extends DomainError {
  override readonly name = "WriteConflictError";

  constructor(cause?: unknown) {
    super("aborted", "CONFLICT", "other writers keep changing the same documents", {
      retryAfterMs: 100,
      cause,
    });
  }
}

/** The setting names a language that the database has no text search configuration for. */
export class UnknownLanguageError extends DomainError {
  override readonly name = "UnknownLanguageError";

  constructor(language: string, known: readonly string[]) {
    const message = `MAHAVISHNU_TEXT_LANGUAGE: PostgreSQL has no text search configuration ${language}, but ${known.join(", ")}`;
    super("failed_precondition", "INVALID_FIELD", message, { facts: { language } });
  }
}
