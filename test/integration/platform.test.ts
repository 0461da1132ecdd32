import { execFile } from "node:child_process";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serviceEntries } from "../../deploy/local/services.ts";
import { startTestPlatform, type TestPlatform } from "../harness/platform.ts";
import { errorDetails, type PlainMessage, StockClient } from "../harness/stock-client.ts";

const root = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

let running: TestPlatform;

beforeAll(async () => {
  running = await startTestPlatform();
}, 90_000);
afterAll(() => running?.[Symbol.asyncDispose]());

const open = (name: string) => {
  const entry = serviceEntries.find((one) => one.name === name);
  if (entry === undefined) throw new Error(name);
  return new StockClient(running.platform.address(name), entry.service);
};

describe("every process", () => {
  it.each(serviceEntries.map(({ name, service }) => ({ name, service })))(
    "$name is SERVING by its name and by the empty one",
    async ({ name, service }) => {
      using health = new StockClient(running.platform.address(name), "grpc.health.v1.Health");
      for (const asked of [service, ""]) {
        expect(await health.unary("Check", { service: asked })).toEqual({ status: "SERVING" });
      }
      await expect(health.unary("Check", { service: "no.such.Service" })).rejects.toMatchObject({
        code: 5,
      });
      const { statuses } = await health.unary<{ statuses: PlainMessage }>("List", {});
      expect(statuses).toMatchObject({ [service]: { status: "SERVING" } });
    },
  );

  it.each(serviceEntries.map(({ name, service }) => ({ name, service })))(
    "$name is described to buf curl by reflection",
    async ({ name, service }) => {
      const address = `http://${running.platform.address(name)}`;
      const curl = async (...args: string[]) => {
        const flags = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"];
        return (await run(join(root, "node_modules/.bin/buf"), [...flags, ...args])).stdout;
      };
      expect((await curl("--list-services", address)).trim().split("\n").sort()).toEqual(
        [
          "grpc.health.v1.Health",
          "grpc.reflection.v1.ServerReflection",
          "grpc.reflection.v1alpha.ServerReflection",
          service,
        ].sort(),
      );
      for (const version of ["grpc-v1", "grpc-v1alpha"]) {
        const answer = await curl(
          `--reflect-protocol=${version}`,
          "--data",
          JSON.stringify({ service }),
          `${address}/grpc.health.v1.Health/Check`,
        );
        expect(JSON.parse(answer)).toEqual({ status: "SERVING" });
      }
    },
  );
});

describe("a stock client", () => {
  it("stores a turn with an insight, ingests files, and finds all of it in one list", async () => {
    using memory = open("memory");
    using ingestion = open("ingestion");
    const stored = await memory.unary<{ turn: PlainMessage; insights: PlainMessage[] }>(
      "StoreConversationTurn",
      {
        agent_id: "planner",
        session_id: "s1",
        role: "ROLE_ASSISTANT",
        content:
          "We compared ways to send vectors.\n\n★ Insight ─────\nSend vectors to PostgreSQL as one binary array and unnest it.\n─────\n",
      },
    );
    expect(stored.turn).toMatchObject({ sequence: 1, role: "ROLE_ASSISTANT", session_id: "s1" });
    expect(stored.insights).toMatchObject([
      { content: "Send vectors to PostgreSQL as one binary array and unnest it." },
    ]);

    const progress = await lastProgress(ingestion, { path: join(root, "docs"), repo_id: "docs" });
    expect(progress).toMatchObject({
      stage: "INGESTION_STAGE_DONE",
      status: "INGESTION_STATUS_COMPLETED",
      files_failed: 0,
    });
    expect(Number(progress["chunks_stored"])).toBeGreaterThan(0);
    const code = await lastProgress(ingestion, { path: join(root, "services"), repo_id: "code" });
    expect(code).toMatchObject({ status: "INGESTION_STATUS_COMPLETED", files_failed: 0 });
    expect(Number(code["files_done"])).toBeGreaterThan(200);

    const found = await memory.unary<{ results: PlainMessage[]; source_reports: PlainMessage[] }>(
      "UnifiedSearch",
      { query: "how should vectors be sent to PostgreSQL?", limit: 20 },
    );
    expect(found.source_reports).toMatchObject([
      { source: "SOURCE_POSTGRESQL", status: "SOURCE_STATUS_OK" },
      { source: "SOURCE_SESSION_BUDDY" },
    ]);
    const types = found.results.map((one) => one["memory_type"]);
    expect(types).toContain("MEMORY_TYPE_AGENT");
    expect(types).toContain("MEMORY_TYPE_RAG");
    expect(found.results.map((one) => one["source"])).toContain("SOURCE_SESSION_BUDDY");
    const scores = found.results.map((one) => Number(one["score"]));
    expect(scores).toEqual(scores.toSorted((a, b) => b - a));
    expect(Math.max(...scores)).toBeLessThanOrEqual(1);
  });

  it("narrows by memory_types and repo_id before the limit", async () => {
    using memory = open("memory");
    const search = (more: PlainMessage) =>
      memory.unary<{ results: PlainMessage[] }>("UnifiedSearch", {
        query: "vectors PostgreSQL binary",
        limit: 3,
        ...more,
      });
    const rag = await search({ memory_types: ["MEMORY_TYPE_RAG"], repo_id: "docs" });
    expect(rag.results.length).toBeGreaterThan(0);
    for (const one of rag.results) {
      expect(one).toMatchObject({ memory_type: "MEMORY_TYPE_RAG", repo_id: "docs" });
    }
    expect((await search({ repo_id: "no-such-repo" })).results).toEqual([]);
  });

  it("reads what is wrong with a request, all of it at once", async () => {
    using memory = open("memory");
    const error = await memory
      .unary("UnifiedSearch", { query: "", limit: 5_000, min_score: 3 })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 3 });
    const { BadRequest, ErrorInfo } = errorDetails(error);
    expect(ErrorInfo).toMatchObject({ reason: "INVALID_FIELD", domain: "mahavishnu" });
    expect(BadRequest).toMatchObject({
      field_violations: expect.arrayContaining(
        ["limit", "min_score", "query"].map((field) => expect.objectContaining({ field })),
      ),
    });
  });

  it.each([
    ["memory", "GetMemory", { id: "no-such-id" }, 5, "MEMORY_NOT_FOUND"],
    ["memory", "StoreMemory", { memory: { content: "x" } }, 3, "INVALID_FIELD"],
    [
      "vector-store",
      "Search",
      { vector: { values: [1, 0, 0] }, mode: "SEARCH_MODE_VECTOR" },
      9,
      "DIMENSION_MISMATCH",
    ],
    ["vector-store", "CountDocuments", { collection: "nowhere" }, 5, "COLLECTION_NOT_FOUND"],
    ["embedding", "Embed", { model: "no-such-model", texts: ["a"] }, 5, "MODEL_NOT_FOUND"],
    [
      "vector-store",
      "BuildIndex",
      // What was ingested may be enough for fewer lists.
      { index: { kind: "INDEX_KIND_IVFFLAT", lists: 1_000 } },
      9,
      "TOO_FEW_ROWS",
    ],
  ])(
    "%s %s %j is refused with code %i and reason %s",
    async (name, method, request, code, reason) => {
      using client = open(name);
      const error =
        method === "BuildIndex"
          ? await streamError(client, method, request)
          : await client.unary(method, request).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code });
      expect(errorDetails(error)["ErrorInfo"]).toMatchObject({ reason, domain: "mahavishnu" });
    },
  );

  it("keeps tenants apart", async () => {
    using memory = open("memory");
    const metadata = { "x-mahavishnu-tenant": "other" };
    const own = {
      content: "Only the other tenant knows zanzibar.",
      memory_type: "MEMORY_TYPE_AGENT",
    };
    await memory.unary("StoreMemory", { memory: own }, { metadata });
    const search = { query: "zanzibar", sources: ["SOURCE_POSTGRESQL"] };
    const there = await memory.unary<{ results: PlainMessage[] }>("UnifiedSearch", search, {
      metadata,
    });
    expect(there.results[0]).toMatchObject({ content: own.content });
    const here = await memory.unary<{ results: PlainMessage[] }>("UnifiedSearch", search);
    expect(here.results.filter((one) => one["content"] === own.content)).toEqual([]);
    await expect(
      memory.unary("UnifiedSearch", search, { metadata: { "x-mahavishnu-tenant": "a/b" } }),
    ).rejects.toMatchObject({ code: 3 });
  });
});

