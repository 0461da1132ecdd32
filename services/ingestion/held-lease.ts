import { setTimeout as delay } from "node:timers/promises";
import type { Progress } from "./ingestion.ts";
import { StopRequest } from "./stop-request.ts";
import type { Beat, IngestionKey, JobStore, Lease } from "./store.ts";

/** Often enough that a wish to cancel is heard well within a second. */
const beatMs = 400;

export interface HeldLeaseOptions {
  readonly store: Pick<JobStore, "beat">;
  readonly key: IngestionKey;
  readonly lease: Lease;
  /** When the lease was asked for, by `performance.now()`: it cannot end before that and its time. */
  readonly since: number;
  readonly news: () => { readonly progress: Progress; readonly advanced: boolean };
  /** The ingestion is to stop, or is another's by now. */
  readonly onVerdict: (verdict: StopRequest) => void;
  readonly onFault: (error: unknown) => void;
}

/** An ingestion that this process works on: gives signs of life until it is disposed of. */
export class HeldLease implements AsyncDisposable {
  readonly #options: HeldLeaseOptions;
  readonly #over = new AbortController();
  readonly #beating: Promise<void>;
  #confirmedAt: number;

  constructor(options: HeldLeaseOptions) {
    this.#options = options;
    this.#confirmedAt = options.since;
    this.#beating = this.#beat();
  }

  get lease(): Lease {
    return this.#options.lease;
  }

  /**
   * Throws a StopRequest where the ingestion may be another's by now: by this process's own clock,
   * since one that was stopped for a while cannot know what it missed.
   */
  assertHeld(): void {
    if (this.remainingMs() <= 0) throw lost();
  }

  /** For how long it surely is this process's own. */
  remainingMs(): number {
    return this.#confirmedAt + this.lease.ms - performance.now();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#beating;
  }

  async #beat(): Promise<void> {
    const { store, key, lease, news, onVerdict, onFault } = this.#options;
    const over = this.#over.signal;
    while (!over.aborted) {
      await delay(beatMs, undefined, { signal: over }).catch(() => {});
      if (over.aborted) return;
      const since = performance.now();
      try {
        const signal = AbortSignal.any([over, AbortSignal.timeout(lease.ms)]);
        const beat = await store.beat(key, lease, news(), signal);
        if (beat !== "lost") this.#confirmedAt = since;
        const verdict = verdictOf(beat);
        if (verdict !== undefined) onVerdict(verdict);
      } catch (error) {
        if (over.aborted) return;
        onFault(error);
        if (this.remainingMs() <= 0) onVerdict(lost());
      }
    }
  }
}

export function verdictOf(beat: Beat): StopRequest | undefined {
  if (beat === "cancel_requested") return new StopRequest("cancelled", "cancelled");
  return beat === "lost" ? lost() : undefined;
}

function lost(): StopRequest {
  return new StopRequest("lost", "another process has taken this work over");
}
