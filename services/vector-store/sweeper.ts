import { sleep } from "../../shared/lifecycle.ts";

export interface SweeperOptions {
  /** Names of all collections. */
  readonly collections: (signal: AbortSignal) => Promise<readonly string[]>;
  /** Removes at most `limit` expired documents of any tenant; returns how many there were. */
  readonly remove: (collection: string, limit: number, signal: AbortSignal) => Promise<number>;
  /** Told after each batch that removed something. */
  readonly removed: (collection: string, count: number) => void;
  readonly failed: (error: unknown) => void;
  readonly intervalMs: number;
  readonly batch: number;
}

/**
 * Removes expired documents, in small batches so that nobody waits for it long, until the signal
 * aborts. Nobody sees them anyway: what this saves is room. Any number of processes may do it.
 */
export async function sweep(options: SweeperOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await sweepOnce(options, signal);
    } catch (error) {
      if (!signal.aborted) options.failed(error);
    }
    await sleep(options.intervalMs, signal).catch(() => {});
  }
}

async function sweepOnce(
  { collections, remove, removed, batch }: SweeperOptions,
  signal: AbortSignal,
): Promise<void> {
  for (const collection of await collections(signal)) {
    for (;;) {
      signal.throwIfAborted();
      const count = await remove(collection, batch, signal);
      if (count > 0) removed(collection, count);
      if (count < batch) break;
    }
  }
}
