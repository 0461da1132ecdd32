import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  eventually,
  type RunningService,
  startService,
} from "../../services/memory/testing/running-service.ts";
import { InsightDelivery, Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import type { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { Source, SourceStatus } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { WorkflowStatus } from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { type MemoryPeers, startMemoryPeers } from "../harness/memory-peers.ts";
import { describeEachStore } from "../harness/postgres.ts";

const { POSTGRESQL, SESSION_BUDDY } = Source;
const { OK, FAILED, SKIPPED, DEGRADED } = SourceStatus;
const lesson = "Use binary unnest whenever a batch of vectors is written to PostgreSQL.";
const telling = `All rows are in.\n\n★ Insight ─────\n${lesson}\n─────\n`;

describeEachStore("memory with its real peers", (_kind, database) => {
  const resources = new Resources();
  let peers: MemoryPeers;
  let service: RunningService;
  let client: Client<typeof MemoryService>;

  beforeAll(async () => {
    peers = await startMemoryPeers(database().url);
    resources.use("peers", peers);
    service = await startService({ postgresUrl: database().url, env: peers.env });
    resources.use("memory", service);
    client = service.client;
  });
  afterAll(() => resources[Symbol.asyncDispose]());

  const say = (content: string, more: object = {}) =>
    client.storeConversationTurn({
      agentId: "agent-1",
      sessionId: "session-1",
      role: Role.ASSISTANT,
      content,
      ...more,
    });
  const search = (query: string, more: object = {}) =>
    client.unifiedSearch({ query, ...more }, { timeoutMs: 5_000 });
  const contentsOf = async (query: string, more: object = {}) =>
    (await search(query, more)).results.map(({ content }) => content);

  describe("a told insight", () => {
    it("is found in both stores as one result", async () => {
      const { insights, embeddingState } = await say(telling, { repoId: "repo-1" });
      expect(embeddingState).toBe(EmbeddingState.READY);
      expect(insights).toMatchObject([{ content: lesson }]);
      await eventually(async () => {
        const { results } = await search("binary unnest of vectors");
        const found = results.find(({ content }) => content === lesson);
        return found?.foundIn.length === 2;
      });
      const { results, sourceReports } = await search("binary unnest of vectors");
      expect(sourceReports.map(({ source }) => source)).toEqual([POSTGRESQL, SESSION_BUDDY]);
      expect(sourceReports[0]?.status).toBe(OK);
      expect(results.filter(({ content }) => content === lesson)).toHaveLength(1);
      expect(results.map(({ content }) => content)).toContain(telling);
      for (const { score } of results) {
        expect(score).toBeGreaterThanOrEqual(0);
        expect(score).toBeLessThanOrEqual(1);
      }
    });

    it("waits while the bridge is away, and arrives once it is back", async () => {
      await peers.stop("sessionBuddy");
      const other = "Always close a DuckDB file with a checkpoint, or its log may be lost.";
      const { insights } = await say(`★ Insight ─────\n${other}\n─────`);
      expect(insights).toMatchObject([{ content: other, delivery: InsightDelivery.QUEUED }]);
      const { sourceReports } = await search("checkpoint of a DuckDB file");
      expect(sourceReports.map(({ status }) => status)).toEqual([OK, FAILED]);
      expect(await service.serving()).toBe(true);
      await peers.restart("sessionBuddy");
      await eventually(async () => {
        const { results } = await search("checkpoint of a DuckDB file");
        const found = results.find(({ content }) => content === other);
        return found?.foundIn.includes(SESSION_BUDDY) === true;
      });
    }, 60_000);
  });

  it("stores while embedding is away, finds by words, and brings the vector later", async () => {
    await peers.stop("embedding");
    const content = "The zebra crossing was repainted before the parade.";
    const { memory, embeddingState } = await client.storeMemory({
      memory: { content, memoryType: MemoryType.AGENT, agentId: "agent-2" },
    });
    expect(embeddingState).toBe(EmbeddingState.PENDING);
    const { results, sourceReports } = await search("zebra parade", { agentId: "agent-2" });
    expect(results.map((one) => one.content)).toEqual([content]);
    expect(sourceReports.map(({ status }) => status)).toEqual([DEGRADED, SKIPPED]);
    await peers.restart("embedding");
    await eventually(async () => {
      const read = await client.getMemory({ id: memory?.id ?? "" });
      return read.embeddingState === EmbeddingState.READY;
    });
    const again = await client.storeMemory({
      memory: { content, memoryType: MemoryType.AGENT, agentId: "agent-2" },
    });
    expect(again).toMatchObject({ deduplicated: true, embeddingState: EmbeddingState.READY });
    expect(again.memory?.id).toBe(memory?.id);
  }, 60_000);

  it("applies every narrowing before the limit", async () => {
    for (const [sessionId, repoId] of [
      ["session-a", "repo-a"],
      ["session-b", "repo-b"],
    ] as const) {
      await say("The rollout of the payment gateway is done.", { sessionId, repoId });
    }
    const query = "payment gateway rollout";
    // Louder than both, more than a search of one asks for, and left out by each narrowing.
    for (let n = 0; n < 40; n++) {
      const place = { sessionId: "session-c", repoId: "repo-c", agentId: "agent-3" };
      await say(`Payment gateway rollout, payment gateway rollout ${n}.`, place);
    }
    const [loudest] = await contentsOf(query, { limit: 1 });
    expect(loudest).toContain("Payment gateway rollout, payment");
    const one = { limit: 1 };
    for (const narrowing of [
      { sessionId: "session-b" },
      { repoId: "repo-b" },
      { sessionId: "session-a", repoId: "repo-a", agentId: "agent-1" },
    ]) {
      expect(await contentsOf(query, { ...one, ...narrowing })).toEqual([
        "The rollout of the payment gateway is done.",
      ]);
    }
    expect(await contentsOf(query, { sessionId: "session-a", repoId: "repo-b" })).toEqual([]);
    expect(await contentsOf(query, { memoryTypes: [MemoryType.RAG] })).toEqual([]);
    // The same words in two sessions are two memories and one result.
    const { results } = await search(query, { agentId: "agent-1" });
    expect(results.filter(({ content }) => content.includes("payment gateway"))).toHaveLength(1);
  });

  it("finds a workflow by what it did, in each of its repositories", async () => {
    const execution = {
      workflowId: "nightly.42",
      adapter: "prefect",
      repos: ["repo-x", "repo-y"],
      status: WorkflowStatus.FAILED,
      errorMessage: "the linter found an unused import in cache.py",
    };
    await client.recordWorkflowExecution({ execution });
    for (const repoId of execution.repos) {
      const { results } = await search("linter unused import", { repoId });
      expect(results).toMatchObject([
        { memoryType: MemoryType.WORKFLOW, workflowId: "nightly.42" },
      ]);
    }
    await client.recordWorkflowExecution({
      execution: { ...execution, status: WorkflowStatus.COMPLETED, errorMessage: "" },
    });
    expect(
      (await search("nightly.42", { workflowId: "nightly.42" })).results.map(
        ({ metadata }) => metadata,
      ),
    ).toMatchObject([{ status: "completed" }]);
  });

  it("tells what is wrong with a filter, and lists and deletes by a good one", async () => {
    const bad = {
      node: {
        case: "condition" as const,
        value: { field: "nonsense", test: { case: "exists" as const, value: true } },
      },
    };
    await expect(search("x", { filter: bad })).rejects.toMatchObject({ code: 3 });
    const mine = {
      node: {
        case: "condition" as const,
        value: {
          field: "metadata.batch",
          test: {
            case: "equals" as const,
            value: { kind: { case: "stringValue" as const, value: "b1" } },
          },
        },
      },
    };
    for (let n = 0; n < 3; n++) {
      await client.storeMemory({
        memory: { content: `note ${n}`, memoryType: MemoryType.RAG, metadata: { batch: "b1" } },
      });
    }
    const first = await client.listMemories({ filter: mine, pageSize: 2 });
    const rest = await client.listMemories({
      filter: mine,
      pageSize: 2,
      pageToken: first.nextPageToken,
    });
    expect([...first.memories, ...rest.memories].map(({ content }) => content)).toEqual([
      "note 0",
      "note 1",
      "note 2",
    ]);
    expect((await client.deleteMemories({ filter: mine })).deletedCount).toBe(3n);
    expect((await client.listMemories({ filter: mine })).memories).toEqual([]);
  });

  it("stores in bulk and leaves no duplicate after ten replays", async () => {
    const contents = Array.from({ length: 60 }, (_, n) => `bulk memory ${n} of the corpus`);
    const ids = new Set<string>();
    for (let replay = 0; replay < 10; replay++) {
      const requests = async function* () {
        for (let at = 0; at < contents.length; at += 20) {
          const memories = contents
            .slice(at, at + 20)
            .map((content) => ({ content, memoryType: MemoryType.AGENT, agentId: "bulk" }));
          yield { sequence: BigInt(at), memories };
        }
      };
      for await (const { results } of client.bulkStore(requests())) {
        for (const result of results) {
          expect(result).toMatchObject({
            deduplicated: replay > 0,
            embeddingState: EmbeddingState.READY,
          });
          ids.add(result.id);
        }
      }
    }
    expect(ids.size).toBe(60);
  });
});
