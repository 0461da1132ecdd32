import type { ErrorKind, ErrorReasonName } from "../../shared/errors.ts";

export type IngestionStatus = "pending" | "in_progress" | "completed" | "failed" | "cancelled";
export type IngestionStage = "scanning" | "ingesting" | "cleaning" | "done";

/** A file that could not be ingested. */
export interface FileError {
  /** Within the repository; the repository itself is "". */
  readonly path: string;
  readonly kind: ErrorKind;
  readonly reason: ErrorReasonName;
  readonly message: string;
}

/** A file or folder that was passed over. */
export interface SkippedFile {
  /** Within the repository. */
  readonly path: string;
  readonly reason: string;
  /** What is where in it. */
  readonly detail?: string;
}

/** How far an ingestion is. */
export interface Progress {
  readonly stage: IngestionStage;
  readonly filesTotal: number;
  /** Read and split, or found to be as they were. */
  readonly filesRead: number;
  /** Failed ones included. */
  readonly filesDone: number;
  readonly filesFailed: number;
  /** What new and changed files were split into so far. */
  readonly chunksSplit: number;
  /** Of these, past the embedder. */
  readonly chunksEmbedded: number;
  readonly chunksStored: number;
  readonly chunksUnchanged: number;
  readonly chunksDeleted: number;
  /** By reason; a folder that is passed over counts once. */
  readonly filesSkipped: Readonly<Record<string, number>>;
  /** Some of each reason. */
  readonly skippedExamples: readonly SkippedFile[];
  /** The first 100. */
  readonly errors: readonly FileError[];
}

/** What an ingestion was asked to do. */
export interface IngestionSettings {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Tokens. */
  readonly chunkSize: number;
  readonly chunkOverlap: number;
}

/** An ingestion as it is recorded. */
export interface Ingestion {
  readonly id: string;
  readonly repoId: string;
  /** The folder's real path. */
  readonly path: string;
  readonly settings: IngestionSettings;
  readonly status: IngestionStatus;
  readonly progress: Progress;
  /** For people: why it ended as it did; "" where there is nothing to tell. */
  readonly message: string;
  readonly createTime: Date;
  readonly startTime: Date | undefined;
  readonly endTime: Date | undefined;
}

export const noProgress: Progress = {
  stage: "scanning",
  filesTotal: 0,
  filesRead: 0,
  filesDone: 0,
  filesFailed: 0,
  chunksSplit: 0,
  chunksEmbedded: 0,
  chunksStored: 0,
  chunksUnchanged: 0,
  chunksDeleted: 0,
  filesSkipped: {},
  skippedExamples: [],
  errors: [],
};

export function hasEnded(status: IngestionStatus): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}
