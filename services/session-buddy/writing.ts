import pLimit from "p-limit";
import { monotonicFactory } from "ulid";
import { sleep } from "../../shared/lifecycle.ts";
import type { Logger } from "../../shared/logging.ts";
import { RequestIdReusedError, StoreLockedError } from "./errors.ts";
import type { Mirror } from "./mirror.ts";
import type { Outbox, QueuedWrite } from "./outbox.ts";
import type { Draft } from "./record.ts";

export interface WritingOptions {
  readonly mirror: Mirror;
  /** Undefined: none could be opened, and a held file refuses. */
  readonly outbox: Outbox | undefined;
  readonly logger: Logger;
  /** How often a held file is tried again while something waits for it; default 2,000 ms. */
  readonly retryMs?: number;
}

/** Where a draft is now. */
export interface Stored {
  readonly id: string;
  readonly deduplicated: boolean;
  /** `queued`: in our outbox, until the file is free. */
  readonly delivery: "written" | "queued";
}

/** At most so many of the queue are written while the file is held once. */
const mostAtOnce = 500;

/**
 * Stores drafts in Session-Buddy's file, or in the outbox while another program holds it. What
 * waits goes first, in its order.
 */
export class Writing implements AsyncDisposable {
  readonly #options: Required<Omit<WritingOptions, "outbox">> & Pick<WritingOptions, "outbox">;
  readonly #stop = new AbortController();
  readonly #nextId = monotonicFactory();
  /** One at a time, so that two equal drafts meet, and only the first waits for a held file. */
  readonly #turn = pLimit(1);
  /** When the file was last found held. */
  #heldAt = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  #wakeUp: () => void = () => {};

  constructor(options: WritingOptions) {
    this.#options = { retryMs: 2_000, ...options };
  }

  /** Begins to deliver what waits. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** How many writes wait, and since when the oldest; milliseconds since 1970. */
  get queue(): { readonly count: number; readonly oldest: number | undefined } {
    const writes = this.#options.outbox?.writes ?? [];
    const oldest = writes[0]?.queuedMicros;
    return { count: writes.length, oldest: oldest === undefined ? undefined : oldest / 1_000 };
  }

  /**
   * Stores a draft unless it is there already, by its request id or its text.
   * @throws StoreLockedError without an outbox, UnwritableIndexError, RequestIdReusedError,
   *   StoreUnavailableError
   */
  async store(draft: Draft, signal?: AbortSignal): Promise<Stored> {
    const { mirror } = this.#options;
    const known = this.#findQueued(draft) ?? (await mirror.findKnown(draft));
    if (known !== undefined) return known;
    const write: QueuedWrite = { id: this.#nextId(), draft, queuedMicros: Date.now() * 1_000 };
    return await this.#turn(() => this.#store(write, signal));
  }

  async #store(write: QueuedWrite, signal?: AbortSignal): Promise<Stored> {
    signal?.throwIfAborted();
    const { outbox } = this.#options;
    if (outbox !== undefined && outbox.writes.length > 0 && this.#isHeld()) {
      return await this.#enqueue(outbox, write);
    }
    try {
      return await this.#write(write, signal);
    } catch (error) {
      if (!(error instanceof StoreLockedError) || outbox === undefined) throw error;
      this.#heldAt = performance.now();
      signal?.throwIfAborted();
      return await this.#enqueue(outbox, write);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#wakeUp();
    await this.#running;
  }

  /** Writes what waits and then this one, where there is one. */
  async #write(write: QueuedWrite, signal?: AbortSignal): Promise<Stored> {
    const { mirror, outbox } = this.#options;
    const waiting = outbox?.writes ?? [];
    const answer = await mirror.write(waiting, write, signal);
    await outbox?.remove(idsOf(waiting));
    return answer;
  }

  async #deliver(outbox: Outbox, signal: AbortSignal): Promise<void> {
    const waiting = outbox.writes.slice(0, mostAtOnce);
    await this.#options.mirror.write(waiting, undefined, signal);
    await outbox.remove(idsOf(waiting));
  }

  async #enqueue(outbox: Outbox, write: QueuedWrite): Promise<Stored> {
    // Another call may have queued or written the same meanwhile.
    const known = this.#findQueued(write.draft) ?? this.#options.mirror.findInMemory(write.draft);
    if (known !== undefined) return known;
    await outbox.add(write);
    this.#options.mirror.addQueued(write);
    this.#wakeUp();
    return { id: write.id, deduplicated: false, delivery: "queued" };
  }

  #findQueued(draft: Draft): Stored | undefined {
    const known = this.#options.outbox?.find(draft);
    if (known === undefined) return undefined;
    if (!known.sameText) throw new RequestIdReusedError(draft.requestId);
    return { id: known.id, deduplicated: true, delivery: "queued" };
  }

  #isHeld(): boolean {
    return performance.now() - this.#heldAt < this.#options.retryMs * 2;
  }

  async #run(): Promise<void> {
    const { outbox, logger, retryMs } = this.#options;
    const { signal } = this.#stop;
    if (outbox === undefined) return;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (outbox.writes.length === 0) await this.#untilWoken(outbox);
        else {
          await this.#deliver(outbox, signal);
          failures = 0;
          continue;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof StoreLockedError) this.#heldAt = performance.now();
        if (failures++ === 0) {
          logger.warn({ err: error, waiting: outbox.writes.length }, "writes wait for the file");
        }
      }
      await sleep(retryMs, signal).catch(() => {});
    }
  }

  async #untilWoken(outbox: Outbox): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wakeUp = resolve;
      if (outbox.writes.length > 0 || this.#stop.signal.aborted) resolve();
    });
  }
}

function idsOf(writes: readonly QueuedWrite[]): ReadonlySet<string> {
  return new Set(writes.map(({ id }) => id));
}
