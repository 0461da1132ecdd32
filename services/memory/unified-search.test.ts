import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { Source, SourceStatus } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { RecordKind } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { SearchMode } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { reasonOf } from "../../shared/rpc/peer-errors.ts";
import { agentMemory, failure, fieldsOf, lesson, ServiceSuite } from "./testing/service-suite.ts";

const { POSTGRESQL, SESSION_BUDDY } = Source;
const { OK, DEGRADED, FAILED, SKIPPED } = SourceStatus;

const suite = new ServiceSuite();

const tell = () =>
  suite.client.storeConversationTurn({
    agentId: "a",
    sessionId: "s",
    role: Role.ASSISTANT,
    content: `★ Insight ─────\n${lesson}\n─────`,
    repoId: "r",
  });
const search = (more: object = {}, timeoutMs = 1_000) =>
  suite.client.unifiedSearch({ query: "binary unnest", ...more }, { timeoutMs });
const statuses = async (more: object = {}) =>
  (await search(more)).sourceReports.map(({ status }) => status);

describe("one question", () => {
  it("is answered from both sources in one list, equal contents once", async () => {
    await tell();
    const { results, sourceReports } = await search();
    expect(sourceReports).toMatchObject([
      { source: POSTGRESQL, status: OK, resultCount: 2, message: "" },
      { source: SESSION_BUDDY, status: OK, resultCount: 1, message: "" },
    ]);
    expect(sourceReports.every(({ latency }) => latency !== undefined)).toBe(true);
    expect(results.map(({ memoryType, foundIn }) => [memoryType, foundIn])).toEqual(
      expect.arrayContaining([
        [MemoryType.INSIGHT, [SESSION_BUDDY, POSTGRESQL]],
        [MemoryType.AGENT, [POSTGRESQL]],
      ]),
    );
    expect(results).toHaveLength(2);
    expect(results.find((one) => one.memoryType === MemoryType.INSIGHT)).toMatchObject({
      score: 1,
      source: SESSION_BUDDY,
      memoryId: expect.stringMatching(/./),
      sourceSystem: "mahavishnu",
      repoId: "r",
    });
  });

  it("is answered by as many of the best results as one message can carry", async () => {
    const large = "x".repeat(1024 * 1024 - 64);
    for (let n = 0; n < 18; n++) {
      const words = n === 7 ? "binary unnest" : "binary";
      await suite.client.storeMemory(agentMemory(`${words} ${n} ${large}`));
    }
    const { results, sourceReports, nextPageToken } = await search({ limit: 20 }, 20_000);
    expect(sourceReports[0]).toMatchObject({ status: OK, resultCount: 18 });
    expect(results).toHaveLength(14);
    expect(nextPageToken).not.toBe("");
    const next = await search({ limit: 20, pageToken: nextPageToken }, 20_000);
    expect(next.results).toHaveLength(4);
    expect(next.nextPageToken).toBe("");
    expect(results[0]?.content.slice(0, 15)).toBe("binary unnest 7");
  });

  it("goes to both with the query's vector and model", async () => {
    await tell();
    await search({ repoId: "r", minScore: 0.25, limit: 3 });
    expect(suite.peers.vectorStore.searches).toMatchObject([
      { mode: SearchMode.HYBRID, model: "fake-model", limit: 36, minScore: 0 },
    ]);
    expect(suite.peers.bridgeSearches).toMatchObject([
      { query: "binary unnest", model: "fake-model", project: "r", limit: 13, minScore: 0 },
    ]);
    expect(suite.peers.bridgeSearches[0]?.vector?.values).toHaveLength(4);
  });

  it("is embedded once, however many searches come of it", async () => {
    await tell();
    const query = "binary unnest yesterday";
    const asked = suite.peers.embedCalls;
    await search({ query });
    expect(suite.peers.embedCalls).toBe(asked + 1);
    expect(suite.peers.embedded.filter((text) => text === query)).toHaveLength(1);
    // All times and the one that is named.
    expect(suite.peers.vectorStore.searches).toHaveLength(2);
    const all = [...suite.peers.vectorStore.searches, ...suite.peers.bridgeSearches];
    expect(all.map(({ vector }) => vector?.values[3])).toEqual(all.map(() => query.length));
    expect(all).toHaveLength(3);
  });

  it("goes to both at the same time", async () => {
    await tell();
    const store = Promise.withResolvers<void>();
    const bridge = Promise.withResolvers<void>();
    // Each answers only once the other is asked.
    suite.peers.vectorStore.beforeSearch = () => {
      store.resolve();
      return bridge.promise;
    };
    suite.peers.beforeBridgeSearch = () => {
      bridge.resolve();
      return store.promise;
    };
    const { sourceReports } = await search({}, 10_000);
    expect(sourceReports).toMatchObject([
      { source: POSTGRESQL, status: OK, resultCount: 2 },
      { source: SESSION_BUDDY, status: OK, resultCount: 1 },
    ]);
  });

  it("asks for more than is wanted only where a lower hit may come up", async () => {
    const asked = async (more: object) => {
      await search({ limit: 40, ...more });
      const limits = [suite.peers.vectorStore.searches, suite.peers.bridgeSearches].map(
        (searches) => searches.at(-1)?.limit,
      );
      return limits;
    };
    expect(await asked({})).toEqual([50, 50]);
    // Turns come up by their neighbours.
    await tell();
    expect(await asked({})).toEqual([110, 50]);
    expect(await asked({ memoryTypes: [MemoryType.AGENT] })).toEqual([110, 50]);
    expect(await asked({ memoryTypes: [MemoryType.INSIGHT] })).toEqual([50, 50]);
    expect(await asked({ query: "what was said yesterday" })).toEqual([110, 110]);
    expect(await asked({ recencyHalfLife: { seconds: 60n } })).toEqual([120, 120]);
  });

  it("carries every narrowing to the store as one filter", async () => {
    await search({
      memoryTypes: [MemoryType.AGENT, MemoryType.INSIGHT],
      agentId: "a",
      repoId: "r",
      workflowId: "w",
      sessionId: "s",
      filter: {
        node: {
          case: "condition",
          value: { field: "metadata.n", test: { case: "exists", value: true } },
        },
      },
    });
    const node = suite.peers.vectorStore.searches[0]?.filter?.node;
    const all = node?.case === "allOf" ? node.value.filters : [];
    expect(all.map((one) => one.node.case === "condition" && one.node.value.field)).toEqual([
      "memory_type",
      "agent_id",
      "workflow_id",
      "repo_id",
      "metadata.session_id",
      "metadata.n",
    ]);
  });

  it("narrows the bridge's kinds by memory types", async () => {
    await search({ memoryTypes: [MemoryType.AGENT, MemoryType.RAG] });
    await search({ memoryTypes: [MemoryType.INSIGHT] });
    await search({ memoryTypes: [MemoryType.UNSPECIFIED] });
    expect(suite.peers.bridgeSearches.map(({ kinds }) => kinds)).toEqual([
      [RecordKind.CONVERSATION],
      [RecordKind.REFLECTION, RecordKind.INSIGHT, RecordKind.ENTITY],
      [],
    ]);
  });

  it.each([
    ["agentId", "a"],
    ["workflowId", "w"],
    ["sessionId", "s"],
    ["memoryTypes", [MemoryType.RAG]],
    ["sources", [POSTGRESQL]],
    [
      "filter",
      {
        node: {
          case: "condition",
          value: { field: "vector", test: { case: "exists", value: true } },
        },
      },
    ],
  ])("skips Session-Buddy, which cannot tell, when %s is given", async (field, value) => {
    const { sourceReports } = await search({ [field]: value });
    expect(sourceReports).toMatchObject([
      { status: OK },
      { status: SKIPPED, resultCount: 0, message: expect.stringMatching(/./) },
    ]);
    expect(suite.peers.bridgeSearches).toEqual([]);
  });

  it("asks the sources that are named", async () => {
    expect(await statuses({ sources: [SESSION_BUDDY] })).toEqual([SKIPPED, OK]);
    // An empty filter is no condition.
    expect(await statuses({ filter: {} })).toEqual([OK, OK]);
  });

  it("names every field that is wrong at once", async () => {
    const error = await failure(
      search({ query: "", memoryTypes: [9], sources: [0], limit: 1_001, minScore: 2 }),
    );
    expect(fieldsOf(error)).toEqual([
      "query",
      "memory_types[0]",
      "sources[0]",
      "min_score",
      "limit",
    ]);
  });

  it("takes any text", async () => {
    for (const query of ["\0 & | ! :*", "' or 1=1 --", "狐", "\u202e", "%s"]) {
      expect((await search({ query })).sourceReports).toHaveLength(2);
    }
  });
});

