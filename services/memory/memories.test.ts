import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { InsightDelivery } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { WorkflowStatus } from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { reasonOf } from "../../shared/rpc/peer-errors.ts";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
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

describe("StoreMemory", () => {
  it("stores with a vector, and gives back what stands in the store", async () => {
    const answer = await suite.client.storeMemory(
      agentMemory("what happened", { metadata: { tags: ["x"], n: 1.5 }, repoId: "r" }),
    );
    expect(answer).toMatchObject({ deduplicated: false, embeddingState: EmbeddingState.READY });
    expect(answer.memory).toMatchObject({
      content: "what happened",
      sourceSystem: "mahavishnu",
      repoId: "r",
      metadata: { tags: ["x"], n: 1.5 },
    });
    expect(answer.memory?.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.memory?.contentHash).toMatch(/^[0-9a-f]{64}$/);
    expect(answer.memory?.etag).not.toBe("");
    const read = await suite.client.getMemory({ id: answer.memory?.id ?? "" });
    expect(read).toMatchObject({ memory: answer.memory, embeddingState: EmbeddingState.READY });
  });

  it("says so when the content is there already", async () => {
    const first = await suite.client.storeMemory(agentMemory("same"));
    const second = await suite.client.storeMemory(agentMemory("same"));
    expect(second.deduplicated).toBe(true);
    expect(second.memory?.id).toBe(first.memory?.id);
    expect(suite.peers.vectorStore.size).toBe(1);
  });

  it("keeps an id that the caller gives", async () => {
    const answer = await suite.client.storeMemory(agentMemory("mine", { id: "my-id" }));
    expect(answer.memory?.id).toBe("my-id");
  });

  it("names every field that is wrong at once", async () => {
    const error = await failure(
      suite.client.storeMemory({
        requestId: "r".repeat(129),
        memory: {
          id: "i".repeat(257),
          content: "",
          sourceSystem: "s".repeat(129),
          agentId: "a\0",
          metadata: { text: "x".repeat(70_000) },
        },
      }),
    );
    expect(error.code).toBe(Code.InvalidArgument);
    expect(fieldsOf(error).sort()).toEqual([
      "memory.agent_id",
      "memory.content",
      "memory.id",
      "memory.memory_type",
      "memory.metadata",
      "memory.source_system",
      "request_id",
    ]);
    expect(fieldsOf(await failure(suite.client.storeMemory({})))).toEqual(["memory"]);
  });

  it.each(["down", "silent", "broken"] as const)(
    "stores without a vector while embedding is %s, and brings the vector later",
    async (mood) => {
      suite.peers.moods.embedding = mood;
      const { memory, embeddingState } = await suite.client.storeMemory(
        agentMemory("embedded later"),
        { timeoutMs: 2_000 },
      );
      expect(embeddingState).toBe(EmbeddingState.PENDING);
      const id = memory?.id ?? "";
      expect((await suite.client.getMemory({ id })).embeddingState).toBe(EmbeddingState.PENDING);
      // Another process finds the note: what must not be forgotten is not kept in this one.
      await suite.stop();
      suite.peers.moods.embedding = "up";
      await suite.makeDue();
      await suite.start();
      await eventually(() => suite.peers.vectorStore.get(id)?.vector !== undefined);
      expect(suite.peers.vectorStore.get(id)).toMatchObject({
        content: "embedded later",
        agentId: "a",
      });
      await eventually(async () => (await suite.waiting()) === 0);
    },
  );

  it("stores without a vector what the model refuses", async () => {
    suite.peers.refusedTexts.add("garbled");
    const { embeddingState } = await suite.client.storeMemory(agentMemory("garbled"));
    expect(embeddingState).toBe(EmbeddingState.PENDING);
  });

  it("asks for the collection's model anew when the collection refuses a model", async () => {
    suite.peers.vectorStore.model = "fake-model";
    suite.peers.vectorStore.toldModel = "";
    suite.peers.model = "fake-model";
    expect((await suite.client.storeMemory(agentMemory("one"))).embeddingState).toBe(
      EmbeddingState.READY,
    );
    // The collection belongs to a model that embedding no longer has: stored, and told so.
    suite.peers.model = "other-model";
    suite.peers.vectorStore.toldModel = undefined;
    expect((await suite.client.storeMemory(agentMemory("two"))).embeddingState).toBe(
      EmbeddingState.PENDING,
    );
  });

  it.each(["down", "silent"] as const)("is UNAVAILABLE while the store is %s", async (mood) => {
    suite.peers.moods.vectorStore = mood;
    await suite.start({ MAHAVISHNU_MEMORY_RECOVERY_DELAY_MS: "450" }, false);
    const error = await failure(suite.client.storeMemory(agentMemory("lost")));
    expect(error.code).toBe(Code.Unavailable);
    expect(reasonOf(error)).toBe("DEPENDENCY_UNAVAILABLE");
    expect(suite.peers.vectorStore.size).toBe(0);
  });

  it("answers a repeated request as the first time, and refuses another under its id", async () => {
    const request = { ...agentMemory("once", { metadata: { a: 1, b: 2 } }), requestId: "r1" };
    const first = await suite.client.storeMemory(request);
    const again = await suite.client.storeMemory({
      ...agentMemory("once", { metadata: { b: 2, a: 1 } }),
      requestId: "r1",
    });
    expect(again.memory?.id).toBe(first.memory?.id);
    expect(again.deduplicated).toBe(false);
    const error = await failure(
      suite.client.storeMemory({ ...agentMemory("another"), requestId: "r1" }),
    );
    expect(error.code).toBe(Code.AlreadyExists);
    expect(reasonOf(error)).toBe("REQUEST_ID_REUSED");
  });

  it("forgets what was refused, whatever the reason, so that it is never applied later", async () => {
    suite.peers.vectorStore.taken.add("taken");
    const store = () =>
      suite.client.storeMemory({ ...agentMemory("taken", { id: "mine" }), requestId: "r1" });
    const error = await failure(store());
    expect([error.code, reasonOf(error)]).toEqual([Code.AlreadyExists, "DUPLICATE_CONTENT"]);
    expect(await suite.waiting()).toBe(0);
    suite.peers.vectorStore.taken.clear();
    expect((await store()).memory?.id).toBe("mine");
  });

  it("is told as it was written where it cannot be read back", async () => {
    suite.peers.vectorStore.failsReads = true;
    for (const more of [{}, { requestId: "r1" }]) {
      const answer = await suite.client.storeMemory({
        ...agentMemory(`durable ${Object.keys(more)}`, { metadata: { n: 1 } }),
        ...more,
      });
      expect(answer).toMatchObject({ deduplicated: false, embeddingState: EmbeddingState.READY });
      const stored = suite.peers.vectorStore.get(answer.memory?.id ?? "");
      expect(answer.memory).toMatchObject({
        content: stored?.content,
        contentHash: stored?.contentHash,
        metadata: { n: 1 },
        agentId: "a",
      });
    }
  });

  it("stores the insights of a content too", async () => {
    const { insights } = await suite.client.storeMemory(agentMemory(telling));
    expect(insights).toMatchObject([
      { content: lesson, delivery: InsightDelivery.DELIVERED, insightType: "general" },
    ]);
    const stored = await suite.client.getMemory({ id: insights[0]?.memoryId ?? "" });
    expect(stored.memory).toMatchObject({
      content: lesson,
      memoryType: MemoryType.INSIGHT,
      sourceSystem: "mahavishnu",
      agentId: "a",
    });
  });

  it("keeps tenants apart", async () => {
    const headers = { [tenantHeader]: "elsewhere" };
    const { memory } = await suite.client.storeMemory(agentMemory("ours"), { headers });
    const error = await failure(suite.client.getMemory({ id: memory?.id ?? "" }));
    expect(error.code).toBe(Code.NotFound);
    expect(reasonOf(error)).toBe("MEMORY_NOT_FOUND");
  });
});

