import type { DomainError } from "../../shared/errors.ts";
import { commitBatch } from "./batch-commit.ts";
import { BoundedTasks } from "./bounded-tasks.ts";
import { chunkText } from "./chunking.ts";
import { collectionModel } from "./collection-model.ts";
import { fileErrorOf, isAbsent, lateSkipReason } from "./file-failures.ts";
import { readSourceFile, type SourceFile, textOf } from "./file-text.ts";
import { readCheckout } from "./git-checkout.ts";
import type { IngestionSettings, IngestionStage, Tally } from "./ingestion.ts";
import { patiently } from "./patience.ts";
import { lastingStamp, type PlannedFile, planChunk, recipeOf, sameStamp } from "./planned-file.ts";
import type { Embedder, PassageStore, Work } from "./ports.ts";
import { type FileStamp, isOutsidePatterns, walkRepository } from "./repository-walk.ts";
import type { IngestionStore, KnownFile, RepositoryKey } from "./store.ts";

/** Files of one batch at most, where they have few chunks. */
const filesPerBatch = 256;
/** Paths forgotten or restamped by one statement. */
const pathsPerStatement = 500;
const maxPathBytes = 1_024;

/** How an ingestion goes about its work. */
export interface RunOptions {
  readonly maxFileBytes: number;
  /** Texts of one call to the embedder. */
  readonly embedBatch: number;
  /** Batches in flight. */
  readonly parallelBatches: number;
  /** How long a peer may fail before the ingestion does, in milliseconds. */
  readonly patienceMs: number;
}

export interface RunParts {
  readonly embedder: Embedder;
  readonly passages: PassageStore;
  readonly store: IngestionStore;
  readonly onStage: (stage: IngestionStage) => void;
  readonly onRetry: (error: DomainError, pauseMs: number) => void;
  readonly onStored: (chunks: number) => void;
  /** A file failed for a reason that its caller is not told. */
  readonly onFileFault: (path: string, error: unknown) => void;
}

export interface RunJob extends RepositoryKey {
  readonly ingestionId: string;
  /** A folder, as a real path. */
  readonly path: string;
  readonly settings: IngestionSettings;
}

interface FoundFile {
  readonly path: string;
  readonly stamp: FileStamp;
}

/**
 * One ingestion of a folder, from the first look to the last deletion. Files that did not change
 * since they were ingested cost a stat; touched ones a hash. Single files fail into the tally;
 * what `run` rejects with is the end of it all, and what was stored until then stays.
 */
export class IngestionRun {
  readonly #job: RunJob;
  readonly #options: RunOptions;
  readonly #parts: RunParts;
  readonly #tally: Tally;
  readonly #signal: AbortSignal;
  /** Paths whose stored chunks stay as they are or were renewed. */
  readonly #seen = new Set<string>();
  /** Files and folders that could not be looked at. */
  readonly #unseen: string[] = [];
  #recipe = "";
  #known: ReadonlyMap<string, KnownFile> = new Map();
  /** Whether what is known to be stored can be relied on. */
  #trusted = true;

  constructor(
    job: RunJob,
    options: RunOptions,
    parts: RunParts,
    tally: Tally,
    signal: AbortSignal,
  ) {
    this.#job = job;
    this.#options = options;
    this.#parts = parts;
    this.#tally = tally;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    this.#enter("scanning");
    const checkout = await readCheckout(this.#job.path);
    const model = await collectionModel(this.#parts, this.#work(), (attempt) =>
      this.#patiently(attempt),
    );
    this.#recipe = recipeOf(this.#job.settings, model);
    const found = await this.#scan(checkout?.rules);
    await this.#recall();
    this.#enter("ingesting");
    await this.#ingest(found, model, checkout?.commit);
    this.#enter("cleaning");
    await this.#clean();
  }

  #enter(stage: IngestionStage): void {
    this.#signal.throwIfAborted();
    this.#tally.stage = stage;
    this.#parts.onStage(stage);
  }

