import { DomainError, type ErrorKind } from "../../shared/errors.ts";

/** A folder that cannot be ingested. */
export class PathRefusedError extends DomainError {
  override readonly name = "PathRefusedError";

  constructor(
    kind: Extract<ErrorKind, "invalid_argument" | "not_found" | "permission_denied">,
    path: string,
    message: string,
    cause?: unknown,
  ) {
    super(kind, "PATH_REFUSED", message, {
      facts: { path },
      // So that a client that knows only field errors finds the field.
      violations: kind === "invalid_argument" ? [{ field: "path", description: message }] : [],
      cause,
    });
  }
}

export class IngestionNotFoundError extends DomainError {
  override readonly name = "IngestionNotFoundError";

  constructor(ingestionId: string) {
    super("not_found", "INGESTION_NOT_FOUND", "no such ingestion", {
      facts: { ingestion_id: ingestionId },
    });
  }
}

/** Another ingestion of the same repository runs; it can be watched or cancelled. */
export class RepositoryBusyError extends DomainError {
  override readonly name = "RepositoryBusyError";

  constructor(repoId: string, ingestionId: string) {
    super("aborted", "CONFLICT", `repository ${repoId} is being ingested already`, {
      facts: { repo_id: repoId, ingestion_id: ingestionId },
      retryAfterMs: 5_000,
    });
  }
}

/** The tenant migrates the same file already. */
export class MigrationBusyError extends DomainError {
  override readonly name = "MigrationBusyError";

  constructor(path: string, migrationId: string) {
    super("aborted", "CONFLICT", `${path} is being migrated already`, {
      facts: { path, migration_id: migrationId },
      retryAfterMs: 5_000,
    });
  }
}