describe("BulkStore", () => {
  it("acknowledges every request, item by item", async () => {
    suite.peers.vectorStore.refused.add("refused by the store");
    const requests = async function* () {
      yield { sequence: 7n, memories: [agentMemory("one").memory, { content: "" }] };
      yield { sequence: 8n, memories: [] };
      yield { sequence: 9n, memories: [agentMemory("one").memory, agentMemory(telling).memory] };
      yield { sequence: 10n, memories: [agentMemory("refused by the store").memory] };
    };
    const answers = new Map<bigint, Awaited<ReturnType<typeof first>>>();
    for await (const answer of suite.client.bulkStore(requests())) {
      answers.set(answer.sequence, answer);
    }
    expect([...answers.keys()].sort()).toEqual([10n, 7n, 8n, 9n].sort());
    expect(answers.get(7n)?.results[0]?.error).toBeUndefined();
    expect(answers.get(7n)?.results[1]?.error).toMatchObject({
      code: Code.InvalidArgument,
      reason: ErrorReason.INVALID_FIELD,
      field: expect.stringMatching(/^memories\[1\]\./),
    });
    expect(answers.get(8n)?.error).toMatchObject({ field: "memories" });
    const [one, insightful] = answers.get(9n)?.results ?? [];
    expect([one?.id, answers.get(7n)?.results[0]?.id]).toEqual([one?.id, one?.id]);
    expect(insightful).toMatchObject({ deduplicated: false, embeddingState: EmbeddingState.READY });
    expect(answers.get(10n)?.results[0]?.error).toMatchObject({ field: "memories[0]" });
    await eventually(() => suite.peers.delivered.size === 1);
  });

  it("goes on when a request fails as a whole", async () => {
    const requests = async function* () {
      suite.peers.moods.vectorStore = "down";
      yield { sequence: 1n, memories: [agentMemory("one").memory] };
      await eventually(() => answers.length === 1);
      suite.peers.moods.vectorStore = "up";
      yield { sequence: 2n, memories: [agentMemory("two").memory] };
    };
    const answers: Awaited<ReturnType<typeof first>>[] = [];
    for await (const answer of suite.client.bulkStore(requests())) answers.push(answer);
    expect(answers[0]?.error?.code).toBe(Code.Unavailable);
    expect(answers[1]?.results[0]?.error).toBeUndefined();
  });

  it("carries many small requests", async () => {
    const requests = async function* () {
      for (let n = 0; n < 300; n++) {
        yield { sequence: BigInt(n), memories: [agentMemory(`memory ${n}`).memory] };
      }
    };
    const seen = new Set<bigint>();
    for await (const answer of suite.client.bulkStore(requests())) seen.add(answer.sequence);
    expect(seen.size).toBe(300);
    expect(suite.peers.vectorStore.size).toBe(300);
  });

  const first = async () => {
    for await (const answer of suite.client.bulkStore(none())) return answer;
    throw new Error("no answer");
  };
  async function* none(): AsyncGenerator<{ sequence: bigint }> {}
});

