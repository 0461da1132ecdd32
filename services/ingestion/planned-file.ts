import { contentHash } from "../../shared/hash.ts";
import { type Chunk, chunkingRevision } from "./chunking.ts";
import type { SourceFile } from "./file-text.ts";
import type { IngestionSettings } from "./ingestion.ts";
import type { ItemFailure, Metadata } from "./ports.ts";
import type { FileStamp } from "./repository-walk.ts";
import type { ChunkRef, RepositoryKey } from "./store.ts";

/** A chunk and the id that it always has. */
export interface PlannedChunk extends ChunkRef {
  readonly content: string;
  /** The headings or symbols that it stands under; "" where there are none. */
  readonly section: string;
  /** Characters that stand before it on its first line. */
  readonly startColumn: number;
  /** Which of the file's pieces it is, from 0. */
  readonly index: number;
}

/** A file that was read because it is new or changed: what is to be stored of it. */
export interface PlannedFile {
  readonly path: string;
  readonly stamp: FileStamp | undefined;
  /** SHA-256 of its bytes in hex; a document's is followed by that of what is kept with it. */
  readonly hash: string;
  readonly language: string;
  /** Why nothing is stored of it, by `skipText`; undefined where something is. */
  readonly skipped: string | undefined;
  /** What its sender keeps with every chunk. */
  readonly metadata: Metadata;
  /** Whether chunks are stored anew that are as they were: what is kept with them has changed. */
  readonly renewed: boolean;
  /** Nothing was known of it a moment ago: whether that still holds is seen when it is taken. */
  readonly unknown: boolean;
  readonly chunks: readonly PlannedChunk[];
}

/** What became of a file. */
export type FileEnd =
  | { readonly stored: number; readonly unchanged: number }
  | { readonly failure: ItemFailure };

/** How chunks come about; stored chunks of another recipe are made anew. */
export function recipeOf(settings: IngestionSettings, model: string): string {
  return `${chunkingRevision}:${settings.chunkSize}:${settings.chunkOverlap}:${model}`;
}

/** The same passage of the same file has the same id, so that ingesting again stores nothing twice. */
export function planChunk(key: RepositoryKey, path: string, chunk: Chunk): PlannedChunk {
  const identity = JSON.stringify([key.tenant, key.repoId, path, contentHash(chunk.content)]);
  return {
    id: `rag-${contentHash(identity).slice(0, 40)}`,
    content: chunk.content,
    section: chunk.section,
    index: chunk.index,
    startLine: chunk.startLine,
    startColumn: chunk.startColumn,
    endLine: chunk.endLine,
  };
}

/** Equal passages of one file are one memory, those of different files are not. */
export function dedupScopeOf(key: RepositoryKey, path: string): string {
  return `rag:${contentHash(JSON.stringify([key.repoId, path]))}`;
}

/** How old a change must be for the clock of the file system to tell it from the next one. */
const settledNs = 2_000_000_000n;

/** The stamp to remember; undefined where the file might be written again within the same tick. */
export function lastingStamp(file: Pick<SourceFile, "stamp">): FileStamp | undefined {
  const now = BigInt(Date.now()) * 1_000_000n;
  return now - file.stamp.ctimeNs > settledNs ? file.stamp : undefined;
}

export function sameStamp(a: FileStamp | undefined, b: FileStamp): boolean {
  return (
    a?.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.inode === b.inode
  );
}
