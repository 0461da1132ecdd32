import type { Checkpoint } from "./migration-tally.ts";
import type { Owner } from "./owner.ts";

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
  readonly owner: Owner;
}

/** A migration that has not ended, and when its owner was last heard of. */
export interface RunningMigration extends MigrationKey {
  readonly owner: Owner;
  readonly silentMs: number;
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
 * What is remembered of migrations. A file has at most one of a tenant that is in progress. Every
 * method takes the signal of the work it is for and rejects with its reason.
 */
export interface MigrationStore {
  /**
   * Takes up the file's newest migration where that failed or was cancelled in the same time zone;
   * else records a new one under the given id. Where one is in progress, nothing is recorded.
   */
  open(migration: NewMigration, signal?: AbortSignal): Promise<OpenedMigration>;
  /** Tells that the owner lives, and moves the checkpoint. False where it is not the owner's. */
  beat(
    key: MigrationKey,
    owner: Owner,
    checkpoint: Checkpoint,
    signal?: AbortSignal,
  ): Promise<boolean>;
  /** Records its end, once. Changes nothing that is not the owner's, or has ended. */
  end(
    key: MigrationKey,
    owner: Owner,
    outcome: {
      readonly status: MigrationEnd;
      readonly checkpoint: Checkpoint;
      /** For people. */
      readonly message: string;
    },
    signal?: AbortSignal,
  ): Promise<void>;
  /** Marks a migration failed whose owner is gone; its checkpoint stays. */
  interrupt(migration: RunningMigration, message: string, signal?: AbortSignal): Promise<void>;
}
