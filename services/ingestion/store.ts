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

/** What an ingestion brings in, or that it takes all away. */
export type JobKind = "folder" | "documents" | "deletion";

/** The right to work on an ingestion: it lapses unless its holder gives signs of life. */
export interface Lease {
  /** Another one for each hold. */
  readonly token: string;
  /** How long it lasts after each sign of life. */
  readonly ms: number;
}

export interface NewJob extends RepositoryKey {
  readonly id: string;
  readonly kind: JobKind;
  /** "" where it is no folder's. */
  readonly path: string;
  readonly settings: IngestionSettings;
  /** Its holder's, from the beginning. Absent: it waits until somebody claims it. */
  readonly lease?: Lease | undefined;
}

/** A folder's ingestion that this process now works on. */
export interface ClaimedJob {
  readonly tenant: string;
  readonly ingestion: Ingestion;
  /** Its last holder neither ended it nor gave it back. */
  readonly afterDeath: boolean;
  /** Holders in a row that died before a single file was done. */
  readonly lostHolders: number;
  /** How many processes died over which file. */
  readonly deaths: ReadonlyMap<string, number>;
}

export interface IngestionFilter {
  /** "": all. */
  readonly repoId: string;
  readonly status: IngestionStatus | undefined;
  readonly limit: number;
  /** Only ingestions older than this one. */
  readonly before: string | undefined;
}

/** What a holder learns: whether the ingestion is still its own, and is wanted. */
export type Beat = "ours" | "cancel_requested" | "lost";

export interface Outcome {
  readonly status: Extract<IngestionStatus, "completed" | "failed" | "cancelled">;
  readonly progress: Progress;
  readonly message: string;
}

/**
 * The ingestions of all processes, and the queue of those that wait. Nothing of one tenant is ever
 * seen by another. Time is the database's. Every method takes the signal of the work it is for and
 * rejects with its reason; whoever names a token changes nothing once the lease is another's.
 */
export interface JobStore {
  /**
   * Records a new ingestion as pending, or in progress where it comes with a lease. A repository
   * has at most one of a folder or deletion that has not ended, and no stream of documents beside
   * a deletion: where one is in the way, nothing is recorded and its id is returned.
   */
  create(job: NewJob, signal?: AbortSignal): Promise<string | undefined>;
  /**
   * The oldest folder that nobody works on: it waits, or its holder's lease has lapsed. Of many
   * that ask at once each gets another. A file under suspicion counts as one more death.
   */
  claim(lease: Lease, signal?: AbortSignal): Promise<ClaimedJob | undefined>;
  /** A sign of life, and how far it is; `advanced`: a file is done. */
  beat(
    key: IngestionKey,
    lease: Lease,
    news: { readonly progress: Progress; readonly advanced: boolean },
    signal?: AbortSignal,
  ): Promise<Beat>;
  /** Notes which file is worked on alone; undefined: none any more. */
  suspect(
    key: IngestionKey,
    lease: Lease,
    path: string | undefined,
    signal?: AbortSignal,
  ): Promise<Beat>;
  /** Gives it back: it waits for the next that has time. */
  release(key: IngestionKey, lease: Lease, progress: Progress, signal?: AbortSignal): Promise<void>;
  /** Records its end, once. */
  end(key: IngestionKey, lease: Lease, outcome: Outcome, signal?: AbortSignal): Promise<void>;
  /** Asks the holder to stop; one that nobody holds is cancelled at once. */
  requestCancel(key: IngestionKey, signal?: AbortSignal): Promise<void>;
  /** Ends what lapsed and cannot go on: streams, deletions, and what was to be cancelled. */
  settle(message: string, signal?: AbortSignal): Promise<readonly string[]>;
  get(key: IngestionKey, signal?: AbortSignal): Promise<Ingestion | undefined>;
  /** Newest first; deletions are none of them. */
  list(
    tenant: string,
    filter: IngestionFilter,
    signal?: AbortSignal,
  ): Promise<readonly Ingestion[]>;
  /** The folder that the repository's newest ingestion read; undefined where there is none. */
  lastPath(key: RepositoryKey, signal?: AbortSignal): Promise<string | undefined>;
  /** Forgets a repository, its files and ingestions; returns how many ingestions there were. */
  deleteRepository(key: RepositoryKey, signal?: AbortSignal): Promise<number>;
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
  /** The ingestion that wrote it last; "" where none has come to its end. */
  readonly ingestionId: string;
  /** How many of its chunks that one stored. */
  readonly storedCount: number;
}