  async #scan(rules: Parameters<typeof walkRepository>[1]["rules"]): Promise<FoundFile[]> {
    const found: FoundFile[] = [];
    const { include, exclude } = this.#job.settings;
    const events = walkRepository(this.#job.path, {
      ...(rules === undefined ? {} : { rules }),
      include,
      exclude,
      maxFileBytes: this.#options.maxFileBytes,
      signal: this.#signal,
    });
    for await (const event of events) {
      if (event.kind === "skipped") this.#tally.skip(event.reason);
      else if (event.kind === "failed") {
        if (!isAbsent(event.error)) this.#failUnseen(event.path, event.error);
      } else if (Buffer.byteLength(event.path) > maxPathBytes) {
        this.#failUnseen(event.path, new RangeError(`path is longer than ${maxPathBytes} bytes`));
      } else {
        found.push(event);
        this.#tally.filesTotal++;
      }
    }
    return found;
  }

  #failUnseen(path: string, error: unknown): void {
    this.#unseen.push(path);
    this.#tally.filesTotal++;
    this.#tally.filesDone++;
    this.#tally.fail(fileErrorOf(path, error));
  }

  /** Where the vector store holds less than is known of, somebody else deleted: store it all anew. */
  async #recall(): Promise<void> {
    const { store, passages } = this.#parts;
    this.#known = await this.#patiently(() => store.knownFiles(this.#job, this.#signal));
    let expected = 0;
    for (const { chunkCount } of this.#known.values()) expected += chunkCount;
    if (expected === 0) return;
    const stored = await this.#patiently(() => passages.count(this.#work(), this.#job.repoId));
    this.#trusted = stored >= expected;
  }

  async #ingest(
    found: readonly FoundFile[],
    model: string,
    commit: string | undefined,
  ): Promise<void> {
    const tasks = new BoundedTasks(this.#options.parallelBatches);
    const restamped: Pick<KnownFile, "path" | "stamp">[] = [];
    let batch: PlannedFile[] = [];
    let chunks = 0;
    const flush = async () => {
      const files = batch;
      batch = [];
      chunks = 0;
      if (files.length > 0) await tasks.add(() => this.#commit(files, model, commit));
    };
    try {
      for (const { path, stamp } of found) {
        this.#signal.throwIfAborted();
        const known = this.#currentFile(path);
        if (known !== undefined && sameStamp(known.stamp, stamp)) {
          this.#countUnchanged(known);
          continue;
        }
        const file = await this.#read(path);
        if (file === undefined) continue;
        if (known?.hash === file.hash) {
          this.#countUnchanged(known);
          restamped.push({ path, stamp: lastingStamp(file) });
          continue;
        }
        const planned = await this.#plan(file);
        if (planned === undefined) continue;
        batch.push(planned);
        chunks += planned.chunks.length;
        if (chunks >= this.#options.embedBatch || batch.length >= filesPerBatch) await flush();
      }
      await flush();
      await tasks.drain();
    } finally {
      // Batches in flight come to their end, whatever ended the loop.
      await tasks.settle();
    }
    for (let at = 0; at < restamped.length; at += pathsPerStatement) {
      const some = restamped.slice(at, at + pathsPerStatement);
      await this.#patiently(() => this.#parts.store.restamp(this.#job, some));
    }
  }

  /** What is known of a file, where it can be relied on and was made by this recipe. */
  #currentFile(path: string): KnownFile | undefined {
    const known = this.#known.get(path);
    return this.#trusted && known?.recipe === this.#recipe ? known : undefined;
  }

  #countUnchanged(known: KnownFile): void {
    this.#seen.add(known.path);
    this.#tally.filesDone++;
    this.#tally.chunksUnchanged += known.chunkCount;
    if (known.skipped !== undefined) this.#tally.skip(known.skipped);
  }

  /** Undefined where the file is gone, or no longer one to be read. */
  async #read(path: string): Promise<SourceFile | undefined> {
    this.#tally.currentFile = path;
    try {
      return await readSourceFile(this.#job.path, path, this.#options.maxFileBytes);
    } catch (error) {
      this.#tally.filesDone++;
      const reason = lateSkipReason(error);
      if (reason !== undefined) this.#tally.skip(reason);
      else if (!isAbsent(error)) {
        this.#seen.add(path);
        this.#tally.fail(fileErrorOf(path, error));
      }
      return undefined;
    }
  }

  /** Undefined where the file could not be split. */
  async #plan(file: SourceFile): Promise<PlannedFile | undefined> {
    this.#seen.add(file.path);
    const { path, hash } = file;
    const stamp = lastingStamp(file);
    try {
      const found = textOf(file);
      if (found.kind === "skipped") {
        return { path, stamp, hash, language: "", skipped: found.reason, chunks: [] };
      }
      const { chunkSize, chunkOverlap } = this.#job.settings;
      const chunks = await chunkText(found.text, {
        family: found.language.family,
        chunkSize,
        chunkOverlap,
        signal: this.#signal,
      });
      return {
        path,
        stamp,
        hash,
        language: found.language.name,
        skipped: undefined,
        chunks: chunks.map((chunk) => planChunk(this.#job, path, chunk)),
      };
    } catch (error) {
      this.#signal.throwIfAborted();
      this.#parts.onFileFault(path, error);
      this.#tally.filesDone++;
      this.#tally.fail(fileErrorOf(path, error));
      return undefined;
    }
  }

  #commit(files: readonly PlannedFile[], model: string, commit: string | undefined): Promise<void> {
    const { embedder, passages, store, onStored } = this.#parts;
    const { tenant, repoId, ingestionId } = this.#job;
    return commitBatch(
      {
        tenant,
        repoId,
        ingestionId,
        model,
        recipe: this.#recipe,
        commit,
        embedBatch: this.#options.embedBatch,
        embedder,
        passages,
        store,
        tally: this.#tally,
        keeps: (path) => this.#currentFile(path) !== undefined,
        signal: this.#signal,
        patiently: (attempt) => this.#patiently(attempt),
        onStored,
      },
      files,
    );
  }

  /** Removes files that are gone, or would no longer be found. */
  async #clean(): Promise<void> {
    const outside = isOutsidePatterns(this.#job.settings);
    const hidden = (path: string) =>
      this.#unseen.some((one) => path === one || path.startsWith(`${one}/`));
    const gone = [...this.#known.keys()].filter(
      (path) => !this.#seen.has(path) && !outside(path) && !hidden(path),
    );
    const { store, passages } = this.#parts;
    for (let at = 0; at < gone.length; at += pathsPerStatement) {
      this.#signal.throwIfAborted();
      const paths = gone.slice(at, at + pathsPerStatement);
      const known = await this.#patiently(() => store.chunksOf(this.#job, paths));
      const ids = [...known.values()].flatMap(({ chunks, pendingIds }) => [
        ...chunks.map(({ id }) => id),
        ...pendingIds,
      ]);
      const { tenant } = this.#job;
      const work = { tenant, signal: new AbortController().signal };
      this.#tally.chunksDeleted += await this.#patiently(() => passages.delete(work, ids));
      await this.#patiently(() => store.forget(this.#job, paths));
    }
  }

  #work(): Work {
    return { tenant: this.#job.tenant, signal: this.#signal };
  }

  #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    const { patienceMs } = this.#options;
    const { onRetry } = this.#parts;
    return patiently({ limitMs: patienceMs, signal: this.#signal, onRetry }, attempt);
  }
}
