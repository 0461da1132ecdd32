import { join } from "node:path";
import type { DomainError } from "../../shared/errors.ts";
import { commitBatch } from "./batch-commit.ts";
import { BoundedTasks } from "./bounded-tasks.ts";
import { collectionModel } from "./collection-model.ts";
import { inTurn } from "./embedder-turns.ts";
import { skipOf } from "./exclusions.ts";
import { type FedPage, FileFeed, type WantedFile } from "./file-feed.ts";
import { FolderReader, type FolderThreads, type PlanOutcome } from "./folder-reader.ts";
import { type Scan, scanFolder } from "./folder-scan.ts";
import type { HeldLease } from "./held-lease.ts";
import type { IngestionSettings, IngestionStage } from "./ingestion.ts";
import { isolating } from "./isolation.ts";
import { PathList } from "./path-list.ts";
import { patiently } from "./patience.ts";
import { type PlannedFile, recipeOf } from "./planned-file.ts";
import type { Embedder, PassageStore, Work } from "./ports.ts";
import { isOutsidePatterns, stampOfFile } from "./repository-walk.ts";
import type { StageClock } from "./stage-clock.ts";
import type { FileStore, KnownFile, ListedFile, RepositoryKey } from "./store.ts";
import type { Tally } from "./tally.ts";

/** Files of one batch at most, where they have few chunks. */
const filesPerBatch = 64;
/** Files that are looked at, forgotten or restamped by one statement. */
const pathsPerStatement = 1_000;
/** Batches under way for each call to the embedder: while some are stored, it has others to work on. */
const batchesPerCall = 2;
/** Processes that may die over one file before it is set aside. */
const maxDeaths = 2;
/** Why a file is passed over that processes died of. */
const setAside = "set_aside";

/** How an ingestion goes about its work. */
export interface RunOptions {
  readonly maxFileBytes: number;
  /** Texts of one call to the embedder. */
  readonly embedBatch: number;
  /** Batches that are embedded at the same time; as many again may be stored. */
  readonly parallelBatches: number;
  /** How long a peer may fail before the ingestion does, in milliseconds. */
  readonly patienceMs: number;
}

