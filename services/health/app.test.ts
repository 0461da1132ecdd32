import { spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Client, Code } from "@connectrpc/connect";
import { afterEach, expect, test } from "vitest";
import { ConfigError } from "../../shared/config.ts";
import {
  Health,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../shared/gen/health/v1/health_pb.js";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import {
  HealthService,
  HealthStatus,
} from "../../shared/gen/mahavishnu/health/v1/health_service_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { createClient, createGrpcTransport, type GrpcTransport } from "../../shared/rpc/client.ts";
import { startTelemetry } from "../../shared/telemetry.ts";
import { testDatabase } from "../../test/harness/postgres.ts";
import { createApp } from "./app.ts";
import { readConfig } from "./config.ts";
import { eventually } from "./testing/components.ts";
import { startPeer, startSilence } from "./testing/peer-servers.ts";

const resources = new Resources();
afterEach(async () => {
  await resources[Symbol.asyncDispose]();
  delete process.env["OTEL_EXPORTER_OTLP_ENDPOINT"];
});

const nowhere = "127.0.0.1:1";

/** An environment where nothing answers. */
const desolation = {
  MAHAVISHNU_HEALTH_PORT: "0",
  MAHAVISHNU_PG_URL: `postgres://nobody:secret@${nowhere}/nothing`,
  MAHAVISHNU_MEMORY_ADDRESS: nowhere,
  MAHAVISHNU_INGESTION_ADDRESS: nowhere,
  MAHAVISHNU_VECTOR_STORE_ADDRESS: nowhere,
  MAHAVISHNU_EMBEDDING_ADDRESS: nowhere,
  MAHAVISHNU_SESSION_BUDDY_ADDRESS: nowhere,
  OLLAMA_BASE_URL: `http://${nowhere}`,
  MAHAVISHNU_HEALTH_PROBE_TIMEOUT_MS: "2000",
};

async function start(env: Record<string, string> = {}) {
  const config = readConfig({ env: { ...desolation, ...env }, file: {} });
  const app = await createApp(config, { logger: silentLogger() });
  resources.use("app", app);
  return { app, ...connect(app.address) };
}

function connect(address: string): {
  client: Client<typeof HealthService>;
  transport: GrpcTransport;
} {
  const transport = createGrpcTransport({ address });
  resources.defer("transport", () => transport.close());
  return { client: createClient(HealthService, transport), transport };
}

const allComponents = [
  "embedding",
  "ingestion",
  "memory",
  "ollama",
  "postgresql",
  "session-buddy",
  "vector-store",
];

test("serves and answers when everything is down, and shows no password", async () => {
  const { client, transport } = await start();
  const { status } = await createClient(Health, transport).check({
    service: HealthService.typeName,
  });
  expect(status).toBe(Serving.SERVING);

  const report = await client.getHealth({});
  expect(report.status).toBe(HealthStatus.UNHEALTHY);
  expect(report.version).toMatch(/^\d+\.\d+\.\d+/);
  expect(report.components.map(({ name }) => name)).toEqual(allComponents);
  const byName = new Map(report.components.map((one) => [one.name, one]));
  expect(byName.get("memory")).toMatchObject({
    status: HealthStatus.UNHEALTHY,
    message: `not reachable at ${nowhere}`,
  });
  expect(byName.get("postgresql")).toMatchObject({
    status: HealthStatus.UNHEALTHY,
    metadata: { address: nowhere },
  });
  expect(byName.get("ollama")?.status).toBe(HealthStatus.DEGRADED);
  expect(
    JSON.stringify(report.components.map(({ message, metadata }) => [message, metadata])),
  ).not.toMatch(/secret|ECONNREFUSED/);
  await expect(client.listHealthHistory({})).rejects.toMatchObject({ code: Code.Unavailable });
});

async function openDatabase() {
  const database = await testDatabase("pglite");
  resources.defer("database", () => database.close());
  return database;
}

test("a database that hangs is reported in time and does not hold up the end", {
  timeout: 8_000,
}, async () => {
  const silence = resources.use("silence", await startSilence());
  const { app, client } = await start({
    MAHAVISHNU_PG_URL: `postgres://me@${silence.address}/db`,
    MAHAVISHNU_HEALTH_PROBE_TIMEOUT_MS: "300",
  });
  const { components } = await client.getHealth({ components: ["postgresql"] });
  expect(components).toMatchObject([{ message: "did not answer within 300 ms" }]);
  await app[Symbol.asyncDispose]();
});

