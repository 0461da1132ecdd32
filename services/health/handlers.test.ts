import { durationMs, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, expect, test } from "vitest";
import { BadRequestSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import {
  HealthService,
  HealthStatus,
} from "../../shared/gen/mahavishnu/health/v1/health_service_pb.js";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { createClient, createGrpcTransport } from "../../shared/rpc/client.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { service, startRpcServer } from "../../shared/rpc/server.ts";
import type { Status } from "./component-health.ts";
import { healthHandlers } from "./handlers.ts";
import { HealthChecker } from "./health-checker.ts";
import { HealthWatch } from "./health-watch.ts";
import { peerComponent } from "./peers.ts";
import { eventually, FakeComponent } from "./testing/components.ts";
import { MemoryHistory } from "./testing/memory-history.ts";
import { type PeerServer, startPeer, startSilence } from "./testing/peer-servers.ts";

const resources = new Resources();
afterEach(() => resources[Symbol.asyncDispose]());

/** The health service on its true chain, looking at a real peer, one that hangs, and Ollama. */
async function setUp() {
  const memory: PeerServer = resources.use("memory", await startPeer(MemoryService));
  const silence = resources.use("silence", await startSilence());
  const ollama = new FakeComponent("ollama", "degraded");
  const peer = (name: string, address: string) => {
    const transport = createGrpcTransport({ address });
    resources.defer(name, () => transport.close());
    return peerComponent({ name, service: MemoryService, address, transport });
  };
  const lifetime = new AbortController();
  const checker = new HealthChecker(
    [peer("memory", memory.address), peer("embedding", silence.address), ollama],
    { timeoutMs: 300, reuseMs: 20, lifetime: lifetime.signal },
  );
  const watch = new HealthWatch(checker, 40);
  const store = new MemoryHistory();
  const server = await startRpcServer({
    host: "127.0.0.1",
    port: 0,
    services: [
      service(
        HealthService,
        healthHandlers({ checker, watch, store, version: "1.2.3", uptimeMs: () => 4_500 }),
      ),
    ],
    health: new HealthRegistry(),
    logger: silentLogger(),
  });
  resources.use("server", server);
  const transport = createGrpcTransport({ address: server.address, retry: { maxAttempts: 1 } });
  resources.defer("client", () => transport.close());
  const client = createClient(HealthService, transport);
  return { client, memory, ollama, watch, store, server };
}

async function refusal(call: Promise<unknown>): Promise<{ code: Code; fields: string[] }> {
  const error = ConnectError.from(
    await call.then(
      () => new Error("it was answered"),
      (e) => e,
    ),
  );
  const fields = error
    .findDetails(BadRequestSchema)
    .flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field));
  return { code: error.code, fields };
}

test("GetHealth reports every component and the worst status, within the bound of one", async () => {
  const { client, memory } = await setUp();
  const report = await client.getHealth({});
  expect(report.status).toBe(HealthStatus.UNHEALTHY);
  expect(report.version).toBe("1.2.3");
  expect(report.uptime && durationMs(report.uptime)).toBe(4_500);
  expect(report.timestamp && timestampDate(report.timestamp).getTime()).toBeGreaterThan(
    Date.now() - 60_000,
  );
  expect(report.components).toMatchObject([
    {
      name: "embedding",
      status: HealthStatus.UNHEALTHY,
      message: "did not answer within 300 ms",
    },
    {
      name: "memory",
      status: HealthStatus.HEALTHY,
      message: "serving",
      metadata: { address: memory.address },
    },
    { name: "ollama", status: HealthStatus.DEGRADED, metadata: { version: "1" } },
  ]);
  const [embedding, own] = report.components.map(({ latency }) => latency);
  expect(embedding && durationMs(embedding)).toBeGreaterThanOrEqual(299);
  expect(own && own.nanos > 0 && own.nanos % 1_000 === 0).toBe(true);
});

test("GetHealth of some components is the worst of them", async () => {
  const { client } = await setUp();
  const status = async (...components: string[]) => (await client.getHealth({ components })).status;
  expect(await status("memory")).toBe(HealthStatus.HEALTHY);
  expect(await status("memory", "ollama", "memory")).toBe(HealthStatus.DEGRADED);
});

test("GetHealth answers when all is down", async () => {
  const { client, memory, ollama } = await setUp();
  await memory[Symbol.asyncDispose]();
  ollama.status = "unhealthy";
  const { components } = await client.getHealth({});
  expect(new Set(components.map(({ status }) => status))).toEqual(
    new Set([HealthStatus.UNHEALTHY]),
  );
});