export interface RunParts {
  readonly embedder: Embedder;
  readonly passages: PassageStore;
  readonly files: FileStore;
  readonly threads: FolderThreads;
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
  readonly #tasks: BoundedTasks;
  readonly #embedder: Embedder;
  /** Known files that went while others were read. */
  readonly #vanished = new PathList();
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
    const { parallelBatches } = options;
    const limit = parallelBatches * batchesPerCall;
    this.#tasks = new BoundedTasks(limit, (full) => this.#clock.full(full));
    this.#embedder = inTurn(parts.embedder, parallelBatches);
    // Whatever was at work when the process died stands among the first that are not done.
    this.#carefulFiles = job.careful ? (limit + 2) * filesPerBatch : 0;
  }

  async run(): Promise<void> {
    this.#enter("scanning");
    const job = this.#job;
    const { maxFileBytes } = this.#options;
    const order = { key: job, root: job.path, ...job.settings, maxFileBytes };
    const { reader, commit } = await FolderReader.open(this.#parts.threads, order, this.#signal);
    using _reader = reader;
    this.#commit = commit;
    this.#model = await collectionModel(this.#parts, this.#work(), (attempt) =>
      this.#patiently(attempt),
    );
    this.#recipe = recipeOf(job.settings, this.#model);
    await this.#checkTrust();
    const scan = await this.#scan(reader);
    this.#enter("ingesting");
    await this.#ingest(reader, scan.changed);
    this.#enter("cleaning");
    await this.#clean(scan);
  }

  #enter(stage: IngestionStage): void {
    this.#signal.throwIfAborted();
    this.#tally.stage = stage;
    this.#parts.onStage(stage);
  }

  /** Where the vector store holds less than is known of, somebody else deleted: store it all anew. */
  async #checkTrust(): Promise<void> {
    const { files, passages } = this.#parts;
    const expected = await this.#patiently(() => files.chunkTotal(this.#job, this.#signal));
    if (expected === 0) return;
    const stored = await this.#patiently(() => passages.count(this.#work(), this.#job.repoId));
    this.#trusted = stored >= expected;
  }

  #scan(reader: FolderReader): Promise<Scan> {
    const asks = { recipe: this.#recipe, ingestionId: this.#job.ingestionId };
    return scanFolder({
      found: reader.walk(),
      listed: (after, limit) =>
        this.#patiently(() =>
          this.#parts.files.listFiles(this.#job, asks, after, limit, this.#signal),
        ),
      trusted: this.#trusted,
      tally: this.#tally,
      onUnchanged: (file) => {
        this.#tally.filesRead++;
        this.#countKnown(file);
      },
    });
  }

  async #ingest(reader: FolderReader, changed: PathList): Promise<void> {
    try {
      const feed = new FileFeed({
        reader,
        files: changed,
        look: (paths) =>
          this.#patiently(() => this.#parts.files.knownFiles(this.#job, paths, this.#signal)),
        isCurrent: ({ recipe }) => this.#trusted && recipe === this.#recipe,
        isSetAside: (path) => (this.#job.deaths.get(path) ?? 0) >= maxDeaths,
        onSetAside: (path) => this.#setAside(path),
      });
      await this.#ingestCarefully(feed);
      this.#clock.beginReading();
      for await (const page of feed.pages()) await this.#addAll(page);
      await this.#restamp();
      await this.#flush();
      this.#clock.endReading();
      await this.#tasks.drain();
      if (this.#job.careful) await this.#parts.suspect(undefined);
    } finally {
      // Batches in flight come to their end, whatever ended the loop.
      await this.#tasks.settle();
    }
  }

  /** One file after the other, each to its end, while any of them may be what a process died of. */
  async #ingestCarefully(feed: FileFeed): Promise<void> {
    while (this.#carefulFiles > 0) {
      this.#signal.throwIfAborted();
      const next = await feed.next();
      if (next === undefined) return;
      this.#carefulFiles--;
      await this.#parts.suspect(next.path);
      await this.#addAll(await feed.read([next]));
      await this.#flush();
      await this.#tasks.drain();
      if (this.#carefulFiles === 0) await this.#parts.suspect(undefined);
    }
  }

  async #addAll({ files, planned }: FedPage): Promise<void> {
    this.#signal.throwIfAborted();
    this.#clock.add("read", planned.readMs);
    this.#clock.add("split", planned.splitMs);
    for (const [index, file] of files.entries()) {
      const outcome = planned.outcomes[index];
      if (outcome !== undefined) await this.#add(file, outcome);
    }
    if (this.#restamped.length >= pathsPerStatement) await this.#restamp();
  }

  async #add({ path, known }: WantedFile, outcome: PlanOutcome): Promise<void> {
    this.#tally.currentFile = path;
    this.#tally.filesRead++;
    if (outcome.kind === "planned") {
      this.#batch.push({ ...outcome.file, unknown: known === undefined });
      this.#batchChunks += outcome.file.chunks.length;
      this.#tally.chunksSplit += outcome.file.chunks.length;
      const { embedBatch } = this.#options;
      const isFull = this.#batchChunks >= embedBatch || this.#batch.length >= filesPerBatch;
      if (isFull) await this.#flush();
      return;
    }
    if (outcome.kind === "unchanged" && known !== undefined) {
      const isOwn = known.ingestionId === this.#job.ingestionId;
      this.#countKnown({ ...known, isOwn, ownCount: isOwn ? known.storedCount : 0 });
      this.#restamped.push({ path, stamp: outcome.stamp });
      return;
    }
    this.#tally.filesDone++;
    if (outcome.kind === "failed") {
      if (outcome.fault !== undefined) this.#parts.onFileFault(path, outcome.fault);
      this.#tally.fail(outcome.error);
      return;
    }
    // It went, or became another thing, since it was found.
    if (outcome.kind === "skipped") this.#tally.skip(outcome, [path]);
    if (known !== undefined) this.#vanished.add(path);
  }

  /** What this same ingestion has stored before it was cut short counts as stored by it. */
  #countKnown(
    known: Pick<ListedFile, "path" | "chunkCount" | "ownCount" | "isOwn" | "skipped">,
  ): void {
    this.#tally.filesDone++;
    this.#tally.chunksStored += known.ownCount;
    this.#tally.chunksUnchanged += known.chunkCount - known.ownCount;
    if (known.skipped === setAside && known.isOwn) this.#tally.fail(setAsideError(known.path));
    else if (known.skipped !== undefined) this.#tally.skip(skipOf(known.skipped), [known.path]);
  }

  /** Recorded as done, so that it is not tried again until it changes. It keeps what it had. */
  async #setAside(path: string): Promise<void> {
    const { files, lease } = this.#parts;
    const stamp = await stampOfFile(join(this.#job.path, path));
    const { ingestionId } = this.#job;
    const writer = { ingestionId, token: lease.lease.token, pushed: false };
    lease.assertHeld();
    const taken = await this.#patiently(() => files.take(this.#job, writer, [{ path, ids: [] }]));
    const chunks = taken.get(path)?.chunks ?? [];
    const record = { path, stamp, hash: "", recipe: this.#recipe, skipped: setAside };
    await this.#patiently(() =>
      files.complete(this.#job, writer, [{ ...record, storedCount: 0, chunks }]),
    );
    this.#tally.filesRead++;
    this.#tally.filesDone++;
    this.#tally.fail(setAsideError(path));
  }

  async #flush(): Promise<void> {
    const files = this.#batch;
    this.#batch = [];
    this.#batchChunks = 0;
    if (files.length > 0) await this.#tasks.add(() => this.#commitFiles(files));
  }

  async #commitFiles(files: readonly PlannedFile[]): Promise<void> {
    const { passages, files: store, lease, onStored, onFileFault } = this.#parts;
    const embedder = this.#embedder;
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
  async #clean({ gone, unseen }: Scan): Promise<void> {
    const outside = isOutsidePatterns(this.#job.settings);
    const hidden = (path: string) =>
      unseen.some((one) => path === one || path.startsWith(`${one}/`));
    for (const list of [gone, this.#vanished]) {
      for (const page of list.pages(pathsPerStatement)) {
        this.#signal.throwIfAborted();
        const paths = page.map(({ path }) => path);
        await this.#forget(paths.filter((path) => !outside(path) && !hidden(path)));
      }
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
