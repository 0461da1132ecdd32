import { createNoopMeter, type ObservableResult } from "@opentelemetry/api";
import { expect, it } from "vitest";
import { MemoryMetrics } from "./metrics.ts";

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

it("records nothing where monitoring is switched off", async () => {
  const { meter, noted, collect } = notingMeter();
  const metrics = new MemoryMetrics(false, meter);
  await use(metrics);
  metrics.observeOutbox(async () => ({ insight: 2 }));
  await collect();
  expect(noted).toEqual([]);
});
