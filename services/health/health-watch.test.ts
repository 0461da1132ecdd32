import { expect, test } from "vitest";
import type { HealthReport } from "./component-health.ts";
import { HealthChecker } from "./health-checker.ts";
import { HealthWatch } from "./health-watch.ts";
import { eventually, FakeComponent } from "./testing/components.ts";

const bounds = { timeoutMs: 1_000, reuseMs: 0, lifetime: new AbortController().signal };

function setUp(intervalMs = 5) {
  const memory = new FakeComponent("memory");
  const embedding = new FakeComponent("embedding");
  const watch = new HealthWatch(new HealthChecker([memory, embedding], bounds), intervalMs);
  return { memory, embedding, watch };
}

async function statuses(step: Promise<IteratorResult<HealthReport>>): Promise<string> {
  const { value } = await step;
  return value.components.map(({ status }: { status: string }) => status).join();
}

test("reports at once, then on every change of any component, and only then", async () => {
  const { memory, embedding, watch } = setUp();
  const stop = new AbortController();
  const reports = watch.watch(stop.signal);
  expect(await statuses(reports.next())).toBe("healthy,healthy");

  let told = false;
  const second = reports.next();
  second.then(() => (told = true));
  const before = memory.probes;
  await eventually(() => memory.probes > before + 3);
  expect(told).toBe(false);

  embedding.status = "degraded";
  expect(await statuses(second)).toBe("degraded,healthy");
  memory.status = "degraded";
  // The overall status stays the same; the report still comes.
  expect(await statuses(reports.next())).toBe("degraded,degraded");

  const last = reports.next();
  stop.abort(new Error("enough"));
  await expect(last).rejects.toThrow("enough");
  expect(watch.polling).toBe(false);
});

test("many watchers share one poller, which ends with the last of them", async () => {
  const { memory, watch } = setUp();
  expect(watch.polling).toBe(false);
  const stops = Array.from({ length: 20 }, () => new AbortController());
  const watchers = stops.map(({ signal }) => watch.watch(signal));
  await Promise.all(watchers.map((one) => one.next()));
  const waiting = watchers.map((one) => one.next());
  memory.status = "unhealthy";
  expect(new Set(await Promise.all(waiting.map(statuses)))).toEqual(new Set(["healthy,unhealthy"]));
  // Every watcher had the same report, of one probe.
  const probes = memory.probes;
  await eventually(() => memory.probes > probes + 2);

  await Promise.all(watchers.slice(1).map((one) => one.return(undefined as never)));
  expect(watch.polling).toBe(true);
  await watchers[0]?.return(undefined as never);
  expect(watch.polling).toBe(false);
  const after = memory.probes;
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(memory.probes).toBeLessThanOrEqual(after + 1);
});

test("a slow watcher gets the newest state and no backlog", async () => {
  const { memory, watch } = setUp();
  const reports = watch.watch(new AbortController().signal);
  await reports.next();
  for (const status of ["unhealthy", "healthy", "degraded"] as const) {
    memory.status = status;
    const before = memory.probes;
    await eventually(() => memory.probes > before + 2);
  }
  expect(await statuses(reports.next())).toBe("healthy,degraded");
  await reports.return(undefined as never);
});

test("polling begins again for a later watcher", async () => {
  const { memory, watch } = setUp();
  for (const status of ["unhealthy", "healthy"] as const) {
    const reports = watch.watch(new AbortController().signal);
    await reports.next();
    memory.status = status;
    await reports.next();
    await reports.return(undefined as never);
  }
  expect(watch.polling).toBe(false);
});
