import { DomainError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";
import type { Logger } from "../../shared/logging.ts";
import type { OutboxItem, OutboxKind, OutboxStore } from "./outbox-store.ts";

export interface OutboxWorkerOptions {
  readonly store: OutboxStore;
  readonly kind: OutboxKind;
  /** At most this many items are in hand. */
  readonly batch: number;
  /** Longer than one batch takes: what is not done by then is taken again. */
  readonly leaseMs: number;
  /** False while the work would fail anyway, since database or vector store is away. */
  readonly mayWork: () => boolean;
  /** How often an empty outbox is looked at. */
  readonly idleMs: number;
  /**
   * Works through items that were taken, removing or putting back each. Where it throws, all are
   * put back, and the worker waits longer before every further try.
   */
  readonly handle: (items: OutboxItem[], signal: AbortSignal) => Promise<void>;
  readonly logger: Logger;
}

const longestPauseMs = 15_000;

/** Takes what waits in the outbox, again and again, until it is disposed of. */
export class OutboxWorker implements AsyncDisposable {
  readonly #options: OutboxWorkerOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(options: OutboxWorkerOptions) {
    this.#options = options;
    this.#running = this.#run(this.#stop.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      let pauseMs = this.#options.idleMs;
      try {
        // A full batch says that more waits.
        if ((await this.#round(signal)) === this.#options.batch) pauseMs = 0;
        failures = 0;
      } catch (error) {
        if (signal.aborted) break;
        pauseMs = Math.min(longestPauseMs, this.#options.idleMs * 2 ** Math.min(failures++, 10));
        this.#tell(error);
      }
      await sleep(pauseMs, signal).catch(() => {});
    }
  }

  /** A part that is away says so in one line, again and again; a fault comes with its stack. */
  #tell(error: unknown): void {
    const { kind, logger } = this.#options;
    if (error instanceof DomainError) {
      logger.warn({ kind, reason: error.reason }, `outbox has to wait: ${error.message}`);
    } else logger.error({ err: error, kind }, "outbox failed");
  }

  /** How many items were taken. */
  async #round(signal: AbortSignal): Promise<number> {
    const { store, kind, batch, leaseMs, handle, idleMs, mayWork } = this.#options;
    if (!mayWork()) return 0;
    const items = await store.take(kind, batch, leaseMs, signal);
    if (items.length === 0) return 0;
    try {
      await handle(items, signal);
    } catch (error) {
      // Without the worker's signal: at shutdown they go back at once, for whoever comes next.
      await store.putBack(items, idleMs, AbortSignal.timeout(2_000));
      throw error;
    }
    return items.length;
  }
}
