import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { eventually } from "../../services/memory/testing/running-service.ts";
import { failure } from "../../services/memory/testing/service-suite.ts";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { Source } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { WorkflowStatus } from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { contentHash } from "../../shared/hash.ts";
import { MemorySuite } from "../harness/memory-suite.ts";
import { describeEachStore } from "../harness/postgres.ts";

const { SESSION_BUDDY } = Source;

describeEachStore("the life of a memory", (_kind, database) => {
  const suite = new MemorySuite(database);
  const { store, tablesThatHold } = suite;
  const idsFound = async (query: string, more: object = {}) =>
    (await suite.client.unifiedSearch({ query, ...more }, { timeoutMs: 5_000 })).results.map(
      ({ memoryId }) => memoryId,
    );

  it("a changed content is found by its words and its vector, the old one no more", async () => {
    const { id } = await store("Zebras graze beside the runway.", { agentId: "wild" });
    const changed = { id, content: "Otters swim below the lighthouse." };
    const { embeddingState, memory } = await suite.client.updateMemory({ memory: changed });
    expect(embeddingState).toBe(EmbeddingState.READY);
    expect(await idsFound("otters lighthouse", { agentId: "wild" })).toEqual([id]);
    const [old] = (await suite.client.unifiedSearch({ query: "zebras runway", agentId: "wild" }))
      .results;
    expect(old?.textScore ?? 0).toBe(0);
    expect((await suite.client.listMemoryVersions({ id })).versions).toMatchObject([
      { version: 1, memory: { content: "Zebras graze beside the runway." } },
    ]);
    expect((await suite.client.getMemory({ id })).memory).toEqual(memory);
    // Its scope is what it was: the new content is known there.
    const again = { content: changed.content, memoryType: MemoryType.AGENT, agentId: "wild" };
    expect(await suite.client.storeMemory({ memory: again })).toMatchObject({
      deduplicated: true,
      memory: { id },
    });
    const other = await store("Herons wade in the shallows.", { agentId: "wild" });
    const error = await failure(
      suite.client.updateMemory({ memory: { id: other.id, content: changed.content } }),
    );
    expect(error.code).toBe(Code.AlreadyExists);
  });

  it("a changed content waits for its vector while embedding is away", async () => {
    const { id } = await store("The first draft of the plan.");
    await suite.peers.stop("embedding");
    const { embeddingState, memory } = await suite.client.updateMemory({
      memory: { id, content: "The walrus wrote the second draft." },
    });
    expect(embeddingState).toBe(EmbeddingState.PENDING);
    expect(await idsFound("walrus draft", { agentId: "a" })).toContain(id);
    await suite.peers.restart("embedding");
    await eventually(async () => {
      const read = await suite.client.getMemory({ id });
      return read.embeddingState === EmbeddingState.READY;
    });
    // The vector that came is no change.
    expect((await suite.client.getMemory({ id })).memory?.etag).toBe(memory?.etag);
  }, 60_000);

  it("loses no update to another one, however many come at once", async () => {
    const { id } = await store("counted", { metadata: { n: 0 } });
    const increments = 12;
    const increment = async () => {
      for (let tries = 0; tries < 200; tries++) {
        const { memory } = await suite.client.getMemory({ id });
        const n = Number(memory?.metadata?.["n"]) + 1;
        try {
          await suite.client.updateMemory({
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
    const { memory } = await suite.client.getMemory({ id });
    expect(memory?.metadata).toEqual({ n: increments });
    const { versions } = await suite.client.listMemoryVersions({ id, pageSize: 1_000 });
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
    for await (const { sequence, results, error } of suite.client.bulkStore(requests())) {
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
    const { rows } = await suite.postgres.query<{ count: number }>(
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
      const page = await suite.client.listMemories({
        filter,
        pageSize: 2,
        pageToken,
        orderBy: "create_time desc",
      });
      listed.push(...page.memories.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(listed).toEqual([ids[0], ids[2], ids[1]]);
    const first = await suite.client.listMemories({ filter, pageSize: 1, orderBy: "create_time" });
    const mixed = { filter, pageToken: first.nextPageToken, orderBy: "update_time" };
    expect((await failure(suite.client.listMemories(mixed))).code).toBe(Code.InvalidArgument);
    const unknown = await failure(suite.client.listMemories({ orderBy: "content" }));
    expect(unknown.code).toBe(Code.InvalidArgument);
  });

  it("is over when it is deleted: no table holds a word, an id or a hash of it", async () => {
    const marker = "xyzzy4711";
    const contents = [`${marker} was said`, `${marker} was noted`, `${marker} was noted anew`];
    const told = `★ Insight ─────\nKnow that ${marker} opens the door.\n─────`;
    const [said = "", noted = "", anew = ""] = contents;
    const turn = await suite.client.storeConversationTurn({
      agentId: "a",
      sessionId: "s",
      role: Role.USER,
      content: said,
      metadata: { marker },
      requestId: "turn-1",
    });
    const kept = await suite.client.storeMemory({
      memory: { content: noted, memoryType: MemoryType.RAG, metadata: { marker } },
      requestId: "store-1",
    });
    const telling = await store(told);
    const { execution } = await suite.client.recordWorkflowExecution({
      execution: {
        workflowId: `wf-${marker}`,
        adapter: "prefect",
        status: WorkflowStatus.COMPLETED,
        summary: `${marker} was run`,
      },
    });
    const keptId = kept.memory?.id ?? "";
    await suite.client.updateMemory({ memory: { id: keptId, content: anew } });
    await suite.client.updateMemory({ memory: { id: keptId, metadata: { marker, again: true } } });
    // And one that still waits for a vector.
    await suite.peers.stop("embedding");
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
    for (const id of ids) expect((await suite.client.deleteMemory({ id })).deleted).toBe(true);
    // The insight that was told is a memory of its own.
    const bySearch = (
      await suite.client.unifiedSearch({ query: marker, sources: [Source.POSTGRESQL] })
    ).results;
    const left = bySearch.filter(({ content }) => content.includes(marker));
    expect(left).toMatchObject([{ memoryType: MemoryType.INSIGHT }]);
    const insightId = left[0]?.memoryId ?? "";
    expect((await suite.client.deleteMemory({ id: insightId })).deleted).toBe(true);
    await suite.peers.restart("embedding");
    // Marks of deletion name an id until no write of it can be on its way any more.
    await suite.postgres.query("update memory_outbox set available_at = now()");
    const hashes = contents.map(contentHash);
    const traces = [marker, ...ids, insightId, turn.turn?.id ?? "", ...hashes];
    await eventually(async () => (await tablesThatHold(...traces)).length === 0);
    const { results } = await suite.client.unifiedSearch({
      query: marker,
      sources: [Source.POSTGRESQL],
    });
    for (const { content } of results) expect(content).not.toContain(marker);
    for (const id of [...ids, insightId]) {
      expect((await failure(suite.client.getMemory({ id }))).code).toBe(Code.NotFound);
      expect((await failure(suite.client.listMemoryVersions({ id }))).code).toBe(Code.NotFound);
    }
    expect((await suite.client.listConversationTurns({ sessionId: "s" })).turns).toEqual([]);
    // A late repetition brings nothing back.
    const repeated = await failure(
      suite.client.storeMemory({
        memory: { content: noted, memoryType: MemoryType.RAG, metadata: { marker } },
        requestId: "store-1",
      }),
    );
    expect(repeated.code).toBe(Code.NotFound);
  }, 60_000);

  it("leaves what Session-Buddy was told of it there, and nothing of it in PostgreSQL", async () => {
    const insight = "Kakapo4712 nests are counted at dusk.";
    const telling = await store(`Noted.\n\n★ Insight ─────\n${insight}\n─────`);
    const found = async () =>
      (await suite.client.unifiedSearch({ query: insight }, { timeoutMs: 5_000 })).results.filter(
        ({ content }) => content.includes("Kakapo4712"),
      );
    await eventually(async () =>
      (await found()).some(({ content, foundIn }) => content === insight && foundIn.length === 2),
    );
    const insightId = (await found()).find(({ content }) => content === insight)?.memoryId ?? "";
    for (const id of [telling.id, insightId]) {
      expect((await suite.client.deleteMemory({ id })).deleted).toBe(true);
    }
    expect(await found()).toMatchObject([
      { content: insight, source: SESSION_BUDDY, foundIn: [SESSION_BUDDY], memoryId: "" },
    ]);
    // Marks of deletion name an id until no write of it can be on its way any more.
    await suite.postgres.query("update memory_outbox set available_at = now()");
    await eventually(
      async () => (await tablesThatHold("Kakapo4712", telling.id, insightId)).length === 0,
    );
  }, 60_000);

  it("ends with its ttl, unless it is pinned", async () => {
    // Long enough to be pinned within it.
    const ttl = { seconds: 5n };
    const answer = async (content: string) => {
      const memory = { content, memoryType: MemoryType.RAG };
      const stored = await suite.client.storeMemory({ memory, ttl });
      expect(stored.memory?.expireTime).toBeDefined();
      return stored.memory?.id ?? "";
    };
    const keptId = await answer("A stork waits by the weir.");
    const { memory: pinned } = await suite.client.updateMemory({
      memory: { id: keptId, pinned: true },
    });
    expect(pinned?.expireTime).toBeUndefined();
    // Stored later, so that when it is gone the time of the pinned one is over, too.
    const goneId = await answer("A heron waits by the weir.");
    await eventually(async () => !(await idsFound("heron weir")).includes(goneId));
    expect((await failure(suite.client.getMemory({ id: goneId }))).code).toBe(Code.NotFound);
    expect((await suite.client.getMemory({ id: keptId })).memory).toEqual(pinned);
    expect(await idsFound("stork weir")).toContain(keptId);
  }, 30_000);

  it("counts less with age where that is asked for, unless it is pinned", async () => {
    const old = { seconds: BigInt(Math.floor(Date.now() / 1_000) - 90 * 86_400) };
    const aged = await store("The bittern report, first.", { createTime: old });
    const kept = await store("The bittern report, again.", { createTime: old, pinned: true });
    const fresh = await store("The bittern report, now.");
    const scores = async (more: object) => {
      const { results } = await suite.client.unifiedSearch({ query: "bittern report", ...more });
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
      const error = await failure(suite.client.deleteMemories({ ...(filter && { filter }) }));
      expect(error.code).toBe(Code.InvalidArgument);
    }
    expect((await suite.client.getMemory({ id })).memory?.id).toBe(id);
  });
});
