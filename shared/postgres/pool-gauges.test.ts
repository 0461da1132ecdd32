import { type BatchObservableCallback, createNoopMeter } from "@opentelemetry/api";
import { expect, test } from "vitest";
import { observePool } from "./pool-gauges.ts";

test("shows free and used connections and who waits, until it is ended", () => {
  const callbacks = new Set<BatchObservableCallback>();
  const meter = createNoopMeter();
  meter.addBatchObservableCallback = (callback) => void callbacks.add(callback);
  meter.removeBatchObservableCallback = (callback) => void callbacks.delete(callback);
  const end = observePool(() => ({ total: 5, idle: 2, waiting: 3 }), meter);

  const seen: unknown[] = [];
  for (const callback of callbacks) {
    callback({ observe: (_, value, attributes) => seen.push([value, attributes]) });
  }
  expect(seen).toEqual([
    [2, { state: "idle" }],
    [3, { state: "used" }],
    [3, undefined],
  ]);
  end();
  expect(callbacks.size).toBe(0);
});
