import type { Logger } from "../../shared/logging.ts";
import type { IndexOrder, IndexProgress } from "./collection.ts";

export interface IndexKeeperParts {
  readonly build: (
    collection: string,
    order: IndexOrder,
    signal: AbortSignal,
  ) => AsyncIterable<IndexProgress>;
  /** Whether to build at all; else it is only said that somebody should. */
  readonly enabled: boolean;
  /** Whether the database can build while others work; where it cannot, nobody is made to wait. */
  readonly besides: (signal: AbortSignal) => Promise<boolean>;
  readonly logger: Logger;
}

/** What is known of the collection may be older than what another process has built. */
const hnsw: IndexOrder = {
  kind: "hnsw",
  m: undefined,
  efConstruction: undefined,
  ifMissing: true,
};

/**
 * Sees to large collections that are searched and have no index: builds one, or says once that one
 * is missing. Each collection gets one attempt in the life of the process; where another process
 * builds already, that one's will do.
 */
export class IndexKeeper implements AsyncDisposable {
  readonly #parts: IndexKeeperParts;
  readonly #seen = new Set<string>();
  readonly #stop = new AbortController();
  #building: Promise<void> = Promise.resolve();

  constructor(parts: IndexKeeperParts) {
    this.#parts = parts;
  }

  /** A search has compared every vector where an index would have been asked. */
  missing(collection: string, rows: number): void {
    if (this.#seen.has(collection) || this.#stop.signal.aborted) return;
    this.#seen.add(collection);
    // One after the other: each takes memory and a processor.
    this.#building = this.#building.then(() => this.#attend(collection, rows));
  }

  /** Resolves when nothing is left to be done. */
  async settled(): Promise<void> {
    await this.#building;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the service is stopping"));
    await this.#building;
  }

  async #attend(collection: string, rows: number): Promise<void> {
    const { build, besides, enabled, logger } = this.#parts;
    const { signal } = this.#stop;
    const about = { collection, rows: Math.round(rows) };
    try {
      signal.throwIfAborted();
      if (!enabled || !(await besides(signal))) {
        logger.info(about, "searches compare every vector: BuildIndex would make them faster");
        return;
      }
      logger.info(about, "building an index, since the collection has grown large");
      for await (const { built } of build(collection, hnsw, signal)) {
        if (built !== undefined) logger.info(about, "the index is in use");
      }
    } catch (err) {
      if (!signal.aborted) logger.warn({ err, ...about }, "no index was built");
    }
  }
}
