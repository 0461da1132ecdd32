import type { Ingestion, IngestionSettings, IngestionStatus, Progress } from "./ingestion.ts";
import type { FileStamp } from "./repository-walk.ts";

/** A repository of a tenant. */
export interface RepositoryKey {
  readonly tenant: string;
  readonly repoId: string;
}

/** An ingestion of a tenant. */
export interface IngestionKey {
  readonly tenant: string;
  readonly id: string;
}

/** The process that runs an ingestion. */
export interface Owner {
  readonly host: string;
  readonly pid: number;
  /** Differs between two lives of one process id. */
  readonly life: string;
}

export interface NewIngestion extends RepositoryKey {
  readonly id: string;
  readonly path: string;
  readonly settings: IngestionSettings;
  readonly owner: Owner;
}

export interface IngestionFilter {
  /** "": all. */
  readonly repoId: string;
  readonly status: IngestionStatus | undefined;
  readonly limit: number;
  /** Only ingestions older than this one. */
  readonly before: string | undefined;
}

/** What a beat finds: whether the ingestion still belongs to this owner, and is wanted. */
export type Beat = "ours" | "cancel_requested" | "lost";

/** An ingestion that has not ended, and when its owner was last heard of. */
export interface RunningIngestion extends IngestionKey {
  readonly owner: Owner;
  readonly silentMs: number;
}

/** A chunk of a file, as it is stored. */
export interface ChunkRef {
  readonly id: string;
  readonly startLine: number;
  readonly endLine: number;
}

/** What is known of a file since it was last ingested whole. */
export interface KnownFile {
  readonly path: string;
  /** Undefined where nothing can be told without reading the file. */
  readonly stamp: FileStamp | undefined;
  /** Of its bytes; "" where it was never ingested whole. */
  readonly hash: string;
  /** How it was chunked and embedded; another recipe means doing it again. */
  readonly recipe: string;
  /** Why it was passed over when it was read; undefined where it was not. */
  readonly skipped: string | undefined;
  readonly chunkCount: number;
}

/** Every id under which chunks of a file may be stored. */
export interface FileChunks {
  readonly chunks: readonly ChunkRef[];
  /** Announced and never completed: some may be stored, some not. */
  readonly pendingIds: readonly string[];
}

/** A file whose chunks are all stored. */
export interface IngestedFile extends Omit<KnownFile, "chunkCount"> {
  readonly chunks: readonly ChunkRef[];
}

/**
 * What ingestion remembers. Nothing of one tenant is ever seen by another. Every method takes the
 * signal of the work it is for and rejects with its reason.
 */
export interface IngestionStore {
  /**
   * Records a new ingestion as pending. One repository has at most one that has not ended: where
   * there is one, nothing is recorded and it is returned.
   */
  create(ingestion: NewIngestion, signal?: AbortSignal): Promise<RunningIngestion | undefined>;
  /** Marks it in progress. */
  start(key: IngestionKey, owner: Owner, signal?: AbortSignal): Promise<Beat>;
  /** Tells that the owner lives, and how far it is. Changes nothing that is not the owner's. */
  beat(key: IngestionKey, owner: Owner, progress: Progress, signal?: AbortSignal): Promise<Beat>;
  /** Records its end, once. Changes nothing that is not the owner's, or has ended. */
  end(
    key: IngestionKey,
    owner: Owner,
    outcome: {
      readonly status: IngestionStatus;
      readonly progress: Progress;
      readonly message: string;
    },
    signal?: AbortSignal,
  ): Promise<void>;
  /** Ingestions of all tenants that have not ended. */
  running(signal?: AbortSignal): Promise<readonly RunningIngestion[]>;
  /** Marks an ingestion failed whose owner is gone. Returns whether it had not ended before. */
  interrupt(ingestion: RunningIngestion, message: string, signal?: AbortSignal): Promise<boolean>;
  /** Asks the owner to stop; it learns of it with its next beat. */
  requestCancel(key: IngestionKey, signal?: AbortSignal): Promise<void>;
  get(key: IngestionKey, signal?: AbortSignal): Promise<Ingestion | undefined>;
  /** Newest first. */
  list(
    tenant: string,
    filter: IngestionFilter,
    signal?: AbortSignal,
  ): Promise<readonly Ingestion[]>;
  /** The folder that the repository's newest ingestion read; undefined where there is none. */
  lastPath(key: RepositoryKey, signal?: AbortSignal): Promise<string | undefined>;

  /** Every known file, by path. */
  knownFiles(key: RepositoryKey, signal?: AbortSignal): Promise<Map<string, KnownFile>>;
  /** Of those paths that are known. */
  chunksOf(
    key: RepositoryKey,
    paths: readonly string[],
    signal?: AbortSignal,
  ): Promise<Map<string, FileChunks>>;
  /** Records, before they are stored, under which ids chunks of these files will be. */
  announce(
    key: RepositoryKey,
    files: readonly { readonly path: string; readonly ids: readonly string[] }[],
    signal?: AbortSignal,
  ): Promise<void>;
  /** Records files as ingested whole; nothing of them is pending any more. One transaction. */
  complete(
    key: RepositoryKey,
    ingestionId: string,
    files: readonly IngestedFile[],
    signal?: AbortSignal,
  ): Promise<void>;
  /** Records new stamps of files whose bytes are the same. */
  restamp(
    key: RepositoryKey,
    files: readonly Pick<KnownFile, "path" | "stamp">[],
    signal?: AbortSignal,
  ): Promise<void>;
  /** Forgets files. */
  forget(key: RepositoryKey, paths: readonly string[], signal?: AbortSignal): Promise<void>;
  /** Forgets a repository, its files and ingestions; returns how many ingestions there were. */
  deleteRepository(key: RepositoryKey, signal?: AbortSignal): Promise<number>;
}
