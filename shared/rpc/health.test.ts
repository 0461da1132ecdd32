import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../gen/health/v1/health_pb.js";
import { HealthRegistry } from "./health.ts";
import { drain, rejection } from "./testing/conditions.ts";
import { EchoService } from "./testing/echo.ts";
import { type EchoHarness, startEcho } from "./testing/echo-server.ts";

const name = EchoService.typeName;
const healthOf = (echo: EchoHarness) => createClient(Health, echo.transport);

describe("the registry", () => {
  test("is guilty until proven ready", () => {
    const health = new HealthRegistry();
    expect(health.statusOf("")).toBe(false);
    health.register("a");
    expect([health.statusOf("a"), health.statusOf("b")]).toEqual([false, undefined]);
    health.register("b");
    health.set("a", true);
    expect(health.statusOf("")).toBe(false);
    health.set("b", true);
    expect(health.statusOf("")).toBe(true);
    health.register("a");
    expect(health.statusOf("a")).toBe(true);
    expect(health.names()).toEqual(["a", "b"]);
  });

  test("tells listeners of changes only, and of the overall status when it turns", () => {
    const health = new HealthRegistry();
    const seen: string[] = [];
    const stop = health.onChange((changed) => seen.push(changed));
    health.set("a", true);
    health.set("a", true);
    health.set("b", true);
    health.set("b", false);
    stop();
    health.set("b", true);
    expect(seen).toEqual(["a", "", "b", "b", ""]);
  });

  test("does not let the overall status be set, nor anything after its end", () => {
    const health = new HealthRegistry();
    expect(() => health.set("", true)).toThrow(RangeError);
    health.set("a", true);
    health.close();
    health.set("a", true);
    expect(health.statusOf("a")).toBe(false);
  });
});

test("Check answers by name, and NOT_FOUND for a name unknown", async () => {
  await using echo = await startEcho({});
  const client = healthOf(echo);
  expect((await client.check({ service: name })).status).toBe(Status.SERVING);
  expect((await client.check({})).status).toBe(Status.SERVING);
  echo.health.set(name, false);
  expect((await client.check({ service: name })).status).toBe(Status.NOT_SERVING);
  expect((await client.check({})).status).toBe(Status.NOT_SERVING);
  const error = await rejection(client.check({ service: "nobody" }));
  expect((error as ConnectError).code).toBe(Code.NotFound);
});

test("List names every service and the overall status", async () => {
  await using echo = await startEcho({});
  echo.health.set("another", false);
  const { statuses } = await healthOf(echo).list({});
  expect(Object.fromEntries(Object.entries(statuses).map(([k, v]) => [k, v.status]))).toEqual({
    "": Status.NOT_SERVING,
    [name]: Status.SERVING,
    another: Status.NOT_SERVING,
  });
});

test("Watch tells the status at once and every change after", async () => {
  await using echo = await startEcho({});
  const abort = new AbortController();
  const options = { signal: abort.signal };
  const watch = healthOf(echo).watch({ service: name }, options)[Symbol.asyncIterator]();
  const later = healthOf(echo).watch({ service: "later" }, options)[Symbol.asyncIterator]();
  expect((await watch.next()).value?.status).toBe(Status.SERVING);
  expect((await later.next()).value?.status).toBe(Status.SERVICE_UNKNOWN);
  echo.health.set("later", true);
  expect((await later.next()).value?.status).toBe(Status.SERVING);
  echo.health.set(name, false);
  expect((await watch.next()).value?.status).toBe(Status.NOT_SERVING);
  abort.abort();
  expect(((await rejection(watch.next())) as ConnectError).code).toBe(Code.Canceled);
});

test("Watch says NOT_SERVING and ends when the server shuts down", async () => {
  await using echo = await startEcho({});
  const watched = drain(healthOf(echo).watch({}));
  await expect.poll(() => echo.server.callsInFlight).toBe(1);
  await echo.server.shutdown(5_000);
  const { items, error } = await watched;
  expect(items.map((m) => m.status)).toEqual([Status.SERVING, Status.NOT_SERVING]);
  expect((error as ConnectError).code).toBe(Code.Unavailable);
});
