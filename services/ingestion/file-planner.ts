import { chunkText } from "./chunking.ts";
import { fileErrorOf, isAbsent, lateSkipReason } from "./file-failures.ts";
import { readSourceFile, type SourceFile, textOf } from "./file-text.ts";
import type { FileError, IngestionSettings } from "./ingestion.ts";
import { lastingStamp, type PlannedFile, planChunk } from "./planned-file.ts";
import type { StageClock } from "./stage-clock.ts";
import type { RepositoryKey } from "./store.ts";

/** What reading a file came to. */
export type ReadFile =
  | { readonly kind: "read"; readonly file: SourceFile }
  /** It is gone. */
  | { readonly kind: "absent" }
  | { readonly kind: "skipped"; readonly reason: string }
  | { readonly kind: "failed"; readonly error: FileError };

export interface FilePlannerOptions {
  readonly key: RepositoryKey;
  /** The folder, as a real path. */
  readonly root: string;
  readonly settings: IngestionSettings;
  readonly maxFileBytes: number;
  readonly clock: StageClock;
  readonly signal: AbortSignal;
}

/** Reads files of a folder and takes them apart. */
export class FilePlanner {
  readonly #options: FilePlannerOptions;

  constructor(options: FilePlannerOptions) {
    this.#options = options;
  }

  async read(path: string): Promise<ReadFile> {
    const { root, maxFileBytes, clock } = this.#options;
    try {
      const file = await clock.time("read", () => readSourceFile(root, path, maxFileBytes));
      return { kind: "read", file };
    } catch (error) {
      const reason = lateSkipReason(error);
      if (reason !== undefined) return { kind: "skipped", reason };
      if (isAbsent(error)) return { kind: "absent" };
      return { kind: "failed", error: fileErrorOf(path, error) };
    }
  }

  /** Throws where the file cannot be split. */
  async plan(file: SourceFile): Promise<PlannedFile> {
    const { key, settings, clock, signal } = this.#options;
    const { path, hash } = file;
    const same = { path, hash, stamp: lastingStamp(file), metadata: {}, renewed: false };
    return await clock.time("split", async () => {
      const found = textOf(file);
      if (found.kind === "skipped") {
        return { ...same, language: "", skipped: found.reason, chunks: [] };
      }
      const { chunkSize, chunkOverlap } = settings;
      const { family, name } = found.language;
      const chunks = await chunkText(found.text, { family, chunkSize, chunkOverlap, signal });
      return {
        ...same,
        language: name,
        skipped: undefined,
        chunks: chunks.map((chunk) => planChunk(key, path, chunk)),
      };
    });
  }
}
