import { pino } from "pino";
import { expect, test } from "vitest";
import { HealthChecker } from "./health-checker.ts";
import { HealthRecorder } from "./health-recorder.ts";
import { eventually, FakeComponent } from "./testing/components.ts";
import { MemoryHistory } from "./testing/memory-history.ts";

const dayMs = 86_400_000;

function setUp({ intervalMs = 5 } = {}) {
  const lines: string[] = [];
  const logger = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
  const store = new MemoryHistory();
  const memory = new FakeComponent("memory");
  const checker = new HealthChecker([memory, new FakeComponent("embedding", "degraded")], {
    timeoutMs: 1_000,
    reuseMs: 0,
    lifetime: new AbortController().signal,
  });
  const recorder = new HealthRecorder({
    checker,
    store,
    logger,
    intervalMs,
    retentionMs: 7 * dayMs,
  });
  return { recorder, store, memory, lines };
}

test("keeps a sample of every component, all of one round at one time", async () => {
  const { recorder, store } = setUp();
  await recorder.record();
  expect(store.samples.map(({ component }) => [component.name, component.status])).toEqual([
    ["embedding", "degraded"],
    ["memory", "healthy"],
  ]);
  expect(new Set(store.samples.map(({ time }) => time.getTime())).size).toBe(1);
});

test("goes on until it is stopped", async () => {
  const { recorder, store } = setUp();
  const stop = new AbortController();
  const running = recorder.run(stop.signal);
  await eventually(() => store.samples.length >= 6);
  stop.abort();
  await running;
  const kept = store.samples.length;
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(store.samples).toHaveLength(kept);
});

test("the samples of an outage are kept after it; it is told once", async () => {
  const { recorder, store, memory, lines } = setUp();
  store.failure = new Error("connection refused");
  memory.status = "unhealthy";
  await recorder.record();
  await recorder.record();
  expect(store.samples).toEqual([]);
  store.failure = undefined;
  memory.status = "healthy";
  await recorder.record();
  const ofMemory = store.samples.filter(({ component }) => component.name === "memory");
  expect(ofMemory.map(({ component }) => component.status)).toEqual([
    "unhealthy",
    "unhealthy",
    "healthy",
  ]);
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual([
    "health samples wait for the database",
    "health samples are kept again",
  ]);
});

test("a long outage costs the oldest samples and no more memory than that", async () => {
  const { recorder, store } = setUp();
  store.failure = new Error("connection refused");
  for (let i = 0; i < 150; i++) await recorder.record();
  store.failure = undefined;
  await recorder.record();
  expect(store.samples).toHaveLength(120 * 2);
});

test("forgets what is older than the retention", async () => {
  const { recorder, store } = setUp();
  const component = {
    name: "memory",
    status: "healthy",
    message: "",
    latencyMs: 1,
    metadata: {},
  } as const;
  const [old, recent] = [8, 6].map((days) => new Date(Date.now() - days * dayMs));
  if (old === undefined || recent === undefined) throw new Error("no times");
  await store.add([old, recent].map((time) => ({ time, component })));
  await recorder.record();
  expect(store.samples).toHaveLength(3);
  expect(store.samples.map(({ time }) => time)).not.toContain(old);
});