test("looks at real parts, and keeps and lists their history", async () => {
  const database = await openDatabase();
  const embedding = await startPeer(EmbeddingService, {
    listModels: () => ({
      models: [{ name: "lexical", isDefault: true, ready: true, lexical: true }],
    }),
  });
  const bridge = await startPeer(SessionBuddyService, { getStatus: () => ({ readable: true }) });
  resources.use("embedding", embedding);
  resources.use("bridge", bridge);
  const { client } = await start({
    MAHAVISHNU_PG_URL: database.url,
    MAHAVISHNU_EMBEDDING_ADDRESS: embedding.address,
    MAHAVISHNU_SESSION_BUDDY_ADDRESS: bridge.address,
    MAHAVISHNU_EMBEDDING_PROVIDER: "builtin",
  });
  const good = ["embedding", "session-buddy", "postgresql", "ollama"];
  const report = await client.getHealth({ components: good });
  expect(report.components.filter(({ status }) => status !== HealthStatus.HEALTHY)).toEqual([]);
  expect(report.components.find(({ name }) => name === "postgresql")?.message).toMatch(
    /^PostgreSQL \d+\.\d+, pgvector /,
  );

  await eventually(async () => (await client.listHealthHistory({})).samples.length > 0);
  const { samples } = await client.listHealthHistory({ pageSize: 7 });
  expect(samples.map(({ component }) => component?.name)).toEqual(allComponents);
});

test("keeps no history where performance monitoring is off", async () => {
  const database = await openDatabase();
  const { client } = await start({
    MAHAVISHNU_PG_URL: database.url,
    MAHAVISHNU_ENABLE_PERFORMANCE_MONITORING: "false",
  });
  await client.getHealth({});
  expect((await client.listHealthHistory({})).samples).toEqual([]);
});

test("the health of every component is a gauge", async () => {
  let body = "";
  const receiver = createServer(async (request, response) => {
    for await (const part of request) body += part;
    response.writeHead(200).end();
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  resources.defer("receiver", () => new Promise((resolve) => receiver.close(resolve)));
  const { port } = receiver.address() as AddressInfo;
  const telemetry = await startTelemetry({
    service: "health",
    otlpEndpoint: `http://127.0.0.1:${port}`,
  });
  await start();
  await telemetry[Symbol.asyncDispose]();
  expect(body).toContain("component.health");
  for (const name of allComponents) expect(body).toContain(name);
});

test("every mistake of the configuration is named at once", () => {
  const env = {
    ...desolation,
    MAHAVISHNU_HEALTH_PORT: "70000",
    MAHAVISHNU_MEMORY_ADDRESS: "nowhere",
    OLLAMA_BASE_URL: "ftp://x",
    MAHAVISHNU_HEALTH_RETENTION_DAYS: "0",
  };
  const problems = (() => {
    try {
      readConfig({ env, file: {} });
    } catch (error) {
      return error instanceof ConfigError ? error.problems : [];
    }
    return [];
  })();
  expect(problems.map((problem) => problem.split(":")[0]).toSorted()).toEqual([
    "MAHAVISHNU_HEALTH_PORT",
    "MAHAVISHNU_HEALTH_RETENTION_DAYS",
    "MAHAVISHNU_MEMORY_ADDRESS",
    "OLLAMA_BASE_URL",
  ]);
});

test("as a process: one line when it listens, ends with 0 on SIGTERM in the midst of a watch", async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts")], {
    env: { ...process.env, ...desolation },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  resources.defer("process", () => child.kill("SIGKILL"));
  let address = "";
  for await (const line of createInterface(child.stdout)) {
    const entry = JSON.parse(line) as Record<string, string>;
    if (entry["msg"] === "listening") address = entry["address"] ?? "";
    if (address !== "") break;
  }
  child.stdout.resume();
  const reports = connect(address).client.watchHealth({})[Symbol.asyncIterator]();
  await reports.next();
  const end = reports.next();
  child.kill("SIGTERM");
  await expect(end).rejects.toMatchObject({ code: Code.Unavailable });
  expect(await exited).toBe(0);
});
