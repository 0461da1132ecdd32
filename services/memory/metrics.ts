import { type Meter, metrics } from "@opentelemetry/api";
import type { MemoryType } from "./memory.ts";
import { inMemorySpan } from "./spans.ts";
import type { SearchAnswer } from "./unified-search.ts";

/** What this service measures of itself; nothing where performance monitoring is switched off. */
export class MemoryMetrics {
  readonly #enabled: boolean;
  readonly #meter: Meter;
  readonly #stored;
  readonly #storeLatency;
  readonly #updates;
  readonly #deletions;
  readonly #searchLatency;

  constructor(enabled: boolean, meter = metrics.getMeter("mahavishnu.memory")) {
    this.#enabled = enabled;
    this.#meter = meter;
    this.#stored = meter.createCounter("memory.store.count", {
      description: "Memories that callers asked to store, by type and outcome",
    });
    this.#storeLatency = meter.createHistogram("memory.store.latency", {
      description: "How long storing one memory, turn or execution took, by type and outcome",
      unit: "ms",
    });
    this.#updates = meter.createCounter("memory.update.count", {
      description: "Memories that callers asked to change, by outcome",
    });
    this.#deletions = meter.createCounter("memory.delete.count", {
      description: "Memories that were deleted",
    });
    this.#searchLatency = meter.createHistogram("memory.search.latency", {
      description: "How long a unified search took",
      unit: "ms",
    });
  }

  /**
   * Tells how much work waits in the outbox, by kind, whenever somebody collects. Disposing ends
   * that.
   */
  observeOutbox(waiting: () => Promise<Readonly<Record<string, number>>>): Disposable {
    if (!this.#enabled) return { [Symbol.dispose]: () => {} };
    const gauge = this.#meter.createObservableGauge("memory.outbox.waiting", {
      description: "Work that waits in the outbox, by kind",
    });
    const observe: Parameters<typeof gauge.addCallback>[0] = async (result) => {
      // A database that does not answer has no figure; its health is told elsewhere.
      const counts = await waiting().catch(() => ({}));
      for (const [kind, count] of Object.entries(counts)) result.observe(count, { kind });
    };
    gauge.addCallback(observe);
    return { [Symbol.dispose]: () => gauge.removeCallback(observe) };
  }

  /** Counts `count` memories as stored, or as failed where the work throws. */
  async storing<T>(type: MemoryType, count: number, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    const attributes = { memory_type: type };
    let outcome: "stored" | "failed" = "failed";
    try {
      const result = await inMemorySpan("create_memory", attributes, work);
      outcome = "stored";
      return result;
    } finally {
      this.stored(type, count, outcome);
      if (this.#enabled) {
        this.#storeLatency.record(performance.now() - started, { ...attributes, outcome });
      }
    }
  }

  stored(type: MemoryType, count: number, outcome: "stored" | "failed"): void {
    if (this.#enabled) this.#stored.add(count, { memory_type: type, outcome });
  }

  /** Counts an update as done, or as failed where the work throws. */
  async updating<T>(work: () => Promise<T>): Promise<T> {
    let outcome = "failed";
    try {
      const result = await inMemorySpan("update_memory", {}, work);
      outcome = "updated";
      return result;
    } finally {
      if (this.#enabled) this.#updates.add(1, { outcome });
    }
  }

  /** Counts the memories that the work deletes. */
  async deleting(work: () => Promise<number>): Promise<number> {
    const count = await inMemorySpan("delete_memory", {}, work);
    if (this.#enabled) this.#deletions.add(count);
    return count;
  }

  async searching(work: () => Promise<SearchAnswer>): Promise<SearchAnswer> {
    const started = performance.now();
    let outcome = "failed";
    try {
      const answer = await work();
      const partial = answer.reports.some(
        ({ status }) => status === "failed" || status === "degraded",
      );
      outcome = partial ? "partial" : "complete";
      return answer;
    } finally {
      if (this.#enabled) this.#searchLatency.record(performance.now() - started, { outcome });
    }
  }
}
