import pLimit from "p-limit";
import { untilAborted } from "../../shared/abortable.ts";
import type { FolderThreads, SplitOrder, SplitText } from "./folder-reader.ts";
import type { PlannedChunk } from "./planned-file.ts";

export interface SplitterOptions {
  /** Documents that are split at the same time, each in a thread of its own. */
  readonly threads: number;
  /** How long one may take. */
  readonly limitMs: number;
}

export const splitterDefaults: SplitterOptions = { threads: 2, limitMs: 120_000 };

/** Splits documents in threads that are ended when they take too long, or nobody waits for them. */
export class DocumentSplitter {
  readonly #threads: FolderThreads;
  readonly #limitMs: number;
  readonly #inTurn: ReturnType<typeof pLimit>;

  constructor(threads: FolderThreads, { threads: most, limitMs } = splitterDefaults) {
    this.#threads = threads;
    this.#limitMs = limitMs;
    this.#inTurn = pLimit(most);
  }

  /** Rejects where the thread is lost, since the text takes too long or too much memory. */
  split(order: SplitOrder, signal: AbortSignal): Promise<readonly PlannedChunk[]> {
    const split = this.#inTurn(async () => {
      signal.throwIfAborted();
      const thread = this.#threads.take();
      try {
        const asked = thread.ask<SplitText>({ kind: "split", order }, this.#limitMs);
        return (await untilAborted(asked, signal)).chunks;
      } finally {
        this.#threads.giveBack(thread);
      }
    });
    // Whoever leaves does not wait for a turn either.
    return untilAborted(split, signal);
  }
}
