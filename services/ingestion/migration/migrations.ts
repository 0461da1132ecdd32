import { setTimeout as delay } from "node:timers/promises";
import { DependencyUnavailableError, DomainError } from "../../../shared/errors.ts";
import { newId } from "../../../shared/ids.ts";
import { MigrationBusyError } from "../errors.ts";
import { HeldLease } from "../held-lease.ts";
import { noProgress } from "../ingestion.ts";
import { patiently } from "../patience.ts";
import type { Embedder, PassageStore, Work } from "../ports.ts";
import { StopRequest } from "../stop-request.ts";
import type { Lease } from "../store.ts";
import type { MemoryTarget } from "./memory-target.ts";
import type { Verification } from "./migration-run.ts";
import { type MigrationJob, type MigrationOptions, MigrationRun } from "./migration-run.ts";
import type { MigrationEnd, MigrationStore } from "./migration-store.ts";
import { type Figures, noFigures } from "./migration-tally.ts";
import { beginning, RecordReader } from "./record-reader.ts";
import type { RecordSource, SourceFile, SourceRequest } from "./source-record.ts";

/** How often the caller is told; the contract promises every second. */
const tellMs = 500;
/** How long the end of a migration may wait for the database to take it. */
const endPatienceMs = 15_000;
/** Bytes of contents in one batch; messages hold 16 MiB, vectors and metadata included. */
const bytesPerBatch = 4 * 1024 * 1024;

const interruptedMessage = "interrupted; migrate again: it continues where it stopped";

export interface MigrationOrder extends SourceRequest {
  readonly dryRun: boolean;
}

/** A migration as its caller sees it. */
export interface MigrationView {
  /** "" in a dry run. */
  readonly id: string;
  readonly source: SourceFile;
  readonly resumed: boolean;
  readonly figures: Figures;
  readonly elapsedMs: number;
  /** Rows that this call has done, a second. */
  readonly rate: number;
  readonly done: boolean;
  /** Set when done, unless it was a dry run. */
  readonly verification: Verification | undefined;
}

/** What the world may want to know; nothing of what is in records. */
export interface MigrationEvents {
  onStart(view: MigrationView): void;
  onEnd(view: MigrationView, status: MigrationEnd, error: unknown): void;
  onRetry(error: DomainError, pauseMs: number): void;
  onFault(what: string, error: unknown): void;
}

export interface MigrationsParts {
  readonly store: MigrationStore;
  readonly source: RecordSource;
  readonly embedder: Embedder;
  readonly passages: Pick<PassageStore, "model">;
  readonly target: MemoryTarget;
  readonly events: MigrationEvents;
}

export interface MigrationsOptions extends MigrationOptions {
  /** How long a migration stays a process's own without a sign of life, in milliseconds. */
  readonly leaseMs: number;
}

interface Hold {
  readonly lease: Lease;
  /** When it was asked for, by `performance.now()`. */
  readonly since: number;
}

/** A migration that runs in this process. */
interface LiveMigration {
  readonly stop: AbortController;
  ended: Promise<unknown>;
}

/** The migrations of this process: one call, one migration. */
export class Migrations implements AsyncDisposable {
  readonly #options: MigrationsOptions;
  readonly #parts: MigrationsParts;
  readonly #live = new Set<LiveMigration>();
  #closing = false;

