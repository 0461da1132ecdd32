import type { Beat, Lease } from "../store.ts";
import type { Checkpoint } from "./migration-tally.ts";

/** A migration of a tenant. */
export interface MigrationKey {
  readonly tenant: string;
  readonly id: string;
}

export interface NewMigration extends MigrationKey {
  /** The file's real path on the machine of the bridge. */
  readonly file: string;
  /** In which its times are read; another one makes another migration of it. */
  readonly timeZone: string;
  /** Whoever opens it holds it. */
  readonly lease: Lease;
}

/** A migration that another one holds, and for how long yet unless that gives a sign of life. */
export interface RunningMigration extends MigrationKey {
  readonly remainingMs: number;
}

/** What came of asking for a migration. */
export type OpenedMigration =
  | {
      readonly kind: "opened";
      readonly id: string;
      readonly checkpoint: Checkpoint;
      /** True where an earlier one, which did not come to its end, is continued. */
      readonly resumed: boolean;
    }
  | { readonly kind: "running"; readonly running: RunningMigration };

export type MigrationEnd = "completed" | "failed" | "cancelled";

/**
 * What is remembered of migrations. A file has at most one of a tenant that is in progress. Time is
 * the database's. Every method takes the signal of the work it is for and rejects with its reason;
 * whoever names a token changes nothing once the lease is another's.
 */
export interface MigrationStore {
  /**
   * Takes up the file's newest migration where that failed, was cancelled or left by its holder in
   * the same time zone; else records a new one under the given id. Where one is in progress,
   * nothing is recorded.
   */
  open(migration: NewMigration, signal?: AbortSignal): Promise<OpenedMigration>;
  /** A sign of life, and how far it is. */
  beat(
    key: MigrationKey,
    lease: Lease,
    checkpoint: Checkpoint,
    signal?: AbortSignal,
  ): Promise<Beat>;
  /** Records its end, once. */
  end(
    key: MigrationKey,
    lease: Lease,
    outcome: {
      readonly status: MigrationEnd;
      readonly checkpoint: Checkpoint;
      /** For people. */
      readonly message: string;
    },
    signal?: AbortSignal,
  ): Promise<void>;
}