describe("what is down", () => {
  it.each(["down", "silent", "broken"] as const)(
    "costs a %s bridge's results and nothing else",
    async (mood) => {
      await tell();
      suite.peers.moods.sessionBuddy = mood;
      const { results, sourceReports } = await search();
      expect(sourceReports).toMatchObject([
        { status: OK },
        { status: FAILED, resultCount: 0, message: expect.not.stringContaining("secrets") },
      ]);
      expect(results.length).toBeGreaterThan(0);
    },
  );

  it("costs a silent store's results, and the bridge answers in time", async () => {
    await tell();
    suite.peers.moods.vectorStore = "silent";
    const { results, sourceReports } = await search();
    expect(sourceReports).toMatchObject([{ status: FAILED }, { status: OK }]);
    expect(results).toMatchObject([{ source: SESSION_BUDDY, content: lesson }]);
  });

  it.each(["down", "silent", "broken"] as const)(
    "makes the search one by words when embedding is %s",
    async (mood) => {
      await tell();
      suite.peers.moods.embedding = mood;
      const { results, sourceReports } = await search();
      expect(sourceReports).toMatchObject([
        { status: DEGRADED, message: expect.stringContaining("words") },
        { status: DEGRADED, message: expect.stringContaining("words") },
      ]);
      expect(results.length).toBeGreaterThan(0);
      expect(suite.peers.vectorStore.searches[0]).toMatchObject({
        mode: SearchMode.TEXT,
        model: "",
      });
    },
  );

  it("makes searches ones by words at once when embedding failed repeatedly", async () => {
    await tell();
    suite.peers.moods.embedding = "down";
    for (let n = 0; n < 3; n++) await search();
    const asked = suite.peers.embedCalls;
    const { results, sourceReports } = await search();
    for (const report of sourceReports) {
      expect(report).toMatchObject({
        status: DEGRADED,
        message: expect.stringContaining("embedding failed repeatedly and is left alone"),
      });
    }
    expect(results.length).toBeGreaterThan(0);
    expect(suite.peers.embedCalls).toBe(asked);
    // What is stored asks nevertheless: it gets its vector as soon as there is one to be had.
    suite.peers.moods.embedding = "up";
    const { embeddingState } = await suite.client.storeMemory(agentMemory("stored meanwhile"));
    expect(embeddingState).toBe(EmbeddingState.READY);
  });

  it("makes the search one by words when the collection refuses the model", async () => {
    await tell();
    suite.peers.vectorStore.toldModel = "";
    suite.peers.model = "other-model";
    expect(await statuses()).toEqual([DEGRADED, OK]);
  });

  it("fails the call only when all that was asked failed", async () => {
    suite.peers.moods.vectorStore = "down";
    suite.peers.moods.sessionBuddy = "broken";
    const error = await failure(search());
    expect(error.code).toBe(Code.Unavailable);
    expect(reasonOf(error)).toBe("ALL_SOURCES_FAILED");
    expect(error.rawMessage).not.toContain("secrets");
    expect(reasonOf(await failure(search({ agentId: "a" })))).toBe("ALL_SOURCES_FAILED");
    suite.peers.moods.sessionBuddy = "up";
    expect(await statuses()).toEqual([FAILED, OK]);
  });
});