  constructor(options: MigrationsOptions, parts: MigrationsParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /**
   * Migrates a file and tells how far it is, at once and then at least every second; a slow reader
   * gets fewer, newer figures. The last view is done. Throws MigrationBusyError while the tenant
   * migrates the file already.
   */
  async *migrate(work: Work, order: MigrationOrder): AsyncGenerator<MigrationView> {
    if (this.#closing) throw stopping();
    const live: LiveMigration = { stop: new AbortController(), ended: Promise.resolve() };
    const { signal } = live.stop;
    const onAbort = () => live.stop.abort(new StopRequest("cancelled", "cancelled"));
    work.signal.addEventListener("abort", onAbort, { once: true });
    if (work.signal.aborted) onAbort();
    this.#live.add(live);
    const own = { tenant: work.tenant, signal };
    try {
      using reader = this.#reader(own, order);
      const source = await reader.open();
      const { job, resumed, hold } = await this.#open(own, source, order);
      const { embedder, passages, target, events } = this.#parts;
      let held: HeldLease | undefined;
      const run = new MigrationRun(
        job,
        this.#options,
        {
          ...{ reader, embedder, passages, target },
          onRetry: events.onRetry,
          assertHeld: () => held?.assertHeld(),
        },
        signal,
      );
      if (hold !== undefined) held = this.#hold(live, job, run, hold);
      const since = performance.now();
      const view = (end?: { readonly verification: Verification | undefined }): MigrationView => {
        const elapsedMs = Math.round(performance.now() - since);
        return {
          id: job.migrationId,
          source,
          resumed,
          figures: run.figures(),
          elapsedMs,
          rate: elapsedMs === 0 ? 0 : (run.doneNow() * 1_000) / elapsedMs,
          done: end !== undefined,
          verification: end?.verification,
        };
      };
      const conducted = this.#conduct(live, job, run, held, view);
      live.ended = conducted;
      let over = false;
      const end = conducted.finally(() => {
        over = true;
      });
      end.catch(() => {});
      try {
        for (;;) {
          yield view();
          await Promise.race([end.catch(() => {}), delay(tellMs, undefined, { ref: false })]);
          if (over) break;
        }
        yield view({ verification: await end });
      } finally {
        live.stop.abort(new StopRequest("cancelled", "the call was left"));
        await conducted.catch(() => {});
      }
    } catch (error) {
      work.signal.throwIfAborted();
      throw toCallerError(signal, error);
    } finally {
      work.signal.removeEventListener("abort", onAbort);
      this.#live.delete(live);
    }
  }

  /** Tells all that run to stop; they can be continued. */
  interrupt(): void {
    this.#closing = true;
    for (const { stop } of this.#live) {
      stop.abort(new StopRequest("interrupted", interruptedMessage));
    }
  }

  /** Interrupts all and waits until their ends are recorded. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.interrupt();
    await Promise.allSettled([...this.#live].map(({ ended }) => ended));
  }

  #reader(work: Work, { path, timeZone }: SourceRequest): RecordReader {
    return new RecordReader(
      this.#parts.source,
      work,
      { path, timeZone },
      {
        mostRecords: this.#options.embedBatch,
        mostBytes: bytesPerBatch,
        patienceMs: this.#options.patienceMs,
        onRetry: this.#parts.events.onRetry,
      },
    );
  }

  /**
   * Records a migration as ours, or goes on with one that nobody holds any more. A dry run is
   * nobody's concern and is not recorded.
   */
  async #open(
    { tenant, signal }: Work,
    { file, timeZone }: SourceFile,
    { dryRun }: MigrationOrder,
  ): Promise<{ readonly job: MigrationJob; readonly resumed: boolean; readonly hold?: Hold }> {
    if (dryRun) {
      const checkpoint = { position: beginning, figures: noFigures };
      return { job: { tenant, migrationId: "", checkpoint }, resumed: false };
    }
    const lease = { token: newId(), ms: this.#options.leaseMs };
    const since = performance.now();
    const wanted = { tenant, id: newId(), file, timeZone, lease };
    const opened = await this.#parts.store.open(wanted, signal);
    if (opened.kind === "running") {
      const { id, remainingMs } = opened.running;
      throw new MigrationBusyError(file, id, remainingMs);
    }
    const { id: migrationId, checkpoint, resumed } = opened;
    return { job: { tenant, migrationId, checkpoint }, resumed, hold: { lease, since } };
  }

  /** Moves the checkpoint with every sign of life, and learns whether the migration is still ours. */
  #hold(live: LiveMigration, job: MigrationJob, run: MigrationRun, hold: Hold): HeldLease {
    const { store, events } = this.#parts;
    return new HeldLease({
      ...hold,
      key: keyOf(job),
      store: {
        beat: (key, lease, _, signal) => store.beat(key, lease, run.checkpoint(), signal),
      },
      news: () => ({ progress: noProgress, advanced: false }),
      onVerdict: () => live.stop.abort(new StopRequest("lost", lostMessage)),
      onFault: (error) => events.onFault("a checkpoint was not recorded", error),
    });
  }

  /** Runs it and records how it ended. Rejects with what it failed by. */
  async #conduct(
    live: LiveMigration,
    job: MigrationJob,
    run: MigrationRun,
    held: HeldLease | undefined,
    view: () => MigrationView,
  ): Promise<Verification | undefined> {
    const { events } = this.#parts;
    events.onStart(view());
    try {
      const verification = await run.run();
      await held?.[Symbol.asyncDispose]();
      await this.#end(job, run, held, "completed", "");
      events.onEnd(view(), "completed", undefined);
      return verification;
    } catch (error) {
      await held?.[Symbol.asyncDispose]();
      const { status, message } = outcomeOf(live.stop.signal, error);
      await this.#end(job, run, held, status, message);
      events.onEnd(view(), status, live.stop.signal.aborted ? undefined : error);
      throw error;
    }
  }

  async #end(
    job: MigrationJob,
    run: MigrationRun,
    held: HeldLease | undefined,
    status: MigrationEnd,
    message: string,
  ): Promise<void> {
    if (held === undefined) return;
    const { store, events } = this.#parts;
    const outcome = { status, checkpoint: run.checkpoint(), message };
    try {
      const patience = { limitMs: endPatienceMs, signal: new AbortController().signal };
      await patiently(patience, () => store.end(keyOf(job), held.lease, outcome));
    } catch (error) {
      // It stays in progress until its lease lapses.
      events.onFault("the end of a migration was not recorded", error);
    }
  }
}

const lostMessage =
  "the migration may be another process's by now: no sign of life could be recorded";

function keyOf({ tenant, migrationId }: MigrationJob) {
  return { tenant, id: migrationId };
}

function outcomeOf(
  signal: AbortSignal,
  failure: unknown,
): { readonly status: MigrationEnd; readonly message: string } {
  // A peer's call may reject with its own word for the abort.
  const reason: unknown = signal.aborted ? signal.reason : failure;
  if (reason instanceof StopRequest) {
    return { status: reason.why === "cancelled" ? "cancelled" : "failed", message: reason.message };
  }
  const message = failure instanceof DomainError ? failure.message : "internal error";
  return { status: "failed", message };
}

function toCallerError(signal: AbortSignal, failure: unknown): unknown {
  // What ended it comes first: the signal may have been aborted since, to end what was left of it.
  const ended = failure instanceof StopRequest || !signal.aborted;
  const reason: unknown = ended ? failure : signal.reason;
  if (!(reason instanceof StopRequest)) return failure;
  if (reason.why === "interrupted") return stopping(failure);
  if (reason.why === "lost") return new DomainError("aborted", "CONFLICT", reason.message);
  return failure;
}

function stopping(cause?: unknown): DependencyUnavailableError {
  return new DependencyUnavailableError(
    "ingestion",
    `this process is stopping; ${interruptedMessage}`,
    cause,
  );
}
