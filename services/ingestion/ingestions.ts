import { setTimeout as delay } from "node:timers/promises";
import { type AllowedRoots, resolveAllowedPath } from "../../shared/allowed-path.ts";
import {
  DependencyUnavailableError,
  DomainError,
  InvalidRequestError,
} from "../../shared/errors.ts";
import { newId } from "../../shared/ids.ts";
import { sleep } from "../../shared/lifecycle.ts";
import { IngestionNotFoundError, RepositoryBusyError } from "./errors.ts";
import { hasEnded, type Ingestion, type IngestionSettings, noProgress } from "./ingestion.ts";
import { IngestionRun, type RunOptions, type RunParts } from "./ingestion-run.ts";
import { type IngestionView, LiveIngestion, StopRequest } from "./live-ingestion.ts";
import { isOrphan, thisProcess } from "./owner.ts";
import { patiently } from "./patience.ts";
import type { Embedder, PassageStore, Work } from "./ports.ts";
import type {
  IngestionFilter,
  IngestionKey,
  IngestionStore,
  Owner,
  RunningIngestion,
} from "./store.ts";
import { Turns } from "./turns.ts";

const beatMs = 1_000;
const sweepMs = 5_000;
/** How often a follower is told; the contract promises every second. */
const tellMs = 500;
/** How long the end of an ingestion may wait for the database to take it. */
const endPatienceMs = 15_000;

const interruptedMessage = "interrupted; run it again: it continues where it stopped";

export interface IngestionsOptions extends RunOptions {
  readonly roots: AllowedRoots;
  /** Ingestions that run at the same time; more wait as pending. */
  readonly parallelIngestions: number;
}

/** What the world may want to know; nothing of what is in files. */
export interface IngestionEvents {
  onStart(ingestion: Ingestion): void;
  onEnd(ingestion: Ingestion, error: unknown): void;
  onRetry(ingestion: Ingestion, error: DomainError, pauseMs: number): void;
  onStored(chunks: number): void;
  onFileFault(ingestion: Ingestion, path: string, error: unknown): void;
  /** An ingestion was found in progress whose process is gone. */
  onOrphan(id: string): void;
  onFault(what: string, error: unknown): void;
}

export interface IngestionsParts {
  readonly store: IngestionStore;
  readonly embedder: Embedder;
  readonly passages: PassageStore;
  readonly events: IngestionEvents;
  readonly owner?: Owner;
}

export interface IngestionOrder {
  readonly path: string;
  /** "": the folder's name. */
  readonly repoId: string;
  readonly settings: IngestionSettings;
}

/**
 * The ingestions of this process: starts, follows and stops them, and lays those to rest whose
 * process died. What is recorded is shared: any process can tell of any ingestion and cancel it.
 */
export class Ingestions implements AsyncDisposable {
  readonly #options: IngestionsOptions;
  readonly #parts: IngestionsParts;
  readonly #owner: Owner;
  readonly #live = new Map<string, LiveIngestion>();
  /** Ids of records that this process answers for; any other of its own is a leftover. */
  readonly #held = new Set<string>();
  readonly #turns: Turns;
  readonly #closing = new AbortController();
  #sweeping: Promise<void> = Promise.resolve();

  constructor(options: IngestionsOptions, parts: IngestionsParts) {
    this.#options = options;
    this.#parts = parts;
    this.#turns = new Turns(options.parallelIngestions);
    this.#owner = parts.owner ?? thisProcess();
  }

  /** How many run in this process, waiting ones included. */
  get size(): number {
    return this.#live.size;
  }

