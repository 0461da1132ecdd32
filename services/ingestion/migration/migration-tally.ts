import type { ItemFailure } from "../ports.ts";
import type { StreamPosition } from "./record-reader.ts";
import type { RecordKind } from "./source-record.ts";

export type Result = "migrated" | "deduplicated" | "failed";

/** Counts for one kind of record of one layout. */
export interface KindCount {
  readonly kind: RecordKind;
  readonly era: string;
  readonly read: number;
  readonly migrated: number;
  readonly deduplicated: number;
  readonly failed: number;
}

/** A record that failed. */
export interface RecordFailure {
  readonly recordId: string;
  readonly kind: RecordKind;
  readonly era: string;
  readonly failure: ItemFailure;
}

/** How far a migration is. */
export interface Figures {
  /** By era, then by kind. */
  readonly counts: readonly KindCount[];
  /** The first 100. */
  readonly failures: readonly RecordFailure[];
  readonly failedByReason: Readonly<Record<string, number>>;
}

export const noFigures: Figures = { counts: [], failures: [], failedByReason: {} };

/** What became of a row. */
export interface Outcome {
  readonly recordId: string;
  readonly kind: RecordKind;
  readonly era: string;
  readonly result: Result;
  /** Why it failed; undefined where it did not. */
  readonly failure: ItemFailure | undefined;
}

const maxFailures = 100;

type MutableCount = { -readonly [K in keyof KindCount]: KindCount[K] };

/** Counts while a migration runs; `figures()` is what others see. */
export class MigrationTally {
  readonly #counts = new Map<string, MutableCount>();
  readonly #failures: RecordFailure[];
  readonly #failedByReason: Map<string, number>;

  constructor({ counts, failures, failedByReason }: Figures = noFigures) {
    for (const count of counts) this.#counts.set(`${count.era} ${count.kind}`, { ...count });
    this.#failures = [...failures];
    this.#failedByReason = new Map(Object.entries(failedByReason));
  }

  read(kind: RecordKind, era: string, rows: number): void {
    this.#countOf(kind, era).read += rows;
  }

  add({ recordId, kind, era, result, failure }: Outcome): void {
    this.#countOf(kind, era)[result]++;
    if (failure === undefined) return;
    const { reason } = failure;
    this.#failedByReason.set(reason, (this.#failedByReason.get(reason) ?? 0) + 1);
    if (this.#failures.length < maxFailures) {
      this.#failures.push({ recordId, kind, era, failure });
    }
  }

  figures(): Figures {
    const counts = [...this.#counts.values()].map((count) => ({ ...count }));
    counts.sort((a, b) => compare(a.era, b.era) || compare(a.kind, b.kind));
    return {
      counts,
      failures: [...this.#failures],
      failedByReason: Object.fromEntries(this.#failedByReason),
    };
  }

  #countOf(kind: RecordKind, era: string): MutableCount {
    const key = `${era} ${kind}`;
    const known = this.#counts.get(key);
    if (known !== undefined) return known;
    const fresh = { kind, era, read: 0, migrated: 0, deduplicated: 0, failed: 0 };
    this.#counts.set(key, fresh);
    return fresh;
  }
}

/** Rows of these figures that are done. */
export function doneOf({ counts }: Figures): number {
  return counts.reduce((sum, one) => sum + one.migrated + one.deduplicated + one.failed, 0);
}

export function migratedOf({ counts }: Figures): number {
  return counts.reduce((sum, { migrated }) => sum + migrated, 0);
}

/** Up to where everything is done, and what became of it. */
export interface Checkpoint {
  readonly position: StreamPosition;
  readonly figures: Figures;
}

/** A batch that is done, whatever became of its rows. */
export interface DoneBatch {
  /** From 0, without gaps. */
  readonly number: number;
  readonly end: StreamPosition;
  readonly outcomes: readonly Outcome[];
}

/** Batches end in any order; the checkpoint moves past a batch when all before it are done too. */
export class CheckpointLog {
  readonly #tally: MigrationTally;
  readonly #waiting = new Map<number, DoneBatch>();
  #position: StreamPosition;
  #next = 0;

  constructor({ position, figures }: Checkpoint) {
    this.#position = position;
    this.#tally = new MigrationTally(figures);
  }

  done(batch: DoneBatch): void {
    this.#waiting.set(batch.number, batch);
    for (;;) {
      const next = this.#waiting.get(this.#next);
      if (next === undefined) return;
      this.#waiting.delete(this.#next++);
      for (const outcome of next.outcomes) {
        this.#tally.read(outcome.kind, outcome.era, 1);
        this.#tally.add(outcome);
      }
      this.#position = next.end;
    }
  }

  checkpoint(): Checkpoint {
    return { position: this.#position, figures: this.#tally.figures() };
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
