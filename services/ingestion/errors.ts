import { DomainError } from "../../shared/errors.ts";

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

/** The tenant migrates the same file already, unless its process died a moment ago. */
export class MigrationBusyError extends DomainError {
  override readonly name = "MigrationBusyError";

  /** `remainingMs`: for how long it is surely its holder's. */
  constructor(path: string, migrationId: string, remainingMs: number) {
    super("aborted", "CONFLICT", `${path} is being migrated already`, {
      facts: { path, migration_id: migrationId },
      retryAfterMs: Math.ceil(remainingMs),
    });
  }
}
