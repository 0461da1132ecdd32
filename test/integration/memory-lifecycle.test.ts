import type { Client } from "@connectrpc/connect";
import { Code, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  eventually,
  type RunningService,
  startService,
} from "../../services/memory/testing/running-service.ts";
import { failure } from "../../services/memory/testing/service-suite.ts";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import type { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { Source, SourceStatus } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { WorkflowStatus } from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import { DependencyType } from "../../shared/gen/mahavishnu/sessionbuddy/v1/project_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import {
  SearchMode,
  VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { contentHash } from "../../shared/hash.ts";
import { Resources } from "../../shared/lifecycle.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { type MemoryPeers, startMemoryPeers } from "../harness/memory-peers.ts";
import { describeEachStore } from "../harness/postgres.ts";

describeEachStore("the life of a memory", (_kind, database) => {
  const resources = new Resources();
  let peers: MemoryPeers;
  let service: RunningService;
  let client: Client<typeof MemoryService>;
  let postgres: Postgres;

  beforeAll(async () => {
    peers = await startMemoryPeers(database().url);
    resources.use("peers", peers);
    service = await startService({ postgresUrl: database().url, env: peers.env });
    resources.use("memory", service);
    client = service.client;
    postgres = database().open({ poolSize: 2 });
  });
  afterAll(() => resources[Symbol.asyncDispose]());

  const store = async (content: string, more: object = {}) => {
    const memory = { content, memoryType: MemoryType.AGENT, agentId: "a", ...more };
    const answer = await client.storeMemory({ memory });
    if (answer.memory === undefined) throw new Error("a store answers its memory");
    return answer.memory;
  };
  const idsFound = async (query: string, more: object = {}) =>
    (await client.unifiedSearch({ query, ...more }, { timeoutMs: 5_000 })).results.map(
      ({ memoryId }) => memoryId,
    );

  /** Every table of the database that holds any of these texts anywhere. */
  async function tablesThatHold(...texts: string[]): Promise<string[]> {
    const { rows } = await postgres.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`,
    );
    const holding: string[] = [];
    for (const { name } of rows) {
      const found = await postgres.query<{ count: number }>(
        `select count(*)::int as count from ${name} as t
         where exists (select from unnest($1::text[]) as x (text) where position(x.text in t::text) > 0)`,
        [texts],
      );
      if ((found.rows[0]?.count ?? 0) > 0) holding.push(name);
    }
    return holding;
  }

  it("a changed content is found by its words and its vector, the old one no more", async () => {
    const { id } = await store("Zebras graze beside the runway.", { agentId: "wild" });
    const changed = { id, content: "Otters swim below the lighthouse." };
    const { embeddingState, memory } = await client.updateMemory({ memory: changed });
    expect(embeddingState).toBe(EmbeddingState.READY);
    expect(await idsFound("otters lighthouse", { agentId: "wild" })).toEqual([id]);
    const [old] = (await client.unifiedSearch({ query: "zebras runway", agentId: "wild" })).results;
    expect(old?.textScore ?? 0).toBe(0);
    expect((await client.listMemoryVersions({ id })).versions).toMatchObject([
      { version: 1, memory: { content: "Zebras graze beside the runway." } },
    ]);
    expect((await client.getMemory({ id })).memory).toEqual(memory);
    // Its scope is what it was: the new content is known there.
    const again = { content: changed.content, memoryType: MemoryType.AGENT, agentId: "wild" };
    expect(await client.storeMemory({ memory: again })).toMatchObject({
      deduplicated: true,
      memory: { id },
    });
    const other = await store("Herons wade in the shallows.", { agentId: "wild" });
    const error = await failure(
      client.updateMemory({ memory: { id: other.id, content: changed.content } }),
    );
    expect(error.code).toBe(Code.AlreadyExists);
  });

  it("a changed content waits for its vector while embedding is away", async () => {
    const { id } = await store("The first draft of the plan.");
    await peers.stop("embedding");
    const { embeddingState, memory } = await client.updateMemory({
      memory: { id, content: "The walrus wrote the second draft." },
    });
    expect(embeddingState).toBe(EmbeddingState.PENDING);
    expect(await idsFound("walrus draft", { agentId: "a" })).toContain(id);
    await peers.restart("embedding");
    await eventually(async () => {
      const read = await client.getMemory({ id });
      return read.embeddingState === EmbeddingState.READY;
    });
    // The vector that came is no change.
    expect((await client.getMemory({ id })).memory?.etag).toBe(memory?.etag);
  }, 60_000);

  describe("a text of 200 KB with one fact in its middle", () => {
    const fact = "The vault of Marrakesh opens with the brass key of the lighthouse keeper.";
    const filler = Array.from(
      { length: 3_400 },
      (_, n) => `Entry ${n} tells of meeting ${n % 37}, budgets, and plans of quarter ${n % 4}. `,
    );
    /** Each under an owner of its own, among short texts of theirs. */
    const content = (owner: string) =>
      [...filler.slice(0, 1_700), owner, ". ", fact, " ", ...filler.slice(1_700)].join("");

    const storeAmongOthers = async (agentId: string) => {
      for (let n = 0; n < 20; n++)
        await store(`Meeting ${n} was about plans and budgets.`, { agentId });
      const text = content(agentId);
      expect(Buffer.byteLength(text)).toBeGreaterThan(200_000);
      return await store(text, { agentId });
    };
    const passageCount = async (id: string) => {
      const { rows } = await postgres.query<{ count: number }>(
        "select count(*)::int as count from memories_passages where document_id = $1",
        [id],
      );
      return rows[0]?.count ?? 0;
    };

    /** What the vector store finds by the query's vector alone. */
    async function byVector(agentId: string) {
      await using embedding = createGrpcTransport({ address: peers.embeddingAddress });
      await using vectorStore = createGrpcTransport({ address: peers.vectorStoreAddress });
      const { embeddings } = await createClient(EmbeddingService, embedding).embed({
        texts: ["brass key of the lighthouse keeper, vault of Marrakesh"],
        task: EmbeddingTask.SEARCH_QUERY,
      });
      const result = embeddings[0]?.result;
      if (result?.case !== "vector") throw new Error("a query has a vector");
      const { hits } = await createClient(VectorStoreService, vectorStore).search({
        mode: SearchMode.VECTOR,
        vector: result.value,
        filter: {
          node: {
            case: "condition",
            value: {
              field: "agent_id",
              test: { case: "equals", value: { kind: { case: "stringValue", value: agentId } } },
            },
          },
        },
      });
      return hits;
    }

    async function expectFound(agentId: string, id: string) {
      const [first, ...others] = await byVector(agentId);
      expect(first?.document?.id).toBe(id);
      expect(others.map((hit) => hit.document?.id)).not.toContain(id);
      const { start = 0, end = 0 } = first?.passage ?? {};
      expect(content(agentId).slice(start, end)).toContain(fact);
      const { results } = await client.unifiedSearch({
        query: "Which key opens the vault of Marrakesh?",
        agentId,
      });
      expect(results[0]).toMatchObject({ memoryId: id, content: content(agentId) });
      expect((await client.getMemory({ id })).memory?.content).toBe(content(agentId));
    }

    it("is found by it, given back whole, and deleted with every trace", async () => {
      const { id } = await storeAmongOthers("archivist");
      await expectFound("archivist", id);
      expect(await passageCount(id)).toBeGreaterThan(40);
      await client.deleteMemory({ id });
      expect(await passageCount(id)).toBe(0);
      expect(await tablesThatHold(id, "archivist. The vault")).toEqual([]);
    }, 60_000);

    it("is found by it once embedding has come back, and by the new one when it changes", async () => {
      await peers.stop("embedding");
      const { id } = await storeAmongOthers("librarian");
      expect(await passageCount(id)).toBe(0);
      await peers.restart("embedding");
      await eventually(async () => {
        return (await client.getMemory({ id })).embeddingState === EmbeddingState.READY;
      });
      await expectFound("librarian", id);
      const before = await passageCount(id);
      await client.updateMemory({ memory: { id, metadata: { shelf: 4 } } });
      expect(await passageCount(id)).toBe(before);
      await client.updateMemory({ memory: { id, content: `Short, without it. ${id}` } });
      expect(await passageCount(id)).toBe(0);
      await client.deleteMemory({ id });
      expect(await tablesThatHold(id, "librarian. The vault")).toEqual([]);
    }, 60_000);
  });

  it("loses no update to another one, however many come at once", async () => {
    const { id } = await store("counted", { metadata: { n: 0 } });
    const increments = 12;
    const increment = async () => {
      for (let tries = 0; tries < 200; tries++) {
        const { memory } = await client.getMemory({ id });
        const n = Number(memory?.metadata?.["n"]) + 1;
        try {
          await client.updateMemory({
            memory: { id, metadata: { n } },
            etag: memory?.etag ?? "",
          });
          return;
        } catch (error) {
          expect((error as { code: Code }).code).toBe(Code.Aborted);
        }
      }
      throw new Error("never got through");
    };
    await Promise.all(Array.from({ length: increments }, increment));
    const { memory } = await client.getMemory({ id });
    expect(memory?.metadata).toEqual({ n: increments });
    const { versions } = await client.listMemoryVersions({ id, pageSize: 1_000 });
    expect(versions.map(({ memory: was }) => was?.metadata?.["n"])).toEqual(
      Array.from({ length: increments }, (_, k) => increments - 1 - k),
    );
  }, 60_000);

  it("stores thousands in one stream, each with its own outcome, and equal ones once", async () => {
    const requestCount = 20;
    const perRequest = 100;
    const requests = async function* () {
      for (let at = 0; at < requestCount; at++) {
        const memories = Array.from({ length: perRequest }, (_, n) => ({
          // Each request repeats the last of the one before, and has one that is not valid.
          content: n === 50 ? "" : `stream memory ${at * (perRequest - 1) + n}`,
          memoryType: MemoryType.RAG,
          repoId: "stream",
        }));
        yield { sequence: BigInt(at), memories };
      }
    };
    const sequences = new Set<bigint>();
    const ids = new Set<string>();
    let refused = 0;
    let deduplicated = 0;
    for await (const { sequence, results, error } of client.bulkStore(requests())) {
      expect(error).toBeUndefined();
      expect(results).toHaveLength(perRequest);
      sequences.add(sequence);
      results.forEach((result, n) => {
        if (result.error !== undefined) {
          expect(n).toBe(50);
          expect(result.error.field).toBe("memories[50].content");
          refused += 1;
        } else ids.add(result.id);
        if (result.deduplicated) deduplicated += 1;
      });
    }
    expect(sequences.size).toBe(requestCount);
    expect(refused).toBe(requestCount);
    expect(deduplicated).toBe(requestCount - 1);
    expect(ids.size).toBe(requestCount * (perRequest - 1) - (requestCount - 1));
    const { rows } = await postgres.query<{ count: number }>(
      "select count(*)::int as count from memories where repo_id = 'stream'",
    );
    expect(rows[0]?.count).toBe(ids.size);
  }, 60_000);

  it("lists by time, in pages", async () => {
    const ids: string[] = [];
    for (const day of [3, 1, 2]) {
      const createTime = { seconds: BigInt(day) * 86_400n, nanos: 0 };
      const { id } = await store(`entry of day ${day}`, { agentId: "diary", createTime });
      ids.push(id);
    }
    const filter = {
      node: {
        case: "condition" as const,
        value: {
          field: "agent_id",
          test: {
            case: "equals" as const,
            value: { kind: { case: "stringValue" as const, value: "diary" } },
          },
        },
      },
    };
    const listed: string[] = [];
    let pageToken = "";
    do {
      const page = await client.listMemories({
        filter,
        pageSize: 2,
        pageToken,
        orderBy: "create_time desc",
      });
      listed.push(...page.memories.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(listed).toEqual([ids[0], ids[2], ids[1]]);
    const first = await client.listMemories({ filter, pageSize: 1, orderBy: "create_time" });
    const mixed = { filter, pageToken: first.nextPageToken, orderBy: "update_time" };
    expect((await failure(client.listMemories(mixed))).code).toBe(Code.InvalidArgument);
    const unknown = await failure(client.listMemories({ orderBy: "content" }));
    expect(unknown.code).toBe(Code.InvalidArgument);
  });

  it("is over when it is deleted: no table holds a word, an id or a hash of it", async () => {
    const marker = "xyzzy4711";
    const contents = [`${marker} was said`, `${marker} was noted`, `${marker} was noted anew`];
    const told = `★ Insight ─────\nKnow that ${marker} opens the door.\n─────`;
    const [said = "", noted = "", anew = ""] = contents;
    const turn = await client.storeConversationTurn({
      agentId: "a",
      sessionId: "s",
      role: Role.USER,
      content: said,
      metadata: { marker },
      requestId: "turn-1",
    });
    const kept = await client.storeMemory({
      memory: { content: noted, memoryType: MemoryType.RAG, metadata: { marker } },
      requestId: "store-1",
    });
    const telling = await store(told);
    const { execution } = await client.recordWorkflowExecution({
      execution: {
        workflowId: `wf-${marker}`,
        adapter: "prefect",
        status: WorkflowStatus.COMPLETED,
        summary: `${marker} was run`,
      },
    });
    const keptId = kept.memory?.id ?? "";
    await client.updateMemory({ memory: { id: keptId, content: anew } });
    await client.updateMemory({ memory: { id: keptId, metadata: { marker, again: true } } });
    // And one that still waits for a vector.
    await peers.stop("embedding");
    const waiting = await store(`${marker} waits`);
    const ids = [turn.memoryId, keptId, telling.id, execution?.memoryId ?? "", waiting.id];
    expect(await tablesThatHold(marker)).toEqual(
      expect.arrayContaining([
        "public.agent_conversations",
        "public.memories",
        "public.memory_versions",
        "public.workflow_executions",
      ]),
    );
    for (const id of ids) expect((await client.deleteMemory({ id })).deleted).toBe(true);
    // The insight that was told is a memory of its own.
    const bySearch = (await client.unifiedSearch({ query: marker, sources: [Source.POSTGRESQL] }))
      .results;
    const left = bySearch.filter(({ content }) => content.includes(marker));
    expect(left).toMatchObject([{ memoryType: MemoryType.INSIGHT }]);
    const insightId = left[0]?.memoryId ?? "";
    expect((await client.deleteMemory({ id: insightId })).deleted).toBe(true);
    await peers.restart("embedding");
    // Marks of deletion name an id until no write of it can be on its way any more.
    await postgres.query("update memory_outbox set available_at = now()");
    const hashes = contents.map(contentHash);
    const traces = [marker, ...ids, insightId, turn.turn?.id ?? "", ...hashes];
    await eventually(async () => (await tablesThatHold(...traces)).length === 0);
    const { results } = await client.unifiedSearch({ query: marker, sources: [Source.POSTGRESQL] });
    for (const { content } of results) expect(content).not.toContain(marker);
    for (const id of [...ids, insightId]) {
      expect((await failure(client.getMemory({ id }))).code).toBe(Code.NotFound);
      expect((await failure(client.listMemoryVersions({ id }))).code).toBe(Code.NotFound);
    }
    expect((await client.listConversationTurns({ sessionId: "s" })).turns).toEqual([]);
    // A late repetition brings nothing back.
    const repeated = await failure(
      client.storeMemory({
        memory: { content: noted, memoryType: MemoryType.RAG, metadata: { marker } },
        requestId: "store-1",
      }),
    );
    expect(repeated.code).toBe(Code.NotFound);
  }, 60_000);

  it("ends with its ttl, unless it is pinned", async () => {
    const ttl = { seconds: 1n };
    const answer = (content: string, more: object) =>
      client.storeMemory({ memory: { content, memoryType: MemoryType.RAG, ...more }, ttl });
    const { memory } = await answer("A heron waits by the weir.", {});
    const id = memory?.id ?? "";
    expect(memory?.expireTime).toBeDefined();
    await eventually(async () => !(await idsFound("heron weir")).includes(id));
    expect((await failure(client.getMemory({ id }))).code).toBe(Code.NotFound);
    const pinned = await store("A stork waits by the weir.", { pinned: true });
    expect(pinned.expireTime).toBeUndefined();
    expect(await idsFound("stork weir")).toContain(pinned.id);
  }, 30_000);

  it("counts less with age where that is asked for, unless it is pinned", async () => {
    const old = { seconds: BigInt(Math.floor(Date.now() / 1_000) - 90 * 86_400) };
    const aged = await store("The bittern report, first.", { createTime: old });
    const kept = await store("The bittern report, again.", { createTime: old, pinned: true });
    const fresh = await store("The bittern report, now.");
    const scores = async (more: object) => {
      const { results } = await client.unifiedSearch({ query: "bittern report", ...more });
      return new Map(results.map(({ memoryId, score }) => [memoryId, score]));
    };
    const plain = await scores({});
    const byAge = await scores({ recencyHalfLife: { seconds: 30n * 86_400n } });
    const factor = ({ id }: { id: string }) => (byAge.get(id) ?? 0) / (plain.get(id) ?? 0);
    // Three half-lives.
    expect(factor(aged)).toBeCloseTo(1 / 8, 3);
    expect(factor(kept)).toBe(1);
    expect(factor(fresh)).toBeCloseTo(1, 3);
  });

  it("is not deleted by an empty filter", async () => {
    const { id } = await store("Nobody asked for everything to go.");
    for (const filter of [undefined, {}, { node: { case: undefined } }]) {
      const error = await failure(client.deleteMemories({ ...(filter && { filter }) }));
      expect(error.code).toBe(Code.InvalidArgument);
    }
    expect((await client.getMemory({ id })).memory?.id).toBe(id);
  });

  describe("projects", () => {
    it("are related through Session-Buddy, and found in both stores", async () => {
      await client.createProjectGroup({
        group: { name: "payments", description: "", projects: ["checkout", "ledger"] },
      });
      await client.addProjectDependency({
        dependency: {
          sourceProject: "checkout",
          targetProject: "vault",
          dependencyType: DependencyType.USES,
        },
      });
      expect((await client.listProjectGroups({ project: "ledger" })).groups).toMatchObject([
        { name: "payments", projects: ["checkout", "ledger"] },
      ]);
      const insight = "Rotate the signing keys of the payment gateway every quarter.";
      const { insights } = await client.shareInsight({
        workflowId: "rotate.7",
        insight,
        targetRepos: ["vault", "ledger"],
      });
      expect(insights).toHaveLength(2);
      for (const repoId of ["checkout", "ledger", "elsewhere"]) {
        await store(`Payment gateway notes of ${repoId}.`, { repoId });
      }
      await eventually(async () => {
        const { results } = await client.searchProjects({ query: insight, project: "checkout" });
        return results[0]?.result?.foundIn.length === 2;
      });
      const answer = await client.searchProjects(
        { query: "payment gateway keys", project: "checkout" },
        { timeoutMs: 10_000 },
      );
      expect(answer.projects.map(({ project, relations }) => [project, ...relations])).toEqual([
        ["checkout", "own"],
        ["vault", "uses"],
        ["ledger", "group payments"],
      ]);
      const found = answer.results.map(({ project, relations, result }) => [
        project,
        relations[0],
        result?.content,
      ]);
      expect(found).toContainEqual(["checkout", "own", "Payment gateway notes of checkout."]);
      expect(found).toContainEqual([
        "ledger",
        "group payments",
        "Payment gateway notes of ledger.",
      ]);
      expect(found.map(([, , content]) => content)).toContain(insight);
      expect(found.map(([project]) => project)).not.toContain("elsewhere");
      // Each of the targets has learnt it.
      for (const repoId of ["vault", "ledger"]) {
        expect(
          (await client.unifiedSearch({ query: insight, repoId, sources: [Source.POSTGRESQL] }))
            .results[0]?.content,
        ).toBe(insight);
      }
      const shared = answer.results.find(({ result }) => result?.content === insight);
      expect(shared?.result?.metadata).toMatchObject({
        doc_type: "cross_project_workflow",
        share_type: "dependency_aware",
        workflow_id: "rotate.7",
      });
      expect(shared?.relation).toMatchObject({ sourceProject: "checkout", targetProject: "vault" });
      await peers.stop("sessionBuddy");
      const alone = await client.searchProjects({ query: "payment", project: "checkout" });
      expect(alone.sourceReports.map(({ status }) => status)).toEqual([
        SourceStatus.DEGRADED,
        SourceStatus.FAILED,
      ]);
      expect(alone.results.map(({ project }) => project)).toEqual(["checkout"]);
      await peers.restart("sessionBuddy");
    }, 60_000);
  });
});
