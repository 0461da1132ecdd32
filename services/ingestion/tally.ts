import { type FileError, type IngestionStage, noProgress, type Progress } from "./ingestion.ts";
import type { FileEnd, PlannedFile } from "./planned-file.ts";
import { StageClock } from "./stage-clock.ts";

const maxErrors = 100;

/** Counts while an ingestion runs; `snapshot()` is what others see. */
export class Tally {
  stage: IngestionStage = "scanning";
  filesTotal = 0;
  filesDone = 0;
  filesFailed = 0;
  chunksStored = 0;
  chunksUnchanged = 0;
  chunksDeleted = 0;
  /** The file that was read last. */
  currentFile = "";
  /** Whether a file was brought in by this count, and not found to be there already. */
  advanced = false;
  readonly clock = new StageClock();
  readonly #finished = new WeakSet<PlannedFile>();
  readonly #skipped = new Map<string, number>();
  readonly #errors: FileError[] = [];

  /** Goes on where a count before ended: what is not told again by the files themselves is kept. */
  constructor(before: Progress = noProgress) {
    this.chunksDeleted = before.chunksDeleted;
  }

  skip(reason: string, count = 1): void {
    this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + count);
  }

  /** Notes the failure of a file; it is the caller's to count the file as done. */
  fail(error: FileError): void {
    this.filesFailed++;
    if (this.#errors.length < maxErrors) this.#errors.push(error);
  }

  /** Counts a file that has its end. */
  finish(file: PlannedFile, end: FileEnd): void {
    this.#finished.add(file);
    this.filesDone++;
    if ("failure" in end) {
      this.fail({ path: file.path, ...end.failure });
      return;
    }
    if (file.skipped !== undefined) this.skip(file.skipped);
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
      filesDone: this.filesDone,
      filesFailed: this.filesFailed,
      chunksStored: this.chunksStored,
      chunksUnchanged: this.chunksUnchanged,
      chunksDeleted: this.chunksDeleted,
      filesSkipped: Object.fromEntries(this.#skipped),
      errors: [...this.#errors],
    };
  }
}
