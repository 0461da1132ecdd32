import { type Skip, skipOf } from "./exclusions.ts";
import {
  type FileError,
  type IngestionStage,
  noProgress,
  type Progress,
  type SkippedFile,
} from "./ingestion.ts";
import type { FileEnd, PlannedFile } from "./planned-file.ts";
import { StageClock } from "./stage-clock.ts";

const maxErrors = 100;
/** Of each reason for which files are passed over. */
export const maxExamples = 5;
/** Where something is to be told of each, as its owner will want to look at all of them. */
const maxDetailed = 100;
const maxExampleBytes = 1_024;

/** Counts while an ingestion runs; `snapshot()` is what others see. */
export class Tally {
  stage: IngestionStage = "scanning";
  filesTotal = 0;
  filesRead = 0;
  filesDone = 0;
  filesFailed = 0;
  chunksSplit = 0;
  chunksEmbedded = 0;
  chunksStored = 0;
  chunksUnchanged = 0;
  chunksDeleted = 0;
  /** The file that was read last. */
  currentFile = "";
  /** Whether a file was brought in by this count, and not found to be there already. */
  advanced = false;
  readonly clock = new StageClock();
  readonly #finished = new WeakSet<PlannedFile>();
  readonly #embedded = new WeakSet<PlannedFile>();
  readonly #skipped = new Map<string, number>();
  readonly #examples: SkippedFile[] = [];
  readonly #errors: FileError[] = [];

  /** Goes on where a count before ended: what is not told again by the files themselves is kept. */
  constructor(before: Progress = noProgress) {
    this.chunksDeleted = before.chunksDeleted;
  }

  /** Counts files that are passed over; some of them are enough for `paths`. */
  skip({ reason, detail }: Skip, paths: readonly string[], count = paths.length): void {
    const before = this.#skipped.get(reason) ?? 0;
    this.#skipped.set(reason, before + count);
    const most = detail === undefined ? maxExamples : maxDetailed;
    for (const path of paths.slice(0, Math.max(0, most - before))) {
      if (Buffer.byteLength(path) > maxExampleBytes) continue;
      this.#examples.push({ path, reason, ...(detail === undefined ? {} : { detail }) });
    }
  }

  /** Counts files whose chunks have passed the embedder; a file that comes again counts once. */
  embedded(files: readonly PlannedFile[]): void {
    for (const file of files) {
      if (this.#embedded.has(file)) continue;
      this.#embedded.add(file);
      this.chunksEmbedded += file.chunks.length;
    }
  }

  /** Notes the failure of a file; it is the caller's to count the file as done. */
  fail(error: FileError): void {
    this.filesFailed++;
    if (this.#errors.length < maxErrors) this.#errors.push(error);
  }

  /** Counts a file that has its end. */
  finish(file: PlannedFile, end: FileEnd): void {
    this.#finished.add(file);
    this.embedded([file]);
    this.filesDone++;
    if ("failure" in end) {
      this.fail({ path: file.path, ...end.failure });
      return;
    }
    if (file.skipped !== undefined) this.skip(skipOf(file.skipped), [file.path]);
    this.chunksStored += end.stored;
    this.chunksUnchanged += end.unchanged;
  }

  isFinished(file: PlannedFile): boolean {
    return this.#finished.has(file);
  }

  snapshot(): Progress {
    return {
      stage: this.stage,
      filesTotal: this.filesTotal,
      filesRead: this.filesRead,
      filesDone: this.filesDone,
      filesFailed: this.filesFailed,
      chunksSplit: this.chunksSplit,
      chunksEmbedded: this.chunksEmbedded,
      chunksStored: this.chunksStored,
      chunksUnchanged: this.chunksUnchanged,
      chunksDeleted: this.chunksDeleted,
      filesSkipped: Object.fromEntries(this.#skipped),
      skippedExamples: [...this.#examples],
      errors: [...this.#errors],
    };
  }
}