describe("deleting", () => {
  it("takes the turns along that hold the memory", async () => {
    const { memoryId } = await suite.client.storeConversationTurn(turnOf("secret"));
    await suite.client.storeConversationTurn(turnOf("secret"));
    await suite.client.storeConversationTurn(turnOf("harmless"));
    expect(await suite.client.deleteMemory({ id: memoryId })).toMatchObject({ deleted: true });
    expect((await suite.listTurns()).map(({ content }) => content)).toEqual(["harmless"]);
    expect((await failure(suite.client.getMemory({ id: memoryId }))).code).toBe(Code.NotFound);
    expect(await suite.client.deleteMemory({ id: memoryId })).toMatchObject({ deleted: false });
    expect(await suite.waiting()).toBe(0);
  });

  it("takes a workflow's record along", async () => {
    const { execution } = await suite.client.recordWorkflowExecution({
      execution: { workflowId: "w", adapter: "x", status: WorkflowStatus.PENDING },
    });
    await suite.client.deleteMemory({ id: execution?.memoryId ?? "" });
    expect((await suite.client.listWorkflowExecutions({})).executions).toEqual([]);
  });

  it("takes back an insight that waits for Session-Buddy", async () => {
    suite.peers.moods.sessionBuddy = "down";
    const { insights } = await suite.client.storeConversationTurn(turnOf(telling));
    await suite.client.deleteMemory({ id: insights[0]?.memoryId ?? "" });
    expect(await suite.waiting()).toBe(0);
  });

  it("by filter refuses an empty one and deletes page after page", async () => {
    for (const filter of [undefined, {}]) {
      const error = await failure(suite.client.deleteMemories(filter ? { filter } : {}));
      expect(fieldsOf(error)).toEqual(["filter"]);
    }
    for (let n = 0; n < 3; n++) await suite.client.storeMemory(agentMemory(`memory ${n}`));
    const { deletedCount } = await suite.client.deleteMemories({
      filter: {
        node: {
          case: "condition",
          value: { field: "agent_id", test: { case: "exists", value: true } },
        },
      },
    });
    expect(deletedCount).toBe(3n);
    expect(suite.peers.vectorStore.size).toBe(0);
  });
});
