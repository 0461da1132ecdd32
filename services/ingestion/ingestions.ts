import { resolveAllowedPath } from "../../shared/allowed-path.ts";
import {
  DependencyUnavailableError,
  type DomainError,
  InvalidRequestError,
} from "../../shared/errors.ts";
import { newId } from "../../shared/ids.ts";
import { IngestionNotFoundError, RepositoryBusyError } from "./errors.ts";
import { HeldLease } from "./held-lease.ts";
import { hasEnded, type IngestionSettings, noProgress } from "./ingestion.ts";
import {
  type IngestionEvents,
  JobWorker,
  type WorkerOptions,
  type WorkerParts,
} from "./job-worker.ts";
import { type IngestionView, viewOfRecord } from "./live-ingestion.ts";
import type { Work } from "./ports.ts";
import { StopRequest } from "./stop-request.ts";
import type { IngestionFilter, IngestionKey } from "./store.ts";

export type { IngestionEvents };

/** How often a follower is told; the contract promises every second. */
const tellMs = 500;
/** How often to look whether another process has stopped what it was asked to. */
const cancelLookMs = 200;

export interface IngestionOrder {
  readonly path: string;
  /** "": the folder's name. */
  readonly repoId: string;
  readonly settings: IngestionSettings;
}

/**
 * The ingestions of all processes: starts, follows and stops them. Whichever process is asked, the
 * record is shared; those that this process works on are followed at first hand.
 */
export class Ingestions implements AsyncDisposable {
  readonly #options: WorkerOptions;
  readonly #parts: WorkerParts;
  readonly #worker: JobWorker;
  readonly #closing = new AbortController();

  constructor(options: WorkerOptions, parts: WorkerParts) {
    this.#options = options;
    this.#parts = parts;
    this.#worker = new JobWorker(options, parts);
  }

  /** How many this process works on. */
  get size(): number {
    return this.#worker.size;
  }

  /** Begins to work on what waits. */
  work(): void {
    this.#worker.start();
  }

