import {
  context,
  createNoopMeter,
  metrics,
  type ObservableResult,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
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
const scope = { agentId: "a", sessionId: "s" };

it("a search is measured as a whole and by source, under the conventions' names", async () => {
  const { noted, spans } = noting();
  const found = answer(report("postgresql", "ok"), report("session_buddy", "failed"));
  const measured = new MemoryMetrics(true);
  expect(await measured.searching(scope, async () => found)).toBe(found);
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
      "gen_ai.memory.record.count": 0,
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
  await new MemoryMetrics(true).searching(scope, async () => found);
  expect(noted.at(-1)).toEqual(["memory.search.latency", { outcome }]);
});

it("a search that fails says by what reason", async () => {
  const { noted, spans } = noting();
  const fails = () => Promise.reject(new AllSourcesFailedError([], []));
  await expect(new MemoryMetrics(true).searching(scope, fails)).rejects.toThrow(
    AllSourcesFailedError,
  );
  expect(noted).toEqual([["memory.search.latency", { outcome: "failed" }]]);
  expect(spans[0]).toMatchObject({
    status: { code: SpanStatusCode.ERROR },
    attributes: { "error.type": "ALL_SOURCES_FAILED", "mahavishnu.memory.outcome": "failed" },
  });
});

const named = (operation: string, count?: number, more: object = {}) => [
  operation,
  {
    "gen_ai.operation.name": operation,
    "gen_ai.provider.name": "mahavishnu",
    "gen_ai.memory.store.id": "postgresql",
    ...(count === undefined ? {} : { "gen_ai.memory.record.count": count }),
    ...more,
  },
];

it("what is stored, changed and deleted has spans by the conventions' names", async () => {
  const { spans } = noting();
  await use(new MemoryMetrics(true));
  const failed = { "error.type": "INTERNAL" };
  expect(spans.map(({ name, attributes }) => [name, attributes])).toEqual([
    named("create_memory", 1, { "mahavishnu.memory.type": "agent" }),
    named("create_memory", 2, { "mahavishnu.memory.type": "rag", ...failed }),
    named("create_memory", 4),
    named("create_memory", 2, { "mahavishnu.memory.type": "rag" }),
    named("create_memory", 1, { "mahavishnu.memory.type": "insight", ...failed }),
    named("update_memory", 1),
    named("update_memory", 1, failed),
    named("delete_memory", 3),
  ]);
});

it("nothing is measured where monitoring is switched off, and no span is made", async () => {
  const { noted, spans } = noting();
  await use(new MemoryMetrics(false));
  await new MemoryMetrics(false).searching(scope, async () => answer());
  expect([noted, spans]).toEqual([[], []]);
});

/** Notes what is recorded. */
function notingMeter() {
  const noted: unknown[] = [];
  let observe: ((result: ObservableResult) => unknown) | undefined;
  const meter = createNoopMeter();
  meter.createCounter = (name) => ({
    add: (value, attributes) => noted.push([name, value, attributes]),
  });
  meter.createHistogram = (name) => ({
    record: (_, attributes) => noted.push([name, attributes]),
  });
  meter.createObservableGauge = (name) => ({
    addCallback(callback) {
      observe = () =>
        callback({ observe: (value, attributes) => noted.push([name, value, attributes]) });
    },
    removeCallback() {
      observe = undefined;
    },
  });
  return { meter, noted, collect: async () => await observe?.({ observe: () => {} }) };
}

async function use(metrics: MemoryMetrics) {
  expect(await metrics.storing("agent", 1, async () => "answer")).toBe("answer");
  const failing = () => Promise.reject(new Error("failed"));
  await expect(metrics.storing("rag", 2, failing)).rejects.toThrow("failed");
  const outcomes = (...kinds: ("stored" | "refused")[]) => kinds.map((kind) => ({ kind }));
  const told = outcomes("stored", "refused", "stored", "stored");
  const mixed = ["rag", "rag", "agent", "rag"] as const;
  expect(await metrics.storingMany(mixed, async () => told)).toBe(told);
  await metrics.storingMany(["rag", "rag"], async () => outcomes("stored", "stored"));
  await expect(metrics.storingMany(["insight"], failing)).rejects.toThrow("failed");
  metrics.refused("unknown");
  await metrics.updating(async () => "updated");
  await expect(metrics.updating(failing)).rejects.toThrow("failed");
  expect(await metrics.deleting(async () => 3)).toBe(3);
}

it("counts and times what is stored, changed and deleted", async () => {
  const { meter, noted } = notingMeter();
  await use(new MemoryMetrics(true, meter));
  expect(noted).toEqual([
    ["memory.store.count", 1, { memory_type: "agent", outcome: "stored" }],
    ["memory.store.latency", { memory_type: "agent", outcome: "stored" }],
    ["memory.store.count", 2, { memory_type: "rag", outcome: "failed" }],
    ["memory.store.latency", { memory_type: "rag", outcome: "failed" }],
    // Four of two types at once.
    ["memory.store.count", 2, { memory_type: "rag", outcome: "stored" }],
    ["memory.store.latency", { memory_type: "rag", outcome: "stored" }],
    ["memory.store.count", 1, { memory_type: "rag", outcome: "failed" }],
    ["memory.store.latency", { memory_type: "rag", outcome: "failed" }],
    ["memory.store.count", 1, { memory_type: "agent", outcome: "stored" }],
    ["memory.store.latency", { memory_type: "agent", outcome: "stored" }],
    // Two of one type.
    ["memory.store.count", 2, { memory_type: "rag", outcome: "stored" }],
    ["memory.store.latency", { memory_type: "rag", outcome: "stored" }],
    // One whose request failed as a whole, and one that was not valid.
    ["memory.store.count", 1, { memory_type: "insight", outcome: "failed" }],
    ["memory.store.latency", { memory_type: "insight", outcome: "failed" }],
    ["memory.store.count", 1, { memory_type: "unknown", outcome: "failed" }],
    ["memory.update.count", 1, { outcome: "updated" }],
    ["memory.update.count", 1, { outcome: "failed" }],
    ["memory.delete.count", 3, undefined],
  ]);
});

it("tells what waits in the outbox while it is observed", async () => {
  const { meter, noted, collect } = notingMeter();
  const metrics = new MemoryMetrics(true, meter);
  const observing = metrics.observeOutbox(async () => ({ insight: 2, embedding: 5 }));
  await collect();
  observing[Symbol.dispose]();
  await collect();
  metrics.observeOutbox(() => Promise.reject(new Error("the database is away")));
  await collect();
  expect(noted).toEqual([
    ["memory.outbox.waiting", 2, { kind: "insight" }],
    ["memory.outbox.waiting", 5, { kind: "embedding" }],
  ]);
});

it("counts nothing where monitoring is switched off", async () => {
  const { meter, noted, collect } = notingMeter();
  const metrics = new MemoryMetrics(false, meter);
  await use(metrics);
  metrics.observeOutbox(async () => ({ insight: 2 }));
  await collect();
  expect(noted).toEqual([]);
});
