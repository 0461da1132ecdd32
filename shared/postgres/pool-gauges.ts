import { type BatchObservableCallback, type Meter, metrics } from "@opentelemetry/api";

/** How many connections a pool has, how many of them are free, and how many callers wait for one. */
export interface PoolFigures {
  readonly total: number;
  readonly idle: number;
  readonly waiting: number;
}

/**
 * Shows a pool whenever metrics are collected: the gauges `mahavishnu.postgres.pool.connections` by
 * `state`, `idle` or `used`, and `mahavishnu.postgres.pool.waiting`. Returns what ends that.
 */
export function observePool(
  figures: () => PoolFigures,
  meter: Meter = metrics.getMeter("mahavishnu.postgres"),
): () => void {
  const connections = meter.createObservableGauge("mahavishnu.postgres.pool.connections", {
    description: "Connections of this process, by state",
  });
  const waiting = meter.createObservableGauge("mahavishnu.postgres.pool.waiting", {
    description: "Callers that wait for a connection",
  });
  const observe: BatchObservableCallback = (result) => {
    const { total, idle, waiting: queued } = figures();
    result.observe(connections, idle, { state: "idle" });
    result.observe(connections, total - idle, { state: "used" });
    result.observe(waiting, queued);
  };
  meter.addBatchObservableCallback(observe, [connections, waiting]);
  return () => meter.removeBatchObservableCallback(observe, [connections, waiting]);
}
