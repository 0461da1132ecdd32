import { LRUCache } from "lru-cache";
import { untilAborted } from "../../shared/abortable.ts";

/** So many scopes are remembered. */
const most = 10_000;
const defaultLifetimeMs = 5_000;

/** What is counted: a key for the cache, and the counting itself, which nobody can abort. */
export interface SizeQuestion {
  readonly key: string;
  readonly count: () => Promise<number>;
}

/**
 * How large scopes are, remembered for a few seconds: a plan needs no more. Callers that ask for
 * the same one at the same time wait for one count, which goes on when one of them leaves.
 */
export class ScopeSizes {
  readonly #sizes: LRUCache<string, Promise<number>>;

  constructor(lifetimeMs = defaultLifetimeMs) {
    this.#sizes = new LRUCache({ max: most, ttl: lifetimeMs });
  }

  async get({ key, count }: SizeQuestion, signal: AbortSignal | undefined): Promise<number> {
    let size = this.#sizes.get(key);
    if (size === undefined) {
      const counting = count();
      size = counting;
      this.#sizes.set(key, size);
      // A count that failed is not remembered.
      counting.catch(() => {
        if (this.#sizes.peek(key) === counting) this.#sizes.delete(key);
      });
    }
    return await untilAborted(size, signal);
  }
}
