import { type Attributes, metrics, type Span, SpanStatusCode, trace } from "@opentelemetry/api";
import { DomainError } from "../../shared/errors.ts";
import type { MemoryType } from "./memory.ts";
import type { SourceReport } from "./source-leg.ts";
import type { SearchAnswer, SearchQuestion } from "./unified-search.ts";

/** The conventions' name of what UnifiedSearch does. */
const operation = "search_memory";

/** What this service measures of itself; nothing where performance monitoring is switched off. */
export class MemoryMetrics {
  readonly #enabled: boolean;
  readonly #meter = metrics.getMeter("mahavishnu.memory");
  readonly #stored = this.#meter.createCounter("memory.store.count", {
    description: "Memories that callers asked to store, by type and outcome",
  });
  readonly #searchLatency = this.#meter.createHistogram("memory.search.latency", {
    description: "How long a unified search took",
    unit: "ms",
  });
  readonly #sourceLatency = this.#meter.createHistogram("memory.search.source.latency", {
    description: "How long a source of a unified search took to answer or to fail",
    unit: "ms",
  });
  readonly #sourceAnswers = this.#meter.createCounter("memory.search.source.count", {
    description: "How sources took part in unified searches, by outcome",
  });
  readonly #tracer = trace.getTracer("mahavishnu.memory");

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

  stored(type: MemoryType, count: number, outcome: "stored" | "failed"): void {
    if (this.#enabled) this.#stored.add(count, { memory_type: type, outcome });
  }

  /**
   * Measures a search as a whole and by source, and gives it a span with the names that
   * OpenTelemetry's conventions for generative AI have for memories. Neither holds what was asked.
   */
  async searching(
    { scope }: Pick<SearchQuestion, "scope">,
    work: () => Promise<SearchAnswer>,
  ): Promise<SearchAnswer> {
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
          span.setAttribute("mahavishnu.memory.result_count", answer.results.length);
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
      "mahavishnu.memory.result_count": resultCount,
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

function attributesOf({ agentId, sessionId }: SearchQuestion["scope"]): Attributes {
  return {
    "gen_ai.operation.name": operation,
    "gen_ai.provider.name": "mahavishnu",
    ...(agentId === "" ? {} : { "gen_ai.agent.id": agentId }),
    ...(sessionId === "" ? {} : { "gen_ai.conversation.id": sessionId }),
  };
}
