import type { DomainError } from "../../shared/errors.ts";
import { readCheckout } from "../../shared/files/git-checkout.ts";
import { commitBatch } from "./batch-commit.ts";
import { BoundedTasks } from "./bounded-tasks.ts";
import { collectionModel } from "./collection-model.ts";
import { fileErrorOf, isAbsent } from "./file-failures.ts";
import { FilePlanner } from "./file-planner.ts";
import type { SourceFile } from "./file-text.ts";
import { FoundFiles } from "./found-files.ts";
import type { HeldLease } from "./held-lease.ts";
import type { IngestionSettings, IngestionStage } from "./ingestion.ts";
import { isolating } from "./isolation.ts";
import { patiently } from "./patience.ts";
import { lastingStamp, type PlannedFile, recipeOf, sameStamp } from "./planned-file.ts";
import type { Embedder, PassageStore, Work } from "./ports.ts";
import { type FileStamp, isOutsidePatterns, walkRepository } from "./repository-walk.ts";
import type { StageClock } from "./stage-clock.ts";
import type { FileStore, KnownFile, RepositoryKey } from "./store.ts";
import type { Tally } from "./tally.ts";

/** Files of one batch at most, where they have few chunks. */
const filesPerBatch = 64;
/** Files that are looked at, forgotten or restamped by one statement. */
const pathsPerStatement = 1_000;
const maxPathBytes = 1_024;
/** Processes that may die over one file before it is set aside. */
const maxDeaths = 2;
/** Why a file is passed over that processes died of. */
const setAside = "set_aside";

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
  readonly files: FileStore;
  readonly lease: HeldLease;
  /** Notes durably which file is worked on alone; undefined: none any more. */
  readonly suspect: (path: string | undefined) => Promise<void>;
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
  /** The process that worked on it before died: perhaps over a file, so they go one by one at first. */
  readonly careful: boolean;
  /** How many processes died over which file. */
  readonly deaths: ReadonlyMap<string, number>;
}

/**
 * One ingestion of a folder, from the first look to the last deletion; done again after whatever
 * cut it short, it goes on where it was. Files that did not change since they were ingested cost a
 * stat; touched ones a hash. Single files fail into the tally; what `run` rejects with is the end of
 * it all, and what was stored until then stays.
 */
