import {
  type Attributes,
  type Meter,
  metrics,
  type Span,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { DomainError } from "../../shared/errors.ts";
import type { MemoryType } from "./memory.ts";
import type { SourceReport } from "./source-leg.ts";
import { inMemorySpan } from "./spans.ts";

/** The conventions' name of what a search does. */
const operation = "search_memory";

/** `unknown`: an item of many that was refused because it has no type that is known. */
export type CountedType = MemoryType | "unknown";

type StoreOutcome = "stored" | "failed";

/** For whom a search asks; empty: anybody. */
export interface SearchedFor {
  readonly agentId: string;
  readonly sessionId: string;
}

/** What is told of a search's answer. */
export interface MeasuredAnswer {
  readonly results: readonly unknown[];
  readonly reports: readonly SourceReport[];
}

/** What this service measures of itself; nothing where performance monitoring is switched off. */
export class MemoryMetrics {
  readonly #enabled: boolean;
  readonly #meter: Meter;
  readonly #storeCount;
  readonly #storeLatency;
  readonly #updates;
  readonly #deletions;
  readonly #searchLatency;
  readonly #sourceLatency;
  readonly #sourceAnswers;
  readonly #tracer = trace.getTracer("mahavishnu.memory");

  constructor(enabled: boolean, meter = metrics.getMeter("mahavishnu.memory")) {
    this.#enabled = enabled;
    this.#meter = meter;
    this.#storeCount = meter.createCounter("memory.store.count", {
      description: "Memories that callers asked to store, by type and outcome",
    });
    this.#storeLatency = meter.createHistogram("memory.store.latency", {
      description:
        "How long storing a memory, turn or execution took, or many at once, by type and outcome",
      unit: "ms",
    });
    this.#updates = meter.createCounter("memory.update.count", {
      description: "Memories that callers asked to change, by outcome",
    });
    this.#deletions = meter.createCounter("memory.delete.count", {
      description: "Memories that were deleted",
    });
    this.#searchLatency = meter.createHistogram("memory.search.latency", {
      description: "How long a search of all sources took",
      unit: "ms",
    });
    this.#sourceLatency = meter.createHistogram("memory.search.source.latency", {
      description: "How long a source of a search took to answer or to fail",
      unit: "ms",
    });
    this.#sourceAnswers = meter.createCounter("memory.search.source.count", {
      description: "How sources took part in searches, by outcome",
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
    let outcome: StoreOutcome = "failed";
    try {
      const result = await this.#inSpan(
        "create_memory",
        { "mahavishnu.memory.type": type, "gen_ai.memory.record.count": count },
        work,
      );
      outcome = "stored";
      return result;
    } finally {
      this.#stored(type, count, outcome, started);
    }
  }

  /**
   * Counts memories that are stored at once, by the outcome of each, which `work` gives in the
   * order of `types`; all as failed where it throws. The time that it took is recorded once for
   * each type and outcome.
   */
  async storingMany<T extends { readonly kind: "stored" | "refused" }>(
    types: readonly MemoryType[],
    work: () => Promise<readonly T[]>,
  ): Promise<readonly T[]> {
    if (!this.#enabled) return await work();
    const started = performance.now();
    const [type] = types;
    const ofOneType = type !== undefined && types.every((other) => other === type);
    let outcomes: readonly T[] = [];
    try {
      outcomes = await this.#inSpan(
        "create_memory",
        {
          ...(ofOneType ? { "mahavishnu.memory.type": type } : {}),
          "gen_ai.memory.record.count": types.length,
        },
        work,
      );
      return outcomes;
    } finally {
      const wasStored = types.map((_, index) => outcomes[index]?.kind === "stored");
      for (const one of new Set(types)) {
        for (const outcome of ["stored", "failed"] as const) {
          const counts = (other: MemoryType, index: number) =>
            other === one && wasStored[index] === (outcome === "stored");
          const count = types.filter(counts).length;
          if (count > 0) this.#stored(one, count, outcome, started);
        }
      }
    }
  }

  /** Counts what was refused before it was tried to store it. */
  refused(type: CountedType): void {
    if (this.#enabled) this.#storeCount.add(1, { memory_type: type, outcome: "failed" });
  }

  #stored(type: MemoryType, count: number, outcome: StoreOutcome, started: number): void {
    if (!this.#enabled) return;
    const attributes = { memory_type: type, outcome };
    this.#storeCount.add(count, attributes);
    this.#storeLatency.record(performance.now() - started, attributes);
  }

  #inSpan<T>(...span: Parameters<typeof inMemorySpan<T>>): Promise<T> {
    const [, , work] = span;
    return this.#enabled ? inMemorySpan(...span) : work();
  }

  /** Counts an update as done, or as failed where the work throws. */
  async updating<T>(work: () => Promise<T>): Promise<T> {
    let outcome = "failed";
    try {
      const result = await this.#inSpan("update_memory", { "gen_ai.memory.record.count": 1 }, work);
      outcome = "updated";
      return result;
    } finally {
      if (this.#enabled) this.#updates.add(1, { outcome });
    }
  }

  /** Counts the memories that the work deletes. */
  async deleting(work: () => Promise<number>): Promise<number> {
    const count = await this.#inSpan("delete_memory", {}, work, (deleted) => deleted);
    if (this.#enabled) this.#deletions.add(count);
    return count;
  }

  /**
   * Measures a search as a whole and by source, and gives it a span with the names that
   * OpenTelemetry's conventions for generative AI have for memories. Neither holds what was asked.
   */
  async searching<T extends MeasuredAnswer>(
    scope: SearchedFor,
    work: () => Promise<T>,
  ): Promise<T> {
    if (!this.#enabled) return await work();
    const started = performance.now();
    return await this.#tracer.startActiveSpan(
      operation,
      { attributes: attributesOf(scope) },
      async (span) => {
        let outcome = "failed";
        try {
          const answer = await work();
          outcome = answer.reports.some(isLess) ? "partial" : "complete";
          span.setAttribute("gen_ai.memory.record.count", answer.results.length);
          for (const report of answer.reports) this.#answered(span, report);
          return answer;
        } catch (error) {
          span.setStatus({ code: SpanStatusCode.ERROR });
          if (error instanceof DomainError) span.setAttribute("error.type", error.reason);
          throw error;
        } finally {
          this.#searchLatency.record(performance.now() - started, { outcome });
          span.setAttribute("mahavishnu.memory.outcome", outcome);
          span.end();
        }
      },
    );
  }

  #answered(span: Span, { source, status, latencyMs, resultCount }: SourceReport): void {
    span.addEvent("source", {
      "gen_ai.memory.store.id": source,
      "mahavishnu.memory.outcome": status,
      "mahavishnu.memory.latency_ms": latencyMs,
      "gen_ai.memory.record.count": resultCount,
    });
    // One that was not asked took no time.
    if (status !== "skipped") this.#sourceLatency.record(latencyMs, { source, outcome: status });
    this.#sourceAnswers.add(1, { source, outcome: status });
  }
}

/** One that failed, gave less than it should, or is left alone because it failed before. */
function isLess({ status, leftAlone }: SourceReport): boolean {
  return status === "failed" || status === "degraded" || leftAlone;
}

function attributesOf({ agentId, sessionId }: SearchedFor): Attributes {
  return {
    "gen_ai.operation.name": operation,
    "gen_ai.provider.name": "mahavishnu",
    ...(agentId === "" ? {} : { "gen_ai.agent.id": agentId }),
    ...(sessionId === "" ? {} : { "gen_ai.conversation.id": sessionId }),
  };
}