/** A file that is known, and whether anything of it must be done again. */
export interface ListedFile {
  readonly path: string;
  /** Made by `stampText`; undefined where nothing can be told without reading the file. */
  readonly stamp: string | undefined;
  /** Of the recipe that was asked for. */
  readonly isCurrent: boolean;
  /** A client sent it. */
  readonly isPushed: boolean;
  readonly skipped: string | undefined;
  readonly chunkCount: number;
  /** How many of its chunks the ingestion that asks has stored. */
  readonly ownCount: number;
  /** The ingestion that asks has written it. */
  readonly isOwn: boolean;
}

/** Every id under which chunks of a file may be stored. */
export interface FileChunks {
  readonly recipe: string;
  readonly chunks: readonly ChunkRef[];
  /** Announced and never completed: some may be stored, some not. */
  readonly pendingIds: readonly string[];
}

/** A file whose chunks are all stored. */
export interface IngestedFile extends Omit<KnownFile, "chunkCount" | "ingestionId"> {
  readonly chunks: readonly ChunkRef[];
}

/** Who writes a file's chunks. */
export interface Writer {
  readonly ingestionId: string;
  /** Of the lease that it holds its ingestion by. */
  readonly token: string;
  /** Whether a client sent the files; they are none of a folder's then. */
  readonly pushed: boolean;
}

/** What ingestion remembers of files. Nothing of one tenant is ever seen by another. */
export interface FileStore {
  /** Of those of these paths that are known. */
  knownFiles(
    key: RepositoryKey,
    paths: readonly string[],
    signal?: AbortSignal,
  ): Promise<Map<string, KnownFile>>;
  /** How many chunks of the repository should be stored. */
  chunkTotal(key: RepositoryKey, signal?: AbortSignal): Promise<number>;
  /** Known files, in the order of `comparePaths`, those above `after`, as an ingestion sees them. */
  listFiles(
    key: RepositoryKey,
    asks: { readonly recipe: string; readonly ingestionId: string },
    after: string,
    limit: number,
    signal?: AbortSignal,
  ): Promise<readonly ListedFile[]>;
  /** Of those paths that are known. */
  chunksOf(
    key: RepositoryKey,
    paths: readonly string[],
    signal?: AbortSignal,
  ): Promise<Map<string, FileChunks>>;
  /**
   * Takes files for a writer, and records, before they are stored, under which ids chunks will be.
   * Returns those that it got as they are now; one that another living writer has is left out.
   * Another hold of the same ingestion is no other writer.
   */
  take(
    key: RepositoryKey,
    writer: Writer,
    files: readonly { readonly path: string; readonly ids: readonly string[] }[],
    signal?: AbortSignal,
  ): Promise<Map<string, FileChunks>>;
  /** Leaves files to other writers, as they are. */
  leave(
    key: RepositoryKey,
    writer: Writer,
    paths: readonly string[],
    signal?: AbortSignal,
  ): Promise<void>;
  /**
   * Records taken files as ingested whole, and leaves them; nothing of them is pending any more.
   * One transaction. Returns how many were still the writer's.
   */
  complete(
    key: RepositoryKey,
    writer: Writer,
    files: readonly IngestedFile[],
    signal?: AbortSignal,
  ): Promise<number>;
  /** Records new stamps of files whose bytes are the same. */
  restamp(
    key: RepositoryKey,
    files: readonly Pick<KnownFile, "path" | "stamp">[],
    signal?: AbortSignal,
  ): Promise<void>;
  /** Forgets files. */
  forget(key: RepositoryKey, paths: readonly string[], signal?: AbortSignal): Promise<void>;
}
