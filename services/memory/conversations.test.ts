import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { InsightDelivery, Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { reasonOf } from "../../shared/rpc/peer-errors.ts";
import { eventually } from "./testing/running-service.ts";
import {
  agentMemory,
  failure,
  fieldsOf,
  lesson,
  ServiceSuite,
  telling,
  turnOf,
} from "./testing/service-suite.ts";

const suite = new ServiceSuite();

describe("conversation turns", () => {
  it("are stored in order and searchable", async () => {
    for (const [content, role] of [
      ["hello", Role.USER],
      ["good day", Role.ASSISTANT],
    ] as const) {
      await suite.client.storeConversationTurn(
        turnOf(content, { role, metadata: { mood: "calm", session_id: "forged" }, repoId: "r" }),
      );
    }
    const turns = await suite.listTurns();
    expect(turns.map(({ sequence, content, role }) => [sequence, content, role])).toEqual([
      [1n, "hello", Role.USER],
      [2n, "good day", Role.ASSISTANT],
    ]);
    expect(turns[0]?.metadata).toEqual({ mood: "calm", session_id: "forged" });
    const { memory } = await suite.client.getMemory({ id: turns[0]?.memoryId ?? "" });
    expect(memory).toMatchObject({
      content: "hello",
      memoryType: MemoryType.AGENT,
      agentId: "a",
      repoId: "r",
      metadata: { mood: "calm", session_id: "s", role: "user", turn_id: turns[0]?.id },
    });
  });

  it("have memories whose ids are new, as those that a caller gives need not be", async () => {
    const { idsWereNew } = suite.peers.vectorStore;
    const before = idsWereNew.length;
    await suite.client.storeConversationTurn(turnOf("hello"));
    await suite.client.storeMemory(agentMemory("hello"));
    await suite.client.storeMemory(agentMemory("good day", { id: "given" }));
    expect(idsWereNew.slice(before)).toEqual([true, true, false]);
  });

  it("with equal content share a memory within a session, and not beyond", async () => {
    const store = async (more: object) =>
      (await suite.client.storeConversationTurn(turnOf("same", more))).memoryId;
    const first = await store({});
    expect(await store({})).toBe(first);
    expect(await store({ sessionId: "s2" })).not.toBe(first);
    expect(await store({ agentId: "b" })).not.toBe(first);
    expect((await suite.listTurns()).map(({ memoryId }) => memoryId).slice(0, 2)).toEqual([
      first,
      first,
    ]);
  });

  it("are listed in pages, of one agent if asked", async () => {
    for (let n = 1; n <= 5; n++) {
      await suite.client.storeConversationTurn(turnOf(`turn ${n}`, { agentId: `a${n % 2}` }));
    }
    const page = (pageToken: string) =>
      suite.client.listConversationTurns({ sessionId: "s", pageSize: 2, pageToken });
    const first = await page("");
    const second = await page(first.nextPageToken);
    const third = await page(second.nextPageToken);
    const all = [first, second, third].flatMap(({ turns }) => turns);
    expect(all.map(({ content }) => content)).toEqual([1, 2, 3, 4, 5].map((n) => `turn ${n}`));
    expect(third.nextPageToken).toBe("");
    const mine = await suite.client.listConversationTurns({ sessionId: "s", agentId: "a0" });
    expect(mine.turns.map(({ content }) => content)).toEqual(["turn 2", "turn 4"]);
    const error = await failure(page("garbage"));
    expect(fieldsOf(error)).toEqual(["page_token"]);
  });

  it("are not declared idempotent, so that no client repeats one by itself", () => {
    const { storeConversationTurn, storeMemory } = MemoryService.method;
    const { IDEMPOTENCY_UNKNOWN, IDEMPOTENT } = MethodOptions_IdempotencyLevel;
    expect(storeConversationTurn.idempotency).toBe(IDEMPOTENCY_UNKNOWN);
    expect(storeMemory.idempotency).toBe(IDEMPOTENT);
  });

  it("name every field that is wrong at once", async () => {
    const error = await failure(suite.client.storeConversationTurn({}));
    expect(fieldsOf(error).sort()).toEqual(["agent_id", "content", "role", "session_id"]);
  });

  it("deliver their insights at once", async () => {
    const { insights, memoryId } = await suite.client.storeConversationTurn(
      turnOf(telling, { repoId: "repo" }),
    );
    expect(insights).toMatchObject([{ content: lesson, delivery: InsightDelivery.DELIVERED }]);
    const [sent] = suite.peers.delivered.values();
    expect(sent).toMatchObject({
      content: lesson,
      project: "repo",
      sourceConversationId: "s",
      topics: ["performance", "database"].filter((topic) => sent?.topics.includes(topic)).sort(),
    });
    expect(sent?.requestId).not.toBe("");
    const stored = await suite.client.getMemory({ id: insights[0]?.memoryId ?? "" });
    expect(stored.memory?.metadata).toMatchObject({ session_id: "s", source_memory_id: memoryId });
  });

  it.each(["down", "silent"] as const)(
    "keep insights for later while Session-Buddy is %s, and deliver them once",
    async (mood) => {
      suite.peers.moods.sessionBuddy = mood;
      const { insights } = await suite.client.storeConversationTurn(turnOf(telling));
      expect(insights).toMatchObject([{ delivery: InsightDelivery.QUEUED }]);
      await suite.stop();
      suite.peers.moods.sessionBuddy = "up";
      await suite.makeDue();
      await suite.start();
      await eventually(async () => (await suite.waiting()) === 0);
      expect(suite.peers.delivered.size).toBe(1);
    },
  );

  it("ask the bridge again until the insight is in the file", async () => {
    suite.peers.bridgeQueues = true;
    const { insights } = await suite.client.storeConversationTurn(turnOf(telling));
    expect(insights).toMatchObject([{ delivery: InsightDelivery.QUEUED }]);
    suite.peers.bridgeQueues = false;
    await suite.makeDue();
    await eventually(async () => (await suite.waiting()) === 0);
    expect(suite.peers.delivered.size).toBe(1);
  });

  it("ask for few insights at once, and for fewer where those are too large", async () => {
    suite.peers.vectorStore.mostRead = 60;
    const content = Array.from(
      { length: 230 },
      (_, n) => `★ Insight ─────\nLesson ${n} is worth keeping.\n─────\n`,
    ).join("\n");
    const { insights } = await suite.client.storeConversationTurn(turnOf(content));
    expect(insights).toHaveLength(230);
    const again = await suite.client.storeConversationTurn(turnOf(`Again. ${content}`));
    expect(again.insights).toHaveLength(230);
    expect(suite.peers.vectorStore.reads).toContain(50);
    expect(Math.max(...suite.peers.vectorStore.reads)).toBe(100);
    expect(suite.peers.vectorStore.size).toBe(232);
  });

  it("with the same insight share its memory", async () => {
    const first = await suite.client.storeConversationTurn(turnOf(telling));
    const second = await suite.client.storeConversationTurn(
      turnOf(`Again. ${telling}`, { agentId: "b", sessionId: "s2" }),
    );
    expect(second.insights[0]?.memoryId).toBe(first.insights[0]?.memoryId);
    const { memory } = await suite.client.getMemory({ id: first.insights[0]?.memoryId ?? "" });
    expect(memory?.agentId).toBe("a");
  });

  it("are stored once under a request id", async () => {
    const request = turnOf(telling, { requestId: "r1" });
    const first = await suite.client.storeConversationTurn(request);
    const again = await suite.client.storeConversationTurn(request);
    expect(again).toEqual(first);
    expect(await suite.listTurns()).toHaveLength(1);
    const error = await failure(
      suite.client.storeConversationTurn(turnOf("another", { requestId: "r1" })),
    );
    expect(reasonOf(error)).toBe("REQUEST_ID_REUSED");
  });

  it("leave nothing when the store refuses them or is away", async () => {
    suite.peers.vectorStore.refused.add("refused");
    const refused = turnOf("refused", { requestId: "r1" });
    const error = await failure(suite.client.storeConversationTurn(refused));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(await suite.listTurns()).toEqual([]);
    expect(await suite.waiting()).toBe(0);
    suite.peers.vectorStore.refused.clear();
    await suite.client.storeConversationTurn(refused);
    expect(await suite.listTurns()).toHaveLength(1);
  });

  it("are completed under their request id when the store fails in the midst", async () => {
    await suite.start({ MAHAVISHNU_MEMORY_PROBE_INTERVAL_MS: "60000" });
    suite.peers.moods.vectorStore = "down";
    const error = await failure(suite.client.storeConversationTurn(turnOf("without id")));
    expect(error.code).toBe(Code.Unavailable);
    expect(await suite.listTurns()).toEqual([]);
    const request = turnOf("with id", { requestId: "r1" });
    await failure(suite.client.storeConversationTurn(request));
    expect(await suite.listTurns()).toHaveLength(1);
    suite.peers.moods.vectorStore = "up";
    const { turn, memoryId } = await suite.client.storeConversationTurn(request);
    // The place of the turn that was taken back stays empty.
    expect(turn?.sequence).toBe(2n);
    expect(suite.peers.vectorStore.get(memoryId)?.content).toBe("with id");
    expect(await suite.listTurns()).toHaveLength(1);
  });

  it("are taken back by the worker when the store refuses what was left open", async () => {
    await suite.start({ MAHAVISHNU_MEMORY_PROBE_INTERVAL_MS: "60000" });
    suite.peers.moods.vectorStore = "down";
    const request = turnOf("taken", { requestId: "r1" });
    await failure(suite.client.storeConversationTurn(request));
    expect(await suite.listTurns()).toHaveLength(1);
    await suite.stop();
    suite.peers.moods.vectorStore = "up";
    suite.peers.vectorStore.taken.add("taken");
    await suite.makeDue();
    await suite.start();
    await eventually(async () => (await suite.waiting()) === 0);
    expect(await suite.listTurns()).toEqual([]);
    expect(suite.peers.vectorStore.size).toBe(0);
  });

  it("bring a vector to what the store writes after they were taken back", async () => {
    await suite.start({ MAHAVISHNU_MEMORY_PROBE_INTERVAL_MS: "60000" });
    suite.peers.moods.embedding = "down";
    suite.peers.vectorStore.losesAnswers = true;
    await failure(suite.client.storeConversationTurn(turnOf(telling)));
    expect(await suite.listTurns()).toEqual([]);
    expect(suite.peers.vectorStore.size).toBe(2);
    suite.peers.vectorStore.losesAnswers = false;
    suite.peers.moods.embedding = "up";
    await suite.makeDue();
    await eventually(() => suite.peers.vectorStore.all.every(({ vector }) => vector !== undefined));
    await eventually(async () => (await suite.waiting()) === 0);
  });

  it("are completed by the worker when the process dies in the midst", async () => {
    await suite.start({ MAHAVISHNU_MEMORY_PROBE_INTERVAL_MS: "60000" });
    suite.peers.moods.vectorStore = "down";
    await failure(suite.client.storeConversationTurn(turnOf(telling, { requestId: "r1" })));
    await suite.stop();
    suite.peers.moods.vectorStore = "up";
    await suite.makeDue();
    await suite.start();
    await eventually(async () => (await suite.waiting()) === 0);
    expect(suite.peers.vectorStore.size).toBe(2);
    expect(suite.peers.delivered.size).toBe(1);
  });
});
