import { metrics } from "@opentelemetry/api";
import type { MemoryType } from "./memory.ts";
import type { SearchAnswer } from "./unified-search.ts";

/** What this service measures of itself; nothing where performance monitoring is switched off. */
export class MemoryMetrics {
  readonly #enabled: boolean;
  readonly #meter = metrics.getMeter("mahavishnu.memory");
  readonly #stored = this.#meter.createCounter("memory.store.count", {
    description: "Memories that callers asked to store, by type and outcome",
  });
  readonly #updates = this.#meter.createCounter("memory.update.count", {
    description: "Memories that callers asked to change, by outcome",
  });
  readonly #searchLatency = this.#meter.createHistogram("memory.search.latency", {
    description: "How long a unified search took",
    unit: "ms",
  });

  constructor(enabled: boolean) {
    this.#enabled = enabled;
  }

  /** Counts `count` memories as stored, or as failed where the work throws. */
  async storing<T>(type: MemoryType, count: number, work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      this.stored(type, count, "stored");
      return result;
    } catch (error) {
      this.stored(type, count, "failed");
      throw error;
    }
  }

  /** Counts an update as done, or as failed where the work throws. */
  async updating<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      this.#updated("updated");
      return result;
    } catch (error) {
      this.#updated("failed");
      throw error;
    }
  }

  #updated(outcome: "updated" | "failed"): void {
    if (this.#enabled) this.#updates.add(1, { outcome });
  }

  stored(type: MemoryType, count: number, outcome: "stored" | "failed"): void {
    if (this.#enabled) this.#stored.add(count, { memory_type: type, outcome });
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
