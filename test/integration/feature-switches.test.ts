import { Code, type ConnectError, createClient } from "@connectrpc/connect";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createApp as createIngestion } from "../../services/ingestion/app.ts";
import { readIngestionConfig } from "../../services/ingestion/config.ts";
import {
  type RunningService,
  startService,
} from "../../services/memory/testing/running-service.ts";
import { failure } from "../../services/memory/testing/service-suite.ts";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { IngestionService } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { InsightDelivery, Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { Source, SourceStatus } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { WorkflowStatus } from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { type MemoryPeers, startMemoryPeers } from "../harness/memory-peers.ts";
import { type TestDatabase, testDatabase } from "../harness/postgres.ts";

/** Each switch of the memory service, over the wire, with its real peers. */
describe("switched off", () => {
  const resources = new Resources();
  let database: TestDatabase;
  let peers: MemoryPeers;
  let service: RunningService | undefined;

  beforeAll(async () => {
    database = await testDatabase("pglite");
    resources.defer("database", () => database.close());
    peers = await startMemoryPeers(database.url);
    resources.use("peers", peers);
    const { client } = await start({});
    for (const memoryType of [MemoryType.AGENT, MemoryType.RAG, MemoryType.WORKFLOW]) {
      const content = `A switch note of type ${MemoryType[memoryType]}.`;
      await client.storeMemory({ memory: { id: MemoryType[memoryType], content, memoryType } });
    }
    await stop();
  });
  afterEach(() => stop());
  afterAll(() => resources[Symbol.asyncDispose]());

  async function start(env: Record<string, string>): Promise<RunningService> {
    service = await startService({ postgresUrl: database.url, env: { ...peers.env, ...env } });
    return service;
  }

  async function stop(): Promise<void> {
    await service?.[Symbol.asyncDispose]();
    service = undefined;
  }

  /** The switch that refuses the call. */
  async function refusedBy(call: Promise<unknown>): Promise<string | undefined> {
    const error: ConnectError = await failure(call);
    expect(error.code).toBe(Code.FailedPrecondition);
    const [info] = error.findDetails(ErrorInfoSchema);
    expect(info?.reason).toBe(ErrorReason[ErrorReason.SWITCHED_OFF]);
    return info?.metadata["switch"];
  }

  const note = { content: "another note", memoryType: MemoryType.AGENT };
  const turn = { agentId: "a", sessionId: "s", role: Role.USER, content: "said" };
  const types = async ({ client }: RunningService, more: object = {}) =>
    (await client.unifiedSearch({ query: "switch note", ...more })).results
      .map(({ memoryType }) => MemoryType[memoryType])
      .sort();

  it("as a whole, the service refuses every call", async () => {
    const { client } = await start({ MAHAVISHNU_MEMORY_ENABLED: "false" });
    for (const call of [
      client.getMemory({ id: "AGENT" }),
      client.unifiedSearch({ query: "x" }),
      client.storeMemory({ memory: note }),
      client.updateMemory({ memory: { id: "AGENT", content: "x" } }),
      client.searchProjects({ query: "x", project: "p" }),
    ]) {
      expect(await refusedBy(call)).toBe("enabled");
    }
  });

  it("enable_rag_search leaves memories of type RAG out of searches, and keeps them", async () => {
    expect(await types(await start({}))).toEqual(["AGENT", "RAG", "WORKFLOW"]);
    await stop();
    const off = await start({ MAHAVISHNU_ENABLE_RAG_SEARCH: "false" });
    expect(await types(off)).toEqual(["AGENT", "WORKFLOW"]);
    const only = off.client.unifiedSearch({ query: "x", memoryTypes: [MemoryType.RAG] });
    expect(await refusedBy(only)).toBe("enable_rag_search");
    const { sourceReports } = await off.client.unifiedSearch({ query: "switch note" });
    expect(sourceReports[0]?.message).toContain("enable_rag_search");
    expect((await off.client.getMemory({ id: "RAG" })).memory?.id).toBe("RAG");
    const { results } = await off.client.searchProjects({ query: "switch note", project: "p" });
    expect(results.map(({ result }) => result?.memoryType)).not.toContain(MemoryType.RAG);
  });

  it("enable_rag_search refuses QueryKnowledgeBase, by the same name in the settings file", async () => {
    const settings = (ragSearch: boolean) =>
      readIngestionConfig({
        env: { MAHAVISHNU_INGESTION_PORT: "0", MAHAVISHNU_PG_URL: database.url, ...peers.env },
        file: { memory_service: { enable_rag_search: ragSearch } },
      });
    const ask = async (ragSearch: boolean) => {
      await using own = new Resources();
      const app = await createIngestion(settings(ragSearch), { logger: silentLogger() });
      own.use("ingestion", app);
      const transport = createGrpcTransport({ address: app.address });
      own.defer("client", () => transport.close());
      return await createClient(IngestionService, transport).queryKnowledgeBase({ query: "note" });
    };
    expect((await ask(true)).passages).not.toEqual([]);
    expect(await refusedBy(ask(false))).toBe("enable_rag_search");
  });

  it("enable_agent_memory refuses turns and memories of type AGENT, and searches none", async () => {
    const off = await start({ MAHAVISHNU_ENABLE_AGENT_MEMORY: "false" });
    const { client } = off;
    for (const call of [
      client.storeMemory({ memory: note }),
      client.storeConversationTurn(turn),
      client.updateMemory({ memory: { id: "AGENT", content: "changed" } }),
    ]) {
      expect(await refusedBy(call)).toBe("enable_agent_memory");
    }
    const requests = async function* () {
      const memories = [note, { ...note, content: "of a repository", memoryType: MemoryType.RAG }];
      yield { sequence: 1n, memories };
    };
    for await (const { results } of client.bulkStore(requests())) {
      expect(results.map(({ error }) => error?.reason)).toEqual([
        ErrorReason.SWITCHED_OFF,
        undefined,
      ]);
      expect(results[0]?.error?.code).toBe(Code.FailedPrecondition);
    }
    expect(await types(off)).not.toContain("AGENT");
    const only = client.unifiedSearch({ query: "x", memoryTypes: [MemoryType.AGENT] });
    expect(await refusedBy(only)).toBe("enable_agent_memory");
  });

  it("enable_reflection_search leaves Session-Buddy out and says so", async () => {
    const { client } = await start({ MAHAVISHNU_ENABLE_REFLECTION_SEARCH: "false" });
    const { sourceReports } = await client.unifiedSearch({ query: "switch note" });
    const skipped = sourceReports.find(({ source }) => source === Source.SESSION_BUDDY);
    expect(skipped?.status).toBe(SourceStatus.SKIPPED);
    expect(skipped?.message).toContain("enable_reflection_search");
  });

  it("enable_cross_system_sharing keeps insights here and refuses to share", async () => {
    const { client } = await start({ MAHAVISHNU_ENABLE_CROSS_SYSTEM_SHARING: "false" });
    const lesson = "Keep this lesson where it was learnt.";
    const content = `★ Insight ─────\n${lesson}\n─────`;
    const { insights } = await client.storeConversationTurn({ ...turn, content });
    expect(insights).toMatchObject([{ delivery: InsightDelivery.UNSPECIFIED }]);
    const { results } = await client.unifiedSearch({ query: lesson });
    const found = results.find((one) => one.content === lesson);
    expect(found?.foundIn).toEqual([Source.POSTGRESQL]);
    for (const call of [
      client.shareInsight({ workflowId: "w", insight: lesson, targetRepos: ["r"] }),
      client.createProjectGroup({ group: { name: "g", projects: ["p"] } }),
      client.addProjectDependency({ dependency: { sourceProject: "a", targetProject: "b" } }),
    ]) {
      expect(await refusedBy(call)).toBe("enable_cross_system_sharing");
    }
    expect((await client.listProjectGroups({})).groups).toEqual([]);
  });

  it("enable_performance_monitoring makes no spans of memories, and costs no call its answer", async () => {
    const names = new Set<string>();
    process.env["OTEL_METRICS_EXPORTER"] = "none";
    const sdk = new NodeSDK({
      spanProcessors: [
        {
          onStart: ({ name }) => void names.add(name),
          onEnd() {},
          forceFlush: async () => {},
          shutdown: async () => {},
        },
      ],
      instrumentations: [],
      logRecordProcessors: [],
    });
    sdk.start();
    const memoryNames = () => [...names].filter((name) => name.endsWith("_memory")).sort();
    const bulkStore = async (client: RunningService["client"], content: string) => {
      const requests = async function* () {
        yield { sequence: 1n, memories: [{ ...note, content }] };
      };
      for await (const { results } of client.bulkStore(requests())) {
        expect(results.map(({ error }) => error)).toEqual([undefined]);
      }
      return memoryNames();
    };
    const work = async ({ client }: RunningService, content: string) => {
      names.clear();
      const byBulk = await bulkStore(client, `${content} in bulk`);
      const { memory } = await client.storeMemory({ memory: { ...note, content } });
      await client.storeConversationTurn({ ...turn, content: `${content} by a turn` });
      await client.recordWorkflowExecution({
        execution: { workflowId: "w", adapter: "a", status: WorkflowStatus.RUNNING },
      });
      const id = memory?.id ?? "";
      await client.updateMemory({ memory: { id, metadata: { changed: true } } });
      expect((await client.unifiedSearch({ query: content })).results).not.toEqual([]);
      await client.searchProjects({ query: content, project: "p" });
      await client.deleteMemory({ id });
      return { byBulk, all: memoryNames() };
    };
    try {
      expect(await work(await start({}), "measured")).toEqual({
        byBulk: ["create_memory"],
        all: ["create_memory", "delete_memory", "search_memory", "update_memory"],
      });
      await stop();
      const off = await start({ MAHAVISHNU_ENABLE_PERFORMANCE_MONITORING: "false" });
      expect(await work(off, "unmeasured")).toEqual({ byBulk: [], all: [] });
      expect(names.size).toBeGreaterThan(0);
    } finally {
      await sdk.shutdown();
    }
  });
});