test("GetHealth names every component that it does not know", async () => {
  const { client } = await setUp();
  expect(await refusal(client.getHealth({ components: ["memory", "x", "MEMORY"] }))).toEqual({
    code: Code.InvalidArgument,
    fields: ["components[1]", "components[2]"],
  });
});

test("WatchHealth reports at once and on change, until cancelled", async () => {
  const { client, memory, watch } = await setUp();
  const cancel = new AbortController();
  const reports = client.watchHealth({}, { signal: cancel.signal })[Symbol.asyncIterator]();
  const next = async () => {
    const { value } = await reports.next();
    return value?.report?.components.map(({ status }: { status: HealthStatus }) => status);
  };
  const [bad, degraded, good] = [1, 2, 3];
  expect(await next()).toEqual([bad, good, degraded]);
  memory.serve(false);
  expect(await next()).toEqual([bad, bad, degraded]);
  memory.serve(true);
  expect(await next()).toEqual([bad, good, degraded]);
  cancel.abort();
  await expect(reports.next()).rejects.toMatchObject({ code: Code.Canceled });
  await eventually(() => !watch.polling);
});

test("WatchHealth ends with UNAVAILABLE when the process stops", async () => {
  const { client, server, watch } = await setUp();
  const reports = client.watchHealth({})[Symbol.asyncIterator]();
  await reports.next();
  const end = reports.next();
  const stopped = server.shutdown(5_000);
  await expect(end).rejects.toMatchObject({ code: Code.Unavailable });
  await stopped;
  expect(watch.polling).toBe(false);
});

test("ListHealthHistory pages through what was kept", async () => {
  const { client, store } = await setUp();
  const statuses: Status[] = ["healthy", "degraded", "unhealthy"];
  const at = (i: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, i));
  for (const [i, status] of statuses.entries()) {
    const health = { status, message: `is ${status}`, latencyMs: 1.5, metadata: { a: 1 } };
    await store.add(
      ["memory", "ollama"].map((name) => ({ time: at(i), component: { name, ...health } })),
    );
  }
  const first = await client.listHealthHistory({ pageSize: 4 });
  expect(first.samples.map(({ component }) => [component?.name, component?.status])).toEqual([
    ["memory", HealthStatus.UNHEALTHY],
    ["ollama", HealthStatus.UNHEALTHY],
    ["memory", HealthStatus.DEGRADED],
    ["ollama", HealthStatus.DEGRADED],
  ]);
  const second = await client.listHealthHistory({ pageSize: 4, pageToken: first.nextPageToken });
  expect(second.samples).toMatchObject([
    {
      component: {
        name: "memory",
        message: "is healthy",
        metadata: { a: 1 },
        latency: { seconds: 0n, nanos: 1_500_000 },
      },
    },
    { component: { name: "ollama" } },
  ]);
  expect(second.nextPageToken).toBe("");

  // Half a millisecond behind a sample excludes it as a start and includes it as an end.
  const half = { ...timestampFromDate(at(1)), nanos: 500_000 };
  const from = await client.listHealthHistory({ component: "memory", startTime: half });
  expect(from.samples).toHaveLength(1);
  const until = await client.listHealthHistory({ component: "memory", endTime: half });
  expect(until.samples).toHaveLength(2);

  // The token is the other request's.
  const foreign = client.listHealthHistory({ component: "memory", pageToken: first.nextPageToken });
  expect(await refusal(foreign)).toEqual({ code: Code.InvalidArgument, fields: ["page_token"] });
});

test("ListHealthHistory names every field that is out of bounds", async () => {
  const { client } = await setUp();
  const call = client.listHealthHistory({
    component: "nobody",
    startTime: { seconds: 10n, nanos: 0 },
    endTime: { seconds: 5n, nanos: 0 },
    pageSize: 1_001,
    pageToken: "?",
  });
  expect(await refusal(call)).toEqual({
    code: Code.InvalidArgument,
    fields: ["component", "end_time", "page_size", "page_token"],
  });
  const times = [
    { seconds: 253_402_300_800n, nanos: 0 },
    { seconds: 0n, nanos: -1 },
    { seconds: 9_007_199_254_740_993n, nanos: 0 },
  ];
  for (const startTime of times) {
    expect((await refusal(client.listHealthHistory({ startTime }))).fields).toEqual(["start_time"]);
  }
});
