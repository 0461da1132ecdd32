import type {
  FileError,
  Ingestion,
  IngestionSettings,
  IngestionStage,
  IngestionStatus,
  SkippedFile,
} from "./ingestion.ts";
import type { FileStamp } from "./repository-walk.ts";
import type { IngestedFile, KnownFile, ListedFile } from "./store.ts";

/** A row of rag_ingestions, counts as numbers. */
export interface IngestionRow {
  readonly id: string;
  readonly repo_id: string;
  readonly path: string;
  readonly settings: IngestionSettings;
  readonly status: IngestionStatus;
  readonly stage: IngestionStage;
  readonly files_total: number;
  readonly files_read: number;
  readonly files_done: number;
  readonly files_failed: number;
  readonly chunks_split: number;
  readonly chunks_embedded: number;
  readonly chunks_stored: number;
  readonly chunks_unchanged: number;
  readonly chunks_deleted: number;
  readonly files_skipped: Record<string, number>;
  readonly skipped_examples: SkippedFile[];
  readonly errors: FileError[];
  readonly message: string;
  readonly created_at: Date;
  readonly started_at: Date | null;
  readonly ended_at: Date | null;
}

export function ingestionOf(row: IngestionRow): Ingestion {
  return {
    id: row.id,
    repoId: row.repo_id,
    path: row.path,
    settings: row.settings,
    status: row.status,
    progress: {
      stage: row.stage,
      filesTotal: row.files_total,
      filesRead: row.files_read,
      filesDone: row.files_done,
      filesFailed: row.files_failed,
      chunksSplit: row.chunks_split,
      chunksEmbedded: row.chunks_embedded,
      chunksStored: row.chunks_stored,
      chunksUnchanged: row.chunks_unchanged,
      chunksDeleted: row.chunks_deleted,
      filesSkipped: row.files_skipped,
      skippedExamples: row.skipped_examples,
      errors: row.errors,
    },
    message: row.message,
    createTime: row.created_at,
    startTime: row.started_at ?? undefined,
    endTime: row.ended_at ?? undefined,
  };
}

/** A row of rag_files; nanoseconds do not fit into a number and come as text. */
export interface FileRow {
  readonly path: string;
  readonly file_hash: string;
  readonly size_bytes: string | null;
  readonly mtime_ns: string | null;
  readonly ctime_ns: string | null;
  readonly inode: string | null;
  readonly recipe: string;
  readonly skipped: string | null;
  readonly chunk_count: number;
  readonly ingestion_id: string | null;
  readonly stored_count: number;
}

export function knownFileOf(row: FileRow): KnownFile {
  return {
    path: row.path,
    stamp: stampOf(row),
    hash: row.file_hash,
    recipe: row.recipe,
    skipped: row.skipped ?? undefined,
    chunkCount: row.chunk_count,
    ingestionId: row.ingestion_id ?? "",
    storedCount: row.stored_count,
  };
}

function stampOf({ size_bytes, mtime_ns, ctime_ns, inode }: FileRow): FileStamp | undefined {
  if (size_bytes === null || mtime_ns === null || ctime_ns === null || inode === null) {
    return undefined;
  }
  return {
    size: BigInt(size_bytes),
    mtimeNs: BigInt(mtime_ns),
    ctimeNs: BigInt(ctime_ns),
    inode: BigInt(inode),
  };
}

/** What an ingestion asks of every file of a row. */
export interface ListedRow {
  readonly path: string;
  readonly stamp: string | null;
  readonly is_current: boolean;
  readonly pushed: boolean;
  readonly skipped: string | null;
  readonly chunk_count: number;
  readonly own_count: number | null;
}

export function listedFileOf(row: ListedRow): ListedFile {
  return {
    path: row.path,
    stamp: row.stamp ?? undefined,
    isCurrent: row.is_current,
    isPushed: row.pushed,
    skipped: row.skipped ?? undefined,
    chunkCount: row.chunk_count,
    ownCount: row.own_count ?? 0,
    isOwn: row.own_count !== null,
  };
}

/** For jsonb_to_recordset: rows that hold lists, which unnest would flatten. */
export function filesAsJson(
  files: readonly (Pick<KnownFile, "path" | "stamp"> & Partial<IngestedFile>)[],
): string {
  return JSON.stringify(
    files.map(({ path, stamp, hash, recipe, skipped, chunks, storedCount }) => ({
      path,
      file_hash: hash,
      size_bytes: stamp?.size.toString(),
      mtime_ns: stamp?.mtimeNs.toString(),
      ctime_ns: stamp?.ctimeNs.toString(),
      inode: stamp?.inode.toString(),
      recipe,
      skipped,
      chunk_ids: chunks?.map(({ id }) => id),
      start_lines: chunks?.map(({ startLine }) => startLine),
      end_lines: chunks?.map(({ endLine }) => endLine),
      stored_count: storedCount,
    })),
  );
}
