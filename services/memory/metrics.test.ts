import { context, createNoopMeter, metrics, SpanStatusCode, trace } from "@opentelemetry/api";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { afterEach, expect, it } from "vitest";
import { AllSourcesFailedError } from "./errors.ts";
import { MemoryMetrics } from "./metrics.ts";
import type { SourceReport, SourceStatus } from "./source-leg.ts";
import type { SearchAnswer } from "./unified-search.ts";

interface EndedSpan {
  readonly name: string;
  readonly status: { readonly code: SpanStatusCode };
  readonly attributes: Record<string, unknown>;
  readonly events: readonly { readonly name: string; readonly attributes?: object }[];
}

let stop = async () => {};
afterEach(async () => {
  await stop();
  stop = async () => {};
  trace.disable();
  metrics.disable();
  context.disable();
});

/** Notes what is recorded, and the spans that end. */
function noting() {
  const noted: unknown[] = [];
  const meter = createNoopMeter();
  // The SDK of traces measures itself, too.
  const note = (name: string, ...told: unknown[]) => {
    if (name.startsWith("memory.")) noted.push([name, ...told]);
  };
  meter.createCounter = (name) => ({
    add: (value, attributes) => note(name, value, attributes),
  });
  meter.createHistogram = (name) => ({ record: (_, attributes) => note(name, attributes) });
  metrics.setGlobalMeterProvider({ getMeter: () => meter });
  const spans: EndedSpan[] = [];
  process.env["OTEL_METRICS_EXPORTER"] = "none";
  const sdk = new NodeSDK({
    spanProcessors: [
      {
        onStart() {},
        onEnd: (span) => void spans.push(span as never),
        forceFlush: async () => {},
        shutdown: async () => {},
      },
    ],
    instrumentations: [],
    logRecordProcessors: [],
  });
  sdk.start();
  stop = () => sdk.shutdown();
  return { noted, spans };
}

const report = (
  source: SourceReport["source"],
  status: SourceStatus,
  leftAlone = false,
): SourceReport => ({ source, status, latencyMs: 5, resultCount: 0, message: "", leftAlone });
const answer = (...reports: SourceReport[]): SearchAnswer => ({
  results: [],
  reports,
  more: false,
  now: 0,
});
const scope = {
  memoryTypes: [],
  agentId: "a",
  repoId: "",
  workflowId: "",
  sessionId: "s",
  filter: undefined,
};

it("a search is measured as a whole and by source, under the conventions' names", async () => {
  const { noted, spans } = noting();
  const found = answer(report("postgresql", "ok"), report("session_buddy", "failed"));
  const measured = new MemoryMetrics(true);
  expect(await measured.searching({ scope }, async () => found)).toBe(found);
  expect(noted).toEqual([
    ["memory.search.source.latency", { source: "postgresql", outcome: "ok" }],
    ["memory.search.source.count", 1, { source: "postgresql", outcome: "ok" }],
    ["memory.search.source.latency", { source: "session_buddy", outcome: "failed" }],
    ["memory.search.source.count", 1, { source: "session_buddy", outcome: "failed" }],
    ["memory.search.latency", { outcome: "partial" }],
  ]);
  expect(spans).toHaveLength(1);
  expect(spans[0]).toMatchObject({
    name: "search_memory",
    attributes: {
      "gen_ai.operation.name": "search_memory",
      "gen_ai.provider.name": "mahavishnu",
      "gen_ai.agent.id": "a",
      "gen_ai.conversation.id": "s",
      "mahavishnu.memory.outcome": "partial",
      "mahavishnu.memory.result_count": 0,
    },
  });
  expect(spans[0]?.events.map(({ attributes }) => attributes)).toMatchObject([
    { "gen_ai.memory.store.id": "postgresql", "mahavishnu.memory.outcome": "ok" },
    { "gen_ai.memory.store.id": "session_buddy", "mahavishnu.memory.outcome": "failed" },
  ]);
});

it.each([
  ["complete", answer(report("postgresql", "ok"), report("session_buddy", "skipped"))],
  ["partial", answer(report("postgresql", "ok"), report("session_buddy", "skipped", true))],
  ["partial", answer(report("postgresql", "degraded"), report("session_buddy", "ok"))],
])("a search is %s by what its sources gave", async (outcome, found) => {
  const { noted } = noting();
  await new MemoryMetrics(true).searching({ scope }, async () => found);
  expect(noted.at(-1)).toEqual(["memory.search.latency", { outcome }]);
});

it("a search that fails says by what reason", async () => {
  const { noted, spans } = noting();
  const fails = () => Promise.reject(new AllSourcesFailedError([], []));
  await expect(new MemoryMetrics(true).searching({ scope }, fails)).rejects.toThrow(
    AllSourcesFailedError,
  );
  expect(noted).toEqual([["memory.search.latency", { outcome: "failed" }]]);
  expect(spans[0]).toMatchObject({
    status: { code: SpanStatusCode.ERROR },
    attributes: { "error.type": "ALL_SOURCES_FAILED", "mahavishnu.memory.outcome": "failed" },
  });
});

it("nothing is measured where monitoring is switched off", async () => {
  const { noted, spans } = noting();
  await new MemoryMetrics(false).searching({ scope }, async () => answer());
  expect([noted, spans]).toEqual([[], []]);
});
