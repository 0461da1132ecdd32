import { expect, test } from "vitest";
import { notingMeter } from "../../test/harness/noting-meter.ts";
import { readConfig } from "./config.ts";
import { createMetrics } from "./metrics.ts";

/** Notes observing the pool, too. */
function poolNotingMeter() {
  const { meter, noted } = notingMeter();
  meter.addBatchObservableCallback = () => noted.push("pool");
  return { meter, noted };
}

async function use({ stored, timed, observePool }: ReturnType<typeof createMetrics>) {
  observePool(() => ({ total: 1, idle: 1, waiting: 0 }))();
  stored([{ outcome: 1 }, { outcome: 1 }, { outcome: 0 }]);
  expect(await timed("text", async () => "hits")).toBe("hits");
  await expect(timed("text", () => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
}

test("counts writes and searches under names of its own", async () => {
  const { meter, noted } = poolNotingMeter();
  await use(createMetrics(true, meter));
  expect(noted).toEqual([
    "pool",
    ["vector_store.store.count", 2, { outcome: "created" }],
    ["vector_store.store.count", 1, { outcome: "error" }],
    ["vector_store.search.latency", expect.any(Number), { mode: "text", ok: true }],
    ["vector_store.search.latency", expect.any(Number), { mode: "text", ok: false }],
  ]);
});

test("records nothing where monitoring is switched off", async () => {
  const { meter, noted } = poolNotingMeter();
  await use(createMetrics(false, meter));
  expect(noted).toEqual([]);
});

test("the switch is the one of the whole platform", () => {
  const setting = (value?: string) =>
    readConfig({
      env: value === undefined ? {} : { MAHAVISHNU_ENABLE_PERFORMANCE_MONITORING: value },
      file: {},
    }).performanceMonitoring;
  expect([setting(), setting("true"), setting("false")]).toEqual([true, true, false]);
  const file = { memory_service: { enable_performance_monitoring: false } };
  expect(readConfig({ env: {}, file }).performanceMonitoring).toBe(false);
});
