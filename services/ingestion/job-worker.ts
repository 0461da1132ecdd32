import { type AllowedRoots, resolveAllowedPath } from "../../shared/allowed-path.ts";
import { DomainError } from "../../shared/errors.ts";
import { newId } from "../../shared/ids.ts";
import { Alarm } from "./alarm.ts";
import type { FolderThreads } from "./folder-reader.ts";
import { HeldLease, verdictOf } from "./held-lease.ts";
import type { Ingestion } from "./ingestion.ts";
import { IngestionRun, type RunOptions } from "./ingestion-run.ts";
import { type IngestionView, LiveIngestion } from "./live-ingestion.ts";
import { patiently } from "./patience.ts";
import type { Embedder, PassageStore } from "./ports.ts";
import { StopRequest } from "./stop-request.ts";
import type { ClaimedJob, FileStore, IngestionKey, JobStore, Lease } from "./store.ts";

/** How often to look for work that other processes were asked for, or have left behind. */
const lookMs = 1_000;
const settleMs = 5_000;
/** How long the end of an ingestion may wait for the database to take it. */
const endPatienceMs = 15_000;
/** Holders in a row that may die before a single file is done. */
const maxLostHolders = 10;

export interface WorkerOptions extends RunOptions {
  readonly roots: AllowedRoots;
  /** Ingestions that this process works on at the same time; 0: it leaves them to others. */
  readonly parallelIngestions: number;
  /** How long after a process's last sign of life its ingestions are another's. */
  readonly leaseMs: number;
}

/** What the world may want to know; nothing of what is in files. */
export interface IngestionEvents {
  /** `afterDeath`: the process that worked on it before has died. */
  onStart(ingestion: Ingestion, afterDeath: boolean): void;
  onEnd(ingestion: IngestionView, error: unknown): void;
  /** Another process goes on with it. */
  onHandBack(ingestion: Ingestion): void;
  onRetry(ingestion: Ingestion, error: DomainError, pauseMs: number): void;
  onStored(chunks: number): void;
  onFileFault(ingestion: Ingestion, path: string, error: unknown): void;
  /** What was left by a process that is gone, and that nobody can go on with, is recorded as ended. */
  onSettled(id: string): void;
  onFault(what: string, error: unknown): void;
}

export interface WorkerParts {
  readonly jobs: JobStore;
  readonly files: FileStore;
  readonly embedder: Embedder;
  readonly passages: PassageStore;
  readonly threads: FolderThreads;
  readonly events: IngestionEvents;
}

/**
 * Works on ingestions of folders, whichever process was asked for them. One that this process
 * cannot finish is given back when it stops, and claimed by another when it dies.
 */
export class JobWorker implements AsyncDisposable {
  readonly #options: WorkerOptions;
  readonly #parts: WorkerParts;
  readonly #live = new Map<string, LiveIngestion>();
  readonly #conducts = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  readonly #alarm = new Alarm();
  /** Rings when an ingestion was claimed. */
  readonly #claims = new Alarm();
  #looking: Promise<void> = Promise.resolve();