describe("the health service", () => {
  it("names every component and says that the embedder is lexical", async () => {
    using health = open("health");
    const report = await health.unary<{ status: string; components: PlainMessage[] }>(
      "GetHealth",
      {},
    );
    const names = report.components.map((one) => one["name"]);
    for (const { name } of serviceEntries.filter((one) => one.name !== "health")) {
      expect(names).toContain(name);
    }
    expect(names).toContain("postgresql");
    expect(report.status).not.toBe("HEALTH_STATUS_UNHEALTHY");
  });
});

describe("the command line", () => {
  const cli = async (...args: string[]) => {
    const env = {
      ...process.env,
      MAHAVISHNU_MEMORY_ADDRESS: running.platform.address("memory"),
      MAHAVISHNU_INGESTION_ADDRESS: running.platform.address("ingestion"),
      MAHAVISHNU_HEALTH_ADDRESS: running.platform.address("health"),
    };
    return run(process.execPath, [join(root, "cli/main.ts"), ...args], { env });
  };

  it("remembers, finds, ingests and tells the health", async () => {
    const text = "The quokka deploys on Thursdays only.";
    expect((await cli("remember", text)).stdout).toMatch(/^Stored as /);
    expect((await cli("remember", text)).stdout).toMatch(/^Known already as /);
    expect((await cli("search", "quokka deploys")).stdout).toContain("quokka");
    const found = JSON.parse((await cli("search", "quokka deploys", "--json")).stdout);
    expect(found.results[0]).toMatchObject({ content: text, memory_type: "agent" });
    const { stdout } = await cli("ingest", join(root, "docs"), "--repo", "docs", "--json");
    const again = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
    expect(again).toMatchObject({ status: "completed", chunks_stored: 0, files_failed: 0 });
    expect((await cli("health")).stdout).toMatch(/vector-store\s+healthy/);
  });

  it.each([
    [["search"], 2, "missing required argument"],
    [["search", "x", "--limit", "0"], 2, "must be a whole number from 1 to 1000"],
    [["search", "x", "--type", "dream"], 2, "Allowed choices"],
    [["ingest", "/no/such/folder"], 1, "not_found"],
    [["dance"], 2, "unknown command"],
  ])("%j ends with %i and says why", async (args, code, why) => {
    await expect(cli(...args)).rejects.toMatchObject({
      code,
      stderr: expect.stringContaining(why),
    });
  });
});

async function lastProgress(client: StockClient, request: PlainMessage): Promise<PlainMessage> {
  let last: PlainMessage = {};
  for await (const message of client.serverStream("IngestRepository", request)) {
    last = (message as { progress: PlainMessage }).progress;
  }
  return last;
}

function streamError(client: StockClient, method: string, request: PlainMessage): Promise<unknown> {
  return new Promise((resolveError) => {
    const stream = client.serverStream(method, request);
    stream.on("error", resolveError);
    stream.on("end", () => resolveError(undefined));
    stream.resume();
  });
}
