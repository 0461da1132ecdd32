import { type BatchObservableCallback, type Meter, metrics as otel } from "@opentelemetry/api";

const outcomes = ["error", "created", "updated", "deduplicated"] as const;

export interface PoolState {
  readonly total: number;
  readonly idle: number;
  readonly waiting: number;
}

/**
 * What this process counts. Without telemetry it counts into nothing. Its names are its own: the
 * memory service counts what callers ask of it, and most of that arrives here once more.
 */
export interface VectorStoreMetrics {
  /** Results of a write, by the contract's numbers of outcomes; 0 or none is an error. */
  stored(results: readonly { readonly outcome?: number | undefined }[]): void;
  /** Measures a search, whether it succeeds or not. */
  timed<T>(mode: string, search: () => Promise<T>): Promise<T>;
  /** Counts expired documents that were removed. */
  swept(collection: string, count: number): void;
  /** Shows the pool's state whenever metrics are collected; returns what ends that. */
  observePool(stats: () => PoolState): () => void;
}

/** Nothing is recorded where `enabled` is false. */
export function createMetrics(
  enabled: boolean,
  meter: Meter = otel.getMeter("mahavishnu.vector-store"),
): VectorStoreMetrics {
  if (!enabled) {
    return {
      observePool: () => () => {},
      stored: () => {},
      swept: () => {},
      timed: (_, search) => search(),
    };
  }
  const storeCount = meter.createCounter("vector_store.store.count", {
    description: "Documents written, by outcome",
  });
  const expiredCount = meter.createCounter("vector_store.expired.count", {
    description: "Expired documents removed",
  });
  const searchLatency = meter.createHistogram("vector_store.search.latency", {
    description: "Time that searches take in the vector store",
    unit: "ms",
  });
  const connections = meter.createObservableGauge("mahavishnu.postgres.pool.connections", {
    description: "Connections of this process, by state",
  });
  const waiting = meter.createObservableGauge("mahavishnu.postgres.pool.waiting", {
    description: "Callers that wait for a connection",
  });
  return {
    observePool(stats) {
      const observe: BatchObservableCallback = (result) => {
        const { total, idle, waiting: queued } = stats();
        result.observe(connections, idle, { state: "idle" });
        result.observe(connections, total - idle, { state: "used" });
        result.observe(waiting, queued);
      };
      meter.addBatchObservableCallback(observe, [connections, waiting]);
      return () => meter.removeBatchObservableCallback(observe, [connections, waiting]);
    },
    stored(results) {
      const counts = new Map<string, number>();
      for (const { outcome } of results) {
        const name = outcomes[outcome ?? 0] ?? "error";
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
      for (const [outcome, count] of counts) storeCount.add(count, { outcome });
    },
    swept(collection, count) {
      expiredCount.add(count, { collection });
    },
    async timed(mode, search) {
      const start = performance.now();
      let ok = false;
      try {
        const result = await search();
        ok = true;
        return result;
      } finally {
        searchLatency.record(performance.now() - start, { mode, ok });
      }
    },
  };
}
