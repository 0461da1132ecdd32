import { status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import { createApp } from "../../services/health/app.ts";
import { readConfig } from "../../services/health/config.ts";
import { Resources } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { StockClient } from "../harness/stock-client.ts";

/**
 * grpc.health.v1 as its specification words it, asked by a stock client. The health process is the
 * one under test because it serves without a database or a peer; all others host it the same way.
 */
const service = "mahavishnu.health.v1.HealthService";
const resources = new Resources();
afterEach(() => resources[Symbol.asyncDispose]());

async function setUp(env: Record<string, string> = {}) {
  const config = readConfig({
    env: {
      MAHAVISHNU_HEALTH_PORT: "0",
      MAHAVISHNU_PG_URL: "postgres://nobody@127.0.0.1:1/nothing",
      MAHAVISHNU_ENABLE_PERFORMANCE_MONITORING: "false",
      ...env,
    },
    file: {},
  });
  const app = await createApp(config, { logger: silentLogger() });
  resources.use("app", app);
  const client = new StockClient(app.address, "grpc.health.v1.Health");
  resources.defer("client", () => client[Symbol.dispose]());
  return { app, client };
}

/** All statuses that a watch tells, and the code that it ends with. */
function watch(client: StockClient, name: string) {
  const call = client.serverStream("Watch", { service: name });
  const seen: string[] = [];
  const first = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<number>();
  call.on("data", (message: { status: string }) => {
    seen.push(message.status);
    first.resolve();
  });
  call.on("error", (error) => ended.resolve((error as Error & { code: number }).code));
  call.on("end", () => ended.resolve(status.OK));
  return { call, seen, first: first.promise, ended: ended.promise };
}

test("Check knows the server as a whole and its service by name, and no other name", async () => {
  const { client } = await setUp();
  expect(await client.unary("Check", {})).toEqual({ status: "SERVING" });
  expect(await client.unary("Check", { service })).toEqual({ status: "SERVING" });
  for (const unknown of ["mahavishnu.memory.v1.MemoryService", service.toUpperCase(), " "]) {
    await expect(client.unary("Check", { service: unknown })).rejects.toMatchObject({
      code: status.NOT_FOUND,
    });
  }
});

test("List tells the status of every service", async () => {
  const { client } = await setUp();
  const { statuses } = await client.unary<{ statuses: Record<string, unknown> }>("List", {});
  expect(statuses).toMatchObject({ "": { status: "SERVING" }, [service]: { status: "SERVING" } });
});

test("Watch of an unknown name says SERVICE_UNKNOWN and stays open", async () => {
  const { client } = await setUp();
  const { call, seen, first, ended } = watch(client, "nobody.v1.Service");
  await first;
  expect(seen).toEqual(["SERVICE_UNKNOWN"]);
  call.cancel();
  expect(await ended).toBe(status.CANCELLED);
});

test("Watch tells the status at once, and NOT_SERVING when the process stops", async () => {
  const { app, client } = await setUp();
  const watches = ["", service].map((name) => watch(client, name));
  await Promise.all(watches.map(({ first }) => first));
  await app[Symbol.asyncDispose]();
  for (const { seen, ended } of watches) {
    await ended;
    expect(seen).toEqual(["SERVING", "NOT_SERVING"]);
  }
});

test("needs no token, where the service itself does", async () => {
  const { app, client } = await setUp({ MAHAVISHNU_AUTH_TOKEN: "sesame" });
  expect(await client.unary("Check", { service })).toEqual({ status: "SERVING" });
  using own = new StockClient(app.address, service);
  const components = ["ollama"];
  await expect(own.unary("GetHealth", { components })).rejects.toMatchObject({
    code: status.UNAUTHENTICATED,
  });
  const metadata = { authorization: "Bearer sesame" };
  expect(await own.unary("GetHealth", { components }, { metadata })).toMatchObject({
    components: [{ name: "ollama" }],
  });
});