describe("switches", () => {
  it("leave Session-Buddy out", async () => {
    await suite.start({ MAHAVISHNU_ENABLE_REFLECTION_SEARCH: "false" });
    expect(await statuses()).toEqual([OK, SKIPPED]);
  });

  it("leave types out", async () => {
    await suite.start({ MAHAVISHNU_ENABLE_RAG_SEARCH: "false" });
    await search({ filter: {} });
    const node = suite.peers.vectorStore.searches[0]?.filter?.node;
    const test = node?.case === "condition" ? node.value.test : undefined;
    const values = test?.case === "oneOf" ? test.value.values : [];
    expect(values.map(({ kind }) => kind.value)).toEqual(["agent", "workflow", "insight"]);
  });

  it("that leave types out are named: refused alone, less than asked for beside others", async () => {
    await suite.start({
      MAHAVISHNU_ENABLE_RAG_SEARCH: "false",
      MAHAVISHNU_ENABLE_AGENT_MEMORY: "false",
    });
    for (const [memoryType, name] of [
      [MemoryType.RAG, "enable_rag_search"],
      [MemoryType.AGENT, "enable_agent_memory"],
    ] as const) {
      const error = await failure(search({ memoryTypes: [memoryType] }));
      expect(error.code).toBe(Code.FailedPrecondition);
      expect(reasonOf(error)).toBe("SWITCHED_OFF");
      expect(error.findDetails(ErrorInfoSchema)[0]?.metadata["switch"]).toBe(name);
    }
    const rag = /rag by enable_rag_search/;
    const agent = /agent by enable_agent_memory/;
    const reports = async (...memoryTypes: MemoryType[]) =>
      (await search({ memoryTypes })).sourceReports;
    expect(await reports(MemoryType.RAG, MemoryType.WORKFLOW)).toMatchObject([
      { status: DEGRADED, message: expect.stringMatching(rag) },
      { status: SKIPPED },
    ]);
    expect(await reports(MemoryType.INSIGHT, MemoryType.RAG, MemoryType.AGENT)).toMatchObject([
      { status: DEGRADED, message: expect.stringMatching(agent) },
      { status: DEGRADED, message: expect.stringMatching(agent) },
    ]);
    // Whoever asks for all types gets all that there are; what is switched off is only named.
    const [ours, theirs] = await reports();
    expect(ours).toMatchObject({ status: OK, message: expect.stringMatching(rag) });
    expect(theirs).toMatchObject({ status: OK, message: expect.not.stringMatching(rag) });
    expect(await reports(MemoryType.INSIGHT)).toMatchObject([
      { status: OK, message: "" },
      { status: OK, message: "" },
    ]);
  });
});
