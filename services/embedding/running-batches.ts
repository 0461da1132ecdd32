import type { TextBatch } from "./turn-queue.ts";

/** A batch that is being embedded. */
export interface RunningBatch<C> {
  readonly batch: TextBatch<C>;
  /** True for a batch of queries. */
  readonly urgent: boolean;
  readonly work: AbortController;
  /** True once it was ended for the sake of a query: its texts are still wanted. */
  interrupted: boolean;
}

/** The batches under way, in the order of their start, and who may end them. */
export class RunningBatches<C> {
  readonly #running = new Set<RunningBatch<C>>();
  #others = 0;

  get size(): number {
    return this.#running.size;
  }

  /** Those that are not of queries. */
  get others(): number {
    return this.#others;
  }

  begin(batch: TextBatch<C>, urgent: boolean): RunningBatch<C> {
    const running = { batch, urgent, work: new AbortController(), interrupted: false };
    this.#running.add(running);
    if (!urgent) this.#others++;
    return running;
  }

  end(running: RunningBatch<C>): void {
    if (this.#running.delete(running) && !running.urgent) this.#others--;
  }

  /** Forgets a caller; a batch for nobody is ended. */
  leave(caller: C): void {
    for (const { batch, work } of this.#running) {
      let wanted = false;
      for (const [text, waiters] of batch) {
        const others = waiters.filter((waiting) => waiting.caller !== caller);
        if (others.length < waiters.length) batch.set(text, others);
        wanted ||= others.length > 0;
      }
      if (!wanted) work.abort(new Error("nobody waits for this batch any more"));
    }
  }

  /** Ends the others, but for the oldest, as far as they have no more texts than these in all. */
  interrupt(mostTexts: number): void {
    let left = mostTexts;
    for (const running of this.#running) {
      if (running.urgent) continue;
      left -= running.batch.size;
      if (left >= 0) continue;
      running.interrupted = true;
      running.work.abort(new Error("a query goes first"));
    }
  }
}