export class IngestionRun {
  readonly #job: RunJob;
  readonly #options: RunOptions;
  readonly #parts: RunParts;
  readonly #tally: Tally;
  readonly #clock: StageClock;
  readonly #signal: AbortSignal;
  readonly #planner: FilePlanner;
  readonly #tasks: BoundedTasks;
  /** Paths whose stored chunks stay as they are or were renewed. */
  readonly #seen = new Set<string>();
  /** Files and folders that could not be looked at. */
  readonly #unseen: string[] = [];
  readonly #restamped: Pick<KnownFile, "path" | "stamp">[] = [];
  #batch: PlannedFile[] = [];
  #batchChunks = 0;
  #recipe = "";
  #model = "";
  #commit: string | undefined;
  /** Whether what is known to be stored can be relied on. */
  #trusted = true;
  /** Files that are still to go one by one. */
  #carefulFiles: number;

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
    this.#clock = tally.clock;
    this.#signal = signal;
    const { path: root, settings } = job;
    const { maxFileBytes, parallelBatches } = options;
    const clock = this.#clock;
    this.#planner = new FilePlanner({ key: job, root, settings, maxFileBytes, clock, signal });
    this.#tasks = new BoundedTasks(parallelBatches);
    // Whatever was at work when the process died stands among the first that are not done.
    this.#carefulFiles = job.careful ? (parallelBatches + 2) * filesPerBatch : 0;
  }

  async run(): Promise<void> {
    this.#enter("scanning");
    const checkout = await readCheckout(this.#job.path);
    this.#commit = checkout?.commit;
    this.#model = await collectionModel(this.#parts, this.#work(), (attempt) =>
      this.#patiently(attempt),
    );
    this.#recipe = recipeOf(this.#job.settings, this.#model);
    const found = await this.#scan(checkout?.rules);
    await this.#checkTrust();
    this.#enter("ingesting");
    await this.#ingest(found);
    this.#enter("cleaning");
    await this.#clean();
  }

  #enter(stage: IngestionStage): void {
    this.#signal.throwIfAborted();
    this.#tally.stage = stage;
    this.#parts.onStage(stage);
  }

  async #scan(rules: Parameters<typeof walkRepository>[1]["rules"]): Promise<FoundFiles> {
    const found = new FoundFiles();
    const { include, exclude } = this.#job.settings;
    const events = walkRepository(this.#job.path, {
      ...(rules === undefined ? {} : { rules }),
      include,
      exclude,
      maxFileBytes: this.#options.maxFileBytes,
      signal: this.#signal,
    });
    for await (const event of events) {
      if (event.kind === "skipped") this.#tally.skip(event.reason, event.path);
      else if (event.kind === "failed") {
        if (!isAbsent(event.error)) this.#failUnseen(event.path, event.error);
      } else if (Buffer.byteLength(event.path) > maxPathBytes) {
        this.#failUnseen(event.path, new RangeError(`path is longer than ${maxPathBytes} bytes`));
      } else {
        found.add(event.path, event.stamp);
        this.#tally.filesTotal++;
      }
    }
    return found;
  }

  #failUnseen(path: string, error: unknown): void {
    this.#unseen.push(path);
    this.#tally.filesTotal++;
    this.#tally.filesRead++;
    this.#tally.filesDone++;
    this.#tally.fail(fileErrorOf(path, error));
  }

  /** Where the vector store holds less than is known of, somebody else deleted: store it all anew. */
  async #checkTrust(): Promise<void> {
    const { files, passages } = this.#parts;
    const expected = await this.#patiently(() => files.chunkTotal(this.#job, this.#signal));
    if (expected === 0) return;
    const stored = await this.#patiently(() => passages.count(this.#work(), this.#job.repoId));
    this.#trusted = stored >= expected;
  }

  async #ingest(found: FoundFiles): Promise<void> {
    try {
      for (let from = 0; from < found.count; from += pathsPerStatement) {
        const paths = found.paths(from, from + pathsPerStatement);
        const known = await this.#patiently(() =>
          this.#parts.files.knownFiles(this.#job, paths, this.#signal),
        );
        for (const [index, path] of paths.entries()) {
          await this.#ingestFile(path, found.stamp(from + index), known.get(path));
          this.#tally.filesRead++;
        }
        await this.#restamp();
      }
      await this.#flush();
      await this.#tasks.drain();
      if (this.#job.careful) await this.#parts.suspect(undefined);
    } finally {
      // Batches in flight come to their end, whatever ended the loop.
      await this.#tasks.settle();
    }
  }

  async #ingestFile(path: string, stamp: FileStamp, before: KnownFile | undefined): Promise<void> {
    this.#signal.throwIfAborted();
    const known = this.#trusted && before?.recipe === this.#recipe ? before : undefined;
    if (known !== undefined && sameStamp(known.stamp, stamp)) {
      this.#countKnown(known);
      return;
    }
    if ((this.#job.deaths.get(path) ?? 0) >= maxDeaths) {
      await this.#setAside(path, stamp);
      return;
    }
    const alone = this.#carefulFiles > 0;
    if (alone) {
      this.#carefulFiles--;
      await this.#parts.suspect(path);
    }
    const file = await this.#read(path);
    if (file !== undefined && known?.hash === file.hash) {
      this.#countKnown(known);
      this.#restamped.push({ path, stamp: lastingStamp(file) });
    } else if (file !== undefined) {
      await this.#add(file);
    }
    if (!alone) return;
    await this.#flush();
    await this.#tasks.drain();
    if (this.#carefulFiles === 0) await this.#parts.suspect(undefined);
  }

  /** What this same ingestion has stored before it was cut short counts as stored by it. */
  #countKnown(known: KnownFile): void {
    const isOwn = known.ingestionId === this.#job.ingestionId;
    const stored = isOwn ? known.storedCount : 0;
    this.#seen.add(known.path);
    this.#tally.filesDone++;
    this.#tally.chunksStored += stored;
    this.#tally.chunksUnchanged += known.chunkCount - stored;
    if (known.skipped === setAside && isOwn) this.#tally.fail(setAsideError(known.path));
    else if (known.skipped !== undefined) this.#tally.skip(known.skipped, known.path);
  }

  /** Recorded as done, so that it is not tried again until it changes. It keeps what it had. */
  async #setAside(path: string, stamp: FileStamp): Promise<void> {
    const { files, lease } = this.#parts;
    const { ingestionId } = this.#job;
    const writer = { ingestionId, token: lease.lease.token, pushed: false };
    lease.assertHeld();
    const taken = await this.#patiently(() => files.take(this.#job, writer, [{ path, ids: [] }]));
    const chunks = taken.get(path)?.chunks ?? [];
    const record = { path, stamp, hash: "", recipe: this.#recipe, skipped: setAside };
    await this.#patiently(() =>
      files.complete(this.#job, writer, [{ ...record, storedCount: 0, chunks }]),
    );
    this.#seen.add(path);
    this.#tally.filesDone++;
    this.#tally.fail(setAsideError(path));
  }

  /** Undefined where the file is gone, or no longer one to be read. */
  async #read(path: string): Promise<SourceFile | undefined> {
    this.#tally.currentFile = path;
    const read = await this.#planner.read(path);
    if (read.kind === "read") return read.file;
    this.#tally.filesDone++;
    if (read.kind === "skipped") this.#tally.skip(read.reason, path);
    if (read.kind === "failed") {
      this.#seen.add(path);
      this.#tally.fail(read.error);
    }
    return undefined;
  }

  async #add(file: SourceFile): Promise<void> {
    this.#seen.add(file.path);
    try {
      const planned = await this.#planner.plan(file);
      this.#batch.push(planned);
      this.#batchChunks += planned.chunks.length;
      this.#tally.chunksSplit += planned.chunks.length;
    } catch (error) {
      this.#signal.throwIfAborted();
      this.#parts.onFileFault(file.path, error);
      this.#tally.filesDone++;
      this.#tally.fail(fileErrorOf(file.path, error));
    }
    const { embedBatch } = this.#options;
    if (this.#batchChunks >= embedBatch || this.#batch.length >= filesPerBatch) await this.#flush();
  }

  async #flush(): Promise<void> {
    const files = this.#batch;
    this.#batch = [];
    this.#batchChunks = 0;
    if (files.length > 0) await this.#tasks.add(() => this.#commitFiles(files));
  }

  async #commitFiles(files: readonly PlannedFile[]): Promise<void> {
    const { embedder, passages, files: store, lease, onStored, onFileFault } = this.#parts;
    const { tenant, repoId, ingestionId } = this.#job;
    const commit = (some: readonly PlannedFile[], patienceMs: number) =>
      commitBatch(
        {
          tenant,
          repoId,
          ingestionId,
          lease,
          pushed: false,
          model: this.#model,
          recipe: this.#recipe,
          commit: this.#commit,
          embedBatch: this.#options.embedBatch,
          embedder,
          passages,
          files: store,
          tally: this.#tally,
          clock: this.#clock,
          trusted: this.#trusted,
          signal: this.#signal,
          patiently: (attempt) => this.#patiently(attempt, patienceMs),
          onStored,
          onDone: (file, end) => this.#tally.finish(file, end),
        },
        some,
      );
    await isolating(files, {
      commit,
      patienceMs: this.#options.patienceMs,
      model: this.#model,
      peers: { embedder, passages },
      work: this.#work(),
      isDone: (file) => this.#tally.isFinished(file),
      onPoison: (file, failure, error) => {
        onFileFault(file.path, error);
        this.#tally.finish(file, { failure });
      },
    });
  }

  async #restamp(): Promise<void> {
    if (this.#restamped.length === 0) return;
    const some = this.#restamped.splice(0);
    await this.#patiently(() => this.#parts.files.restamp(this.#job, some));
  }

  /** Removes files that are gone, or would no longer be found. */
  async #clean(): Promise<void> {
    const outside = isOutsidePatterns(this.#job.settings);
    const hidden = (path: string) =>
      this.#unseen.some((one) => path === one || path.startsWith(`${one}/`));
    const { files } = this.#parts;
    for (let after = ""; ; ) {
      this.#signal.throwIfAborted();
      const paths = await this.#patiently(() =>
        files.folderPaths(this.#job, after, pathsPerStatement, this.#signal),
      );
      await this.#forget(
        paths.filter((path) => !this.#seen.has(path) && !outside(path) && !hidden(path)),
      );
      if (paths.length < pathsPerStatement) return;
      after = paths.at(-1) ?? after;
    }
  }

  async #forget(gone: readonly string[]): Promise<void> {
    if (gone.length === 0) return;
    const { files, passages, lease } = this.#parts;
    const known = await this.#patiently(() => files.chunksOf(this.#job, gone));
    const ids = [...known.values()].flatMap(({ chunks, pendingIds }) => [
      ...chunks.map(({ id }) => id),
      ...pendingIds,
    ]);
    const work = { tenant: this.#job.tenant, signal: new AbortController().signal };
    this.#tally.chunksDeleted += await this.#patiently(() => {
      lease.assertHeld();
      return passages.delete(work, ids);
    });
    await this.#patiently(() => files.forget(this.#job, gone));
  }

  #work(): Work {
    return { tenant: this.#job.tenant, signal: this.#signal };
  }

  #patiently<T>(attempt: () => Promise<T>, limitMs = this.#options.patienceMs): Promise<T> {
    return patiently({ limitMs, signal: this.#signal, onRetry: this.#parts.onRetry }, attempt);
  }
}

function setAsideError(path: string) {
  const message = "set aside: processes died while they worked on it";
  return { path, kind: "internal", reason: "INTERNAL", message } as const;
}