  /** Lays dead ingestions to rest, now and from time to time. */
  watchOverOrphans(): void {
    const { signal } = this.#closing;
    this.#sweeping = (async () => {
      while (!signal.aborted) {
        await this.#sweep(signal).catch((error: unknown) => {
          if (!signal.aborted) this.#parts.events.onFault("looking for orphans failed", error);
        });
        await delay(sweepMs, undefined, { signal }).catch(() => {});
      }
    })();
  }

  /**
   * Starts an ingestion and returns at once. Throws PathRefusedError, RepositoryBusyError where the
   * repository is being ingested, InvalidRequestError where a folder's name would be taken for
   * another folder's repository.
   */
  async start(work: Work, order: IngestionOrder): Promise<LiveIngestion> {
    this.#throwIfClosing();
    const path = await resolveAllowedPath(order.path, this.#options.roots, "folder");
    const repoId = order.repoId === "" ? await this.#nameOf(work, path) : order.repoId;
    const { settings } = order;
    const id = newId();
    const { tenant } = work;
    await this.#create({ tenant, repoId, id, path, settings }, work.signal);
    const live = new LiveIngestion(tenant, {
      id,
      repoId,
      path,
      settings,
      status: "pending",
      progress: noProgress,
      message: "",
      createTime: new Date(),
      startTime: undefined,
      endTime: undefined,
    });
    this.#live.set(id, live);
    void this.#conduct(live);
    return live;
  }

  /** Where it runs in this process the newest figures, else the recorded ones. */
  async get(work: Work, id: string): Promise<IngestionView> {
    const live = this.#liveOf(work.tenant, id);
    if (live !== undefined) return live.view();
    const recorded = await this.#parts.store.get({ tenant: work.tenant, id }, work.signal);
    if (recorded === undefined) throw new IngestionNotFoundError(id);
    return { ...recorded, currentFile: "" };
  }

  async list(work: Work, filter: IngestionFilter): Promise<readonly IngestionView[]> {
    const recorded = await this.#parts.store.list(work.tenant, filter, work.signal);
    return recorded.map((one) => {
      const live = hasEnded(one.status) ? undefined : this.#liveOf(work.tenant, one.id);
      return live?.view() ?? { ...one, currentFile: "" };
    });
  }

  /**
   * How an ingestion is, now, with every change of stage and at least every second, until it has
   * ended; a slow reader gets fewer, newer figures. Where the process stops that has to tell,
   * followers of other processes' ingestions get DependencyUnavailableError.
   */
  async *follow(work: Work, id: string): AsyncGenerator<IngestionView> {
    const signal = AbortSignal.any([work.signal, this.#closing.signal]);
    for (;;) {
      const live = this.#liveOf(work.tenant, id);
      const changed = live?.changed(tellMs, work.signal);
      // Where the reader is slow or leaves, nobody waits for this one.
      changed?.catch(() => {});
      const view = await this.get(work, id);
      yield view;
      if (hasEnded(view.status)) return;
      if (changed !== undefined) await changed;
      else {
        await sleep(tellMs, signal).catch((error: unknown) => {
          work.signal.throwIfAborted();
          throw new DependencyUnavailableError("ingestion", "this process is stopping", error);
        });
      }
    }
  }

  /** Stops an ingestion, here or in another process, and waits until it has ended. */
  async cancel(work: Work, id: string): Promise<IngestionView> {
    const key = { tenant: work.tenant, id };
    const found = await this.get(work, id);
    if (hasEnded(found.status)) return found;
    const live = this.#liveOf(work.tenant, id);
    if (live === undefined) await this.#parts.store.requestCancel(key, work.signal);
    else live.stop("cancelled", "cancelled");
    let last = found;
    for await (const view of this.follow(work, id)) last = view;
    return last;
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
    const { store, passages } = this.#parts;
    const { tenant } = work;
    const id = newId();
    const settings = { include: [], exclude: [], chunkSize: 0, chunkOverlap: 0 };
    // Holds the repository as an ingestion would, so that none begins meanwhile.
    await this.#create({ tenant, repoId, id, path: "", settings }, work.signal);
    try {
      const chunks = await passages.deleteRepository(work, repoId);
      const ingestions = await store.deleteRepository({ tenant, repoId }, work.signal);
      return { chunks, ingestions: ingestions - 1 };
    } catch (error) {
      const outcome = {
        status: "failed",
        progress: noProgress,
        message: "deletion failed",
      } as const;
      await store.end({ tenant, id }, this.#owner, outcome).catch((cause: unknown) => {
        this.#parts.events.onFault("the end of a deletion was not recorded", cause);
      });
      throw error;
    } finally {
      this.#held.delete(id);
    }
  }

  /** Tells all that run to stop; they end as failed, with a message that says how to go on. */
  interrupt(): void {
    this.#closing.abort(new StopRequest("interrupted", interruptedMessage));
    for (const live of this.#live.values()) live.stop("interrupted", interruptedMessage);
  }

  /** Interrupts all and waits until their ends are recorded. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.interrupt();
    await Promise.all([...this.#live.values()].map((live) => live.ended));
    await this.#sweeping;
  }

  #throwIfClosing(): void {
    if (this.#closing.signal.aborted) {
      throw new DependencyUnavailableError("ingestion", "this process is stopping");
    }
  }

  #liveOf(tenant: string, id: string): LiveIngestion | undefined {
    const live = this.#live.get(id);
    return live?.tenant === tenant ? live : undefined;
  }

  /** A folder's name, unless it would replace what another folder of that name brought in. */
  async #nameOf({ tenant, signal }: Work, path: string): Promise<string> {
    const repoId = path.slice(path.lastIndexOf("/") + 1);
    const refuse = (description: string) =>
      new InvalidRequestError([{ field: "repo_id", description }]);
    if (repoId === "") throw refuse("is required for the root folder");
    const lastPath = await this.#parts.store.lastPath({ tenant, repoId }, signal);
    if (lastPath !== undefined && lastPath !== path) {
      throw refuse(`is required: ${repoId} is the repository of another folder of that name`);
    }
    return repoId;
  }

  async #create(
    ingestion: Omit<Parameters<IngestionStore["create"]>[0], "owner">,
    signal: AbortSignal,
  ): Promise<void> {
    const { store } = this.#parts;
    this.#held.add(ingestion.id);
    try {
      for (let attempt = 0; ; attempt++) {
        const other = await store.create({ ...ingestion, owner: this.#owner }, signal);
        if (other === undefined) return;
        if (attempt > 2 || !this.#isOrphan(other)) {
          throw new RepositoryBusyError(ingestion.repoId, other.id);
        }
        await store.interrupt(other, interruptedMessage, signal);
      }
    } catch (error) {
      // It may have been recorded all the same, and is then found to be a leftover.
      this.#held.delete(ingestion.id);
      throw error;
    }
  }

  #isOrphan(ingestion: RunningIngestion): boolean {
    return isOrphan(ingestion, this.#owner, (id) => this.#held.has(id));
  }

  async #conduct(live: LiveIngestion): Promise<void> {
    const { events } = this.#parts;
    const over = new AbortController();
    const beating = this.#beat(live, over.signal);
    let failure: unknown;
    try {
      await this.#turns.take(live.signal);
      try {
        const beat = await this.#parts.store.start(keyOf(live), this.#owner, live.signal);
        obey(live, beat);
        live.signal.throwIfAborted();
        live.begin();
        events.onStart(live.record);
        await this.#run(live);
      } finally {
        this.#turns.give();
      }
    } catch (error) {
      failure = error;
    }
    over.abort();
    await beating;
    await this.#end(live, failure);
  }

  #run(live: LiveIngestion): Promise<void> {
    const { events, store, embedder, passages } = this.#parts;
    const { id, repoId, path, settings } = live.record;
    const parts: RunParts = {
      store,
      embedder,
      passages,
      onStage: (stage) => live.enter(stage),
      onRetry: (error, pauseMs) => events.onRetry(live.record, error, pauseMs),
      onStored: (chunks) => events.onStored(chunks),
      onFileFault: (file, error) => events.onFileFault(live.record, file, error),
    };
    const job = { tenant: live.tenant, repoId, ingestionId: id, path, settings };
    return new IngestionRun(job, this.#options, parts, live.tally, live.signal).run();
  }

  async #end(live: LiveIngestion, failure: unknown): Promise<void> {
    const { events, store } = this.#parts;
    live.tally.stage = "done";
    const outcome = { ...outcomeOf(live.signal, failure), progress: live.tally.snapshot() };
    try {
      const patience = { limitMs: endPatienceMs, signal: new AbortController().signal };
      await patiently(patience, () => store.end(keyOf(live), this.#owner, outcome));
    } catch (error) {
      // It stays in progress until somebody finds that it has no owner any more.
      events.onFault("the end of an ingestion was not recorded", error);
    }
    this.#live.delete(live.id);
    this.#held.delete(live.id);
    live.end(outcome);
    events.onEnd(live.record, failure instanceof StopRequest ? undefined : failure);
  }

  /** Tells the store every second that this ingestion lives, and learns whether it should. */
  async #beat(live: LiveIngestion, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await delay(beatMs, undefined, { signal: over }).catch(() => {});
      if (over.aborted) return;
      try {
        const progress = live.tally.snapshot();
        obey(live, await this.#parts.store.beat(keyOf(live), this.#owner, progress, over));
      } catch (error) {
        if (!over.aborted) this.#parts.events.onFault("a sign of life was not recorded", error);
      }
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { store, events } = this.#parts;
    for (const one of await store.running(signal)) {
      if (!this.#isOrphan(one)) continue;
      if (await store.interrupt(one, interruptedMessage, signal)) {
        events.onOrphan(one.id);
      }
    }
  }
}

function keyOf(live: LiveIngestion): IngestionKey {
  return { tenant: live.tenant, id: live.id };
}

function obey(live: LiveIngestion, beat: Awaited<ReturnType<IngestionStore["beat"]>>): void {
  if (beat === "cancel_requested") live.stop("cancelled", "cancelled");
  if (beat === "lost") live.stop("lost", "another process took this ingestion for dead");
}

function outcomeOf(signal: AbortSignal, failure: unknown): Pick<Ingestion, "status" | "message"> {
  if (failure === undefined) return { status: "completed", message: "" };
  // A peer's call may reject with its own word for the abort.
  const reason: unknown = signal.aborted ? signal.reason : failure;
  if (reason instanceof StopRequest) {
    return { status: reason.why === "cancelled" ? "cancelled" : "failed", message: reason.message };
  }
  const message = failure instanceof DomainError ? failure.message : "internal error";
  return { status: "failed", message };
}