  constructor(options: WorkerOptions, parts: WorkerParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** How many this process works on. */
  get size(): number {
    return this.#live.size;
  }

  live({ tenant, id }: IngestionKey): LiveIngestion | undefined {
    const live = this.#live.get(id);
    return live?.tenant === tenant ? live : undefined;
  }

  /** Looks for work from now on. */
  start(): void {
    this.#looking = this.#look();
  }

  /** There is work: look now. */
  wake(): void {
    this.#alarm.ring();
  }

  /** Resolves with the next claim of this process, or after `ms`; rejects when the signal aborts. */
  claimed(ms: number, signal: AbortSignal): Promise<void> {
    return this.#claims.wait(ms, signal);
  }

  /** Stops working; what runs is given back after its batches in flight. */
  interrupt(): void {
    const why = new StopRequest("interrupted", "the process stops");
    this.#closing.abort(why);
    for (const live of this.#live.values()) live.stop(why);
  }

  /** Interrupts, and waits until all is given back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.interrupt();
    await this.#looking;
    await Promise.all(this.#conducts);
  }

  async #look(): Promise<void> {
    const { signal } = this.#closing;
    let troubled = false;
    let settledAt = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      try {
        await this.#claimAll(signal);
        if (performance.now() - settledAt > settleMs) {
          await this.#settle(signal);
          settledAt = performance.now();
        }
        troubled = false;
      } catch (error) {
        // Said once: the database may be away for long.
        if (!signal.aborted && !troubled) this.#parts.events.onFault("no look for work", error);
        troubled = true;
      }
      await this.#alarm.wait(lookMs, signal).catch(() => {});
    }
  }

  async #claimAll(signal: AbortSignal): Promise<void> {
    while (this.#live.size < this.#options.parallelIngestions) {
      const lease = { token: newId(), ms: this.#options.leaseMs };
      const since = performance.now();
      const claimed = await this.#parts.jobs.claim(lease, signal);
      if (claimed === undefined) return;
      const live = new LiveIngestion(claimed.tenant, claimed.ingestion);
      this.#live.set(live.id, live);
      const conduct = this.#conduct(claimed, live, lease, since).finally(() => {
        this.#conducts.delete(conduct);
        this.#alarm.ring();
      });
      this.#conducts.add(conduct);
      this.#claims.ring();
    }
  }

  async #settle(signal: AbortSignal): Promise<void> {
    const { jobs, events } = this.#parts;
    for (const id of await jobs.settle("its process is gone", signal)) events.onSettled(id);
  }

  async #conduct(
    claimed: ClaimedJob,
    live: LiveIngestion,
    lease: Lease,
    since: number,
  ): Promise<void> {
    const { jobs, events } = this.#parts;
    if (this.#closing.signal.aborted) live.stop(this.#closing.signal.reason);
    events.onStart(live.record, claimed.afterDeath);
    let failure: unknown;
    {
      await using held = new HeldLease({
        store: jobs,
        key: live.key,
        lease,
        since,
        news: () => ({ progress: live.tally.snapshot(), advanced: live.tally.advanced }),
        onVerdict: (verdict) => live.stop(verdict),
        onFault: (error) => events.onFault("a sign of life was not recorded", error),
      });
      try {
        await this.#run(claimed, live, held);
      } catch (error) {
        failure = error;
      }
    }
    await this.#finish(live, lease, failure);
  }

  async #run(claimed: ClaimedJob, live: LiveIngestion, held: HeldLease): Promise<void> {
    const { lostHolders, afterDeath, deaths, tenant } = claimed;
    if (lostHolders > maxLostHolders) {
      const message = `${lostHolders} processes died over it, one after the other`;
      throw new DomainError("internal", "INTERNAL", message);
    }
    const { id, repoId, settings } = live.record;
    // This process may be allowed less than the one that was asked, and links may have changed.
    const path = await resolveAllowedPath(live.record.path, this.#options.roots, "folder");
    const job = { tenant, repoId, ingestionId: id, path, settings, careful: afterDeath, deaths };
    const { events, jobs, ...parts } = this.#parts;
    const run = new IngestionRun(
      job,
      this.#options,
      {
        ...parts,
        lease: held,
        onStage: (stage) => live.enter(stage),
        onRetry: (error, pauseMs) => events.onRetry(live.record, error, pauseMs),
        onStored: (chunks) => events.onStored(chunks),
        onFileFault: (file, error) => events.onFileFault(live.record, file, error),
        suspect: async (file) => {
          const verdict = verdictOf(await jobs.suspect(live.key, held.lease, file, live.signal));
          if (verdict !== undefined) throw verdict;
        },
      },
      live.tally,
      live.signal,
    );
    await run.run();
  }

  async #finish(live: LiveIngestion, lease: Lease, failure: unknown): Promise<void> {
    const { events, jobs } = this.#parts;
    const reason = failure === undefined ? undefined : stopOf(live.signal, failure);
    const patience = { limitMs: endPatienceMs, signal: new AbortController().signal };
    const record = (attempt: () => Promise<void>) =>
      patiently(patience, attempt).catch((error: unknown) => {
        // The lease lapses, and another process goes on.
        events.onFault("the end of an ingestion was not recorded", error);
      });
    if (reason?.why === "interrupted" || reason?.why === "lost") {
      if (reason.why === "interrupted") {
        await record(() => jobs.release(live.key, lease, live.tally.snapshot()));
      }
      this.#live.delete(live.id);
      live.leave();
      events.onHandBack(live.record);
      return;
    }
    live.tally.stage = "done";
    const outcome = { ...outcomeOf(reason, failure), progress: live.tally.snapshot() };
    await record(() => jobs.end(live.key, lease, outcome));
    this.#live.delete(live.id);
    live.end(outcome);
    events.onEnd(live.view(), reason === undefined ? failure : undefined);
  }
}

/** A peer's call may reject with its own word for the abort. */
function stopOf(signal: AbortSignal, failure: unknown): StopRequest | undefined {
  if (failure instanceof StopRequest) return failure;
  return signal.aborted && signal.reason instanceof StopRequest ? signal.reason : undefined;
}

function outcomeOf(reason: StopRequest | undefined, failure: unknown) {
  if (failure === undefined) return { status: "completed", message: "" } as const;
  if (reason !== undefined) return { status: "cancelled", message: reason.message } as const;
  const message = failure instanceof DomainError ? failure.message : "internal error";
  return { status: "failed", message } as const;
}
