import { expect, test, vi } from "vitest";
import { type Component, ProbeFailure } from "./component-health.ts";
import { HealthChecker } from "./health-checker.ts";
import { FakeComponent } from "./testing/components.ts";

const lifetime = new AbortController().signal;
const bounds = { timeoutMs: 1_000, reuseMs: 1_000, lifetime };

function throwing(error: unknown, more: Partial<Component> = {}): Component {
  return { name: "broken", facts: {}, probe: () => Promise.reject(error), ...more };
}

test("reports every component by name, with the worst status of all", async () => {
  const checker = new HealthChecker(
    [new FakeComponent("memory"), new FakeComponent("embedding", "degraded")],
    bounds,
  );
  const report = await checker.report();
  expect(report.status).toBe("degraded");
  expect(report.components.map(({ name }) => name)).toEqual(["embedding", "memory"]);
  expect(report.components[0]).toMatchObject({
    status: "degraded",
    message: "is degraded",
    metadata: { address: "here", version: "1" },
  });
  expect(report.components[0]?.latencyMs).toBeGreaterThanOrEqual(0);
  expect(Math.abs(Date.now() - report.time.getTime())).toBeLessThan(60_000);
});

test("a report on some components neither probes nor waits for the others", async () => {
  const good = new FakeComponent("good");
  const stuck = new FakeComponent("stuck", "unhealthy");
  stuck.gate = new Promise(() => {});
  const report = await new HealthChecker([good, stuck], bounds).report(["good", "good"]);
  expect(report).toMatchObject({ status: "healthy", components: [{ name: "good" }] });
  expect(stuck.probes).toBe(0);
});

test("callers at the same time share a probe, later ones its fresh outcome", async () => {
  const component = new FakeComponent("memory");
  const gate = Promise.withResolvers<void>();
  component.gate = gate.promise;
  const checker = new HealthChecker([component], bounds);
  const reports = Array.from({ length: 50 }, () => checker.report());
  gate.resolve();
  expect(new Set((await Promise.all(reports)).map(({ time }) => time.getTime())).size).toBe(1);
  await checker.report();
  expect(component.probes).toBe(1);
});

test("an outcome that is too old is not used again", async () => {
  const component = new FakeComponent("memory");
  const checker = new HealthChecker([component], { ...bounds, reuseMs: 0 });
  await checker.report();
  component.status = "unhealthy";
  expect((await checker.report()).status).toBe("unhealthy");
  expect(component.probes).toBe(2);
});

test("a caller who leaves ends nobody else's wait", async () => {
  const component = new FakeComponent("memory");
  const gate = Promise.withResolvers<void>();
  component.gate = gate.promise;
  const checker = new HealthChecker([component], bounds);
  const leaver = new AbortController();
  const left = checker.report([], leaver.signal);
  const stayed = checker.report();
  leaver.abort(new Error("gone"));
  await expect(left).rejects.toThrow("gone");
  gate.resolve();
  expect((await stayed).status).toBe("healthy");
});

test("each component has its own bound, even one that ignores its signal", async () => {
  const stuck = new FakeComponent("stuck");
  stuck.gate = new Promise(() => {});
  const checker = new HealthChecker([stuck, new FakeComponent("good")], {
    ...bounds,
    timeoutMs: 20,
  });
  const report = await checker.report();
  expect(report.components).toMatchObject([
    { name: "good", status: "healthy" },
    { name: "stuck", status: "unhealthy", message: "did not answer within 20 ms" },
  ]);
});

test("a failure's own words are shown, those of other errors only logged", async () => {
  const failed = vi.fn();
  const report = async (component: Component) =>
    (await new HealthChecker([component], bounds, { changed: () => {}, failed }).report())
      .components[0];
  expect(await report(throwing(new ProbeFailure("not serving")))).toMatchObject({
    status: "unhealthy",
    message: "not serving",
  });
  expect(failed).not.toHaveBeenCalled();

  const secret = new Error("password=hunter2");
  expect(await report(throwing(secret))).toMatchObject({ message: "the probe failed" });
  expect(failed).toHaveBeenCalledWith("broken", secret);

  const whenFailing = { status: "degraded", message: "another answers" } as const;
  expect(await report(throwing(new ProbeFailure("absent"), { whenFailing }))).toMatchObject({
    status: "degraded",
    message: "absent; another answers",
  });
});

test("tells of changes of status, once each", async () => {
  const component = new FakeComponent("memory");
  const changes: string[] = [];
  const checker = new HealthChecker(
    [component],
    { ...bounds, reuseMs: 0 },
    {
      changed: (now, before) => changes.push(`${before?.status} -> ${now.status}`),
      failed: () => {},
    },
  );
  for (const status of ["healthy", "healthy", "unhealthy", "unhealthy", "healthy"] as const) {
    component.status = status;
    await checker.report();
  }
  expect(changes).toEqual(["undefined -> healthy", "healthy -> unhealthy", "unhealthy -> healthy"]);
});

test("when the process stops, waiting probes end", async () => {
  const stop = new AbortController();
  const stuck = new FakeComponent("stuck");
  stuck.gate = new Promise(() => {});
  const checker = new HealthChecker([stuck], { ...bounds, lifetime: stop.signal });
  const report = checker.report();
  stop.abort();
  expect((await report).components[0]?.message).toBe("the health process is stopping");
});