  /**
   * Records an ingestion, which then waits for a process that has time, and returns its id. Throws
   * PathRefusedError, RepositoryBusyError where the repository is being ingested,
   * InvalidRequestError where a folder's name would be taken for another folder's repository.
   */
  async start(work: Work, order: IngestionOrder): Promise<string> {
    this.#throwIfClosing();
    const path = await resolveAllowedPath(order.path, this.#options.roots, "folder");
    const repoId = order.repoId === "" ? await this.#nameOf(work, path) : order.repoId;
    const { settings } = order;
    const id = newId();
    const job = { tenant: work.tenant, repoId, id, kind: "folder", path, settings } as const;
    const other = await this.#parts.jobs.create(job, work.signal);
    if (other !== undefined) throw new RepositoryBusyError(repoId, other);
    this.#worker.wake();
    return id;
  }

  /** Where this process works on it the newest figures, else the recorded ones. */
  async get({ tenant, signal }: Work, id: string): Promise<IngestionView> {
    const live = this.#worker.live({ tenant, id });
    if (live !== undefined) return live.view();
    const recorded = await this.#parts.jobs.get({ tenant, id }, signal);
    if (recorded === undefined) throw new IngestionNotFoundError(id);
    return viewOfRecord(recorded);
  }

  async list({ tenant, signal }: Work, filter: IngestionFilter): Promise<readonly IngestionView[]> {
    const recorded = await this.#parts.jobs.list(tenant, filter, signal);
    return recorded.map((one) => {
      const live = this.#worker.live({ tenant, id: one.id });
      return hasEnded(one.status) || live === undefined ? viewOfRecord(one) : live.view();
    });
  }

  /**
   * How an ingestion is, now, with every change of stage and at least every second, until it has
   * ended; a slow reader gets fewer, newer figures. Where this process stops before that, followers
   * get DependencyUnavailableError: another process can tell them the rest.
   */
  async *follow(work: Work, id: string): AsyncGenerator<IngestionView> {
    const key = { tenant: work.tenant, id };
    for (let last = this.#worker.live(key); ; ) {
      const live = this.#worker.live(key) ?? (last?.hasEnded ? last : undefined);
      last = live;
      const changed = live?.changed(tellMs, work.signal);
      // Where the reader is slow or leaves, nobody waits for this one.
      changed?.catch(() => {});
      const view = live?.view() ?? (await this.get(work, id));
      yield view;
      if (hasEnded(view.status)) return;
      await (changed ?? this.#pause(work, tellMs));
    }
  }

  /** Stops an ingestion, here or in another process, and waits until it has ended. */
  async cancel(work: Work, id: string): Promise<IngestionView> {
    let view = await this.get(work, id);
    while (!hasEnded(view.status)) {
      await this.stop({ tenant: work.tenant, id }, "cancelled", work.signal);
      const live = this.#worker.live({ tenant: work.tenant, id });
      if (live !== undefined) await live.changed(cancelLookMs, work.signal);
      view = await this.get(work, id);
      if (!hasEnded(view.status) && live === undefined) await this.#pause(work, cancelLookMs);
    }
    return view;
  }

  /** As `cancel`, and does not wait. Not while this process stops: then the ingestion goes on. */
  async stop(key: IngestionKey, message: string, signal?: AbortSignal): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const live = this.#worker.live(key);
    if (live !== undefined) live.stop(new StopRequest("cancelled", message));
    else await this.#parts.jobs.requestCancel(key, signal);
  }

  /**
   * Removes a repository: its chunks first, then all that is known of it, so that what is cut short
   * can be repeated. Throws RepositoryBusyError while it is being ingested.
   */
  async deleteRepository(
    work: Work,
    repoId: string,
  ): Promise<{ readonly chunks: number; readonly ingestions: number }> {
    this.#throwIfClosing();
    const { jobs, passages, events } = this.#parts;
    const { tenant } = work;
    const id = newId();
    const settings = { include: [], exclude: [], chunkSize: 0, chunkOverlap: 0 };
    const lease = { token: newId(), ms: this.#options.leaseMs };
    const since = performance.now();
    // Holds the repository as an ingestion would, so that none begins meanwhile.
    const job = { tenant, repoId, id, kind: "deletion", path: "", settings, lease } as const;
    const other = await jobs.create(job, work.signal);
    if (other !== undefined) throw new RepositoryBusyError(repoId, other);
    const key = { tenant, id };
    const lost = new AbortController();
    await using _held = new HeldLease({
      store: jobs,
      key,
      lease,
      since,
      news: () => ({ progress: noProgress, advanced: false }),
      onVerdict: (verdict) => lost.abort(verdict),
      onFault: (error) => events.onFault("a sign of life was not recorded", error),
    });
    try {
      const signal = AbortSignal.any([work.signal, lost.signal]);
      const chunks = await passages.deleteRepository({ ...work, signal }, repoId);
      const ingestions = await jobs.deleteRepository({ tenant, repoId }, signal);
      return { chunks, ingestions };
    } catch (error) {
      const progress = { ...noProgress, stage: "done" } as const;
      const outcome = { status: "failed", progress, message: "deletion failed" } as const;
      await jobs.end(key, lease, outcome).catch((cause: unknown) => {
        events.onFault("the end of a deletion was not recorded", cause);
      });
      throw error;
    }
  }

  /** Gives back what runs, to go on in another process or a later life of this one. */
  interrupt(): void {
    this.#closing.abort();
    this.#worker.interrupt();
  }

  /** Interrupts, and waits until all is given back. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.interrupt();
    await this.#worker[Symbol.asyncDispose]();
  }

  #throwIfClosing(): void {
    if (this.#closing.signal.aborted) throw stoppingError();
  }

  /** Waits a little where another process works on it, or nobody yet. */
  async #pause({ signal }: Work, ms: number): Promise<void> {
    const either = AbortSignal.any([signal, this.#closing.signal]);
    await this.#worker.claimed(ms, either).catch((error: unknown) => {
      signal.throwIfAborted();
      throw stoppingError(error);
    });
  }

  /** A folder's name, unless it would replace what another folder of that name brought in. */
  async #nameOf({ tenant, signal }: Work, path: string): Promise<string> {
    const repoId = path.slice(path.lastIndexOf("/") + 1);
    const refuse = (description: string) =>
      new InvalidRequestError([{ field: "repo_id", description }]);
    if (repoId === "") throw refuse("is required for the root folder");
    const lastPath = await this.#parts.jobs.lastPath({ tenant, repoId }, signal);
    if (lastPath !== undefined && lastPath !== path) {
      throw refuse(`is required: ${repoId} is the repository of another folder of that name`);
    }
    return repoId;
  }
}

function stoppingError(cause?: unknown): DomainError {
  return new DependencyUnavailableError("ingestion", "this process is stopping", cause);
}
