import pLimit from "p-limit";
import { DomainError } from "../../../shared/errors.ts";
import { BoundedTasks } from "../bounded-tasks.ts";
import { collectionModel } from "../collection-model.ts";
import { patiently } from "../patience.ts";
import type { Embedder, PassageStore, Work } from "../ports.ts";
import { type CopyContext, copyBatch } from "./batch-copy.ts";
import type { MemoryTarget } from "./memory-target.ts";
import {
  type Checkpoint,
  CheckpointLog,
  doneOf,
  type Figures,
  MigrationTally,
  migratedOf,
  noFigures,
} from "./migration-tally.ts";
import {
  beginning,
  type RecordBatch,
  type RecordReader,
  SourceChangedError,
} from "./record-reader.ts";

/**
 * Batches in flight for each that is embedded: while the embedder is busy with so many as it may
 * have, others are looked up and written, so that the slowest of the three is never idle.
 */
const batchesPerEmbedding = 3;
/** How often a file may turn out to be another one than it was before. */
const mostBeginnings = 4;

export interface MigrationOptions {
  /** Texts of one call to the embedder. */
  readonly embedBatch: number;
  /** Batches that are embedded at the same time. */
  readonly parallelBatches: number;
  /** How long a peer may fail before the migration does, in milliseconds. */
  readonly patienceMs: number;
}

export interface MigrationJob {
  readonly tenant: string;
  /** "" in a dry run. */
  readonly migrationId: string;
  readonly checkpoint: Checkpoint;
}

export interface MigrationParts {
  readonly reader: RecordReader;
  readonly embedder: Embedder;
  readonly passages: Pick<PassageStore, "model">;
  readonly target: MemoryTarget;
  readonly onRetry: (error: DomainError, pauseMs: number) => void;
  /** Throws where the migration may be another process's by now. */
  readonly assertHeld: () => void;
}

/** What was counted in the target at the end. */
export interface Verification {
  readonly expected: number;
  readonly found: number;
}

/** One migration of a file: reads, embeds and stores, several batches at the same time. */
export class MigrationRun {
  readonly #job: MigrationJob;
  readonly #options: MigrationOptions;
  readonly #parts: MigrationParts;
  readonly #signal: AbortSignal;
  readonly #claimed = new Set<string>();
  #tally: MigrationTally;
  #log: CheckpointLog;
  #doneBefore: number;

  constructor(
    job: MigrationJob,
    options: MigrationOptions,
    parts: MigrationParts,
    signal: AbortSignal,
  ) {
    this.#job = job;
    this.#options = options;
    this.#parts = parts;
    this.#signal = signal;
    this.#tally = new MigrationTally(job.checkpoint.figures);
    this.#log = new CheckpointLog(job.checkpoint);
    this.#doneBefore = doneOf(job.checkpoint.figures);
  }

  /** Everything that is done. */
  figures(): Figures {
    return this.#tally.figures();
  }

  /** Up to where everything is done. */
  checkpoint(): Checkpoint {
    return this.#log.checkpoint();
  }

  /** Rows that this run has done, those of an earlier one left out. */
  doneNow(): number {
    return doneOf(this.figures()) - this.#doneBefore;
  }

  /** Undefined after a dry run. What it rejects with is the end of it all; what is stored stays. */
  async run(): Promise<Verification | undefined> {
    const dryRun = this.#job.migrationId === "";
    const model = dryRun ? "" : await this.#model();
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#copy(model);
        break;
      } catch (error) {
        if (!(error instanceof SourceChangedError)) throw error;
        if (attempt === mostBeginnings) throw fileKeepsChanging(error);
        this.#beginAnew();
      }
    }
    return dryRun ? undefined : this.#verify();
  }

  async #copy(model: string): Promise<void> {
    const { parallelBatches } = this.#options;
    const embedding = pLimit(parallelBatches);
    const tasks = new BoundedTasks(parallelBatches * batchesPerEmbedding);
    let number = 0;
    try {
      for await (const batch of this.#parts.reader.batches(this.checkpoint().position)) {
        this.#signal.throwIfAborted();
        this.#countRead(batch);
        const own = number++;
        await tasks.add(() => this.#copyBatch({ model, embedding }, batch, own));
      }
      await tasks.drain();
    } finally {
      // Batches in flight come to their end, whatever ended the loop.
      await tasks.settle();
    }
  }

  async #copyBatch(
    how: Pick<CopyContext, "model" | "embedding">,
    batch: RecordBatch,
    number: number,
  ): Promise<void> {
    const { embedder, target, assertHeld } = this.#parts;
    const { tenant, migrationId } = this.#job;
    const outcomes = await copyBatch(
      {
        ...how,
        tenant,
        migrationId,
        embedBatch: this.#options.embedBatch,
        embedder,
        target,
        claimed: this.#claimed,
        signal: this.#signal,
        assertHeld,
        patiently: (attempt) => this.#patiently(attempt),
      },
      batch,
    );
    for (const outcome of outcomes) this.#tally.add(outcome);
    this.#log.done({ number, end: batch.end, outcomes });
  }

  #countRead({ records, faults }: RecordBatch): void {
    for (const { kind, era, folded } of records) {
      this.#tally.read(kind, era, 1);
      for (const row of folded) this.#tally.read(kind, row.era, 1);
    }
    for (const { kind, era } of faults) this.#tally.read(kind, era, 1);
  }

  /** The file is not what it was: what of it is stored already is found to be so. */
  #beginAnew(): void {
    this.#claimed.clear();
    this.#tally = new MigrationTally();
    this.#log = new CheckpointLog({ position: beginning, figures: noFigures });
    this.#doneBefore = 0;
  }

  async #verify(): Promise<Verification> {
    const { target } = this.#parts;
    const found = await this.#patiently(() => target.count(this.#work(), this.#job.migrationId));
    return { expected: migratedOf(this.figures()), found };
  }

  #model(): Promise<string> {
    return collectionModel(this.#parts, this.#work(), (attempt) => this.#patiently(attempt));
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

function fileKeepsChanging(cause: unknown): DomainError {
  return new DomainError("aborted", "CONFLICT", "the file keeps changing while it is read", {
    retryAfterMs: 10_000,
    cause,
  });
}
