import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { InsightDelivery, Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { WorkflowStatus } from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { reasonOf } from "../../shared/rpc/peer-errors.ts";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
import { type TestDatabase, testDatabase } from "../../test/harness/postgres.ts";
import { FakePeers } from "./testing/peers.ts";
import { eventually, type RunningService, startService } from "./testing/running-service.ts";

const telling = "Done.\n\n★ Insight ─────\nUse binary unnest for batches.\n─────\n";
const lesson = "Use binary unnest for batches.";

let database: TestDatabase;
let peers: FakePeers;
let service: RunningService;

beforeAll(async () => {
  database = await testDatabase("pglite");
});
afterAll(() => database.close());
beforeEach(async () => {
  await database.truncate();
  peers = new FakePeers();
  service = await start();
});
afterEach(() => service[Symbol.asyncDispose]());

const start = (env: Record<string, string> = {}) =>
  startService({ postgresUrl: database.url, peers: peers.transports, env });

const agentMemory = (content: string, more: object = {}) => ({
  memory: { content, memoryType: MemoryType.AGENT, agentId: "a", ...more },
});
const turnOf = (content: string, more: object = {}) => ({
  agentId: "a",
  sessionId: "s",
  role: Role.USER,
  content,
  ...more,
});

async function failure(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ConnectError) return error;
    throw error;
  }
  throw new Error("the call did not fail");
}

function fieldsOf(error: ConnectError): string[] {
  return error
    .findDetails(BadRequestSchema)
    .flatMap((bad) => bad.fieldViolations.map((v) => v.field));
}

async function listTurns(sessionId = "s") {
  return (await service.client.listConversationTurns({ sessionId })).turns;
}

describe("StoreMemory", () => {
  it("stores with a vector, and gives back what stands in the store", async () => {
    const answer = await service.client.storeMemory(
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
    const read = await service.client.getMemory({ id: answer.memory?.id ?? "" });
    expect(read).toMatchObject({ memory: answer.memory, embeddingState: EmbeddingState.READY });
  });

  it("says so when the content is there already", async () => {
    const first = await service.client.storeMemory(agentMemory("same"));
    const second = await service.client.storeMemory(agentMemory("same"));
    expect(second.deduplicated).toBe(true);
    expect(second.memory?.id).toBe(first.memory?.id);
    expect(peers.vectorStore.size).toBe(1);
  });

  it("keeps an id that the caller gives", async () => {
    const answer = await service.client.storeMemory(agentMemory("mine", { id: "my-id" }));
    expect(answer.memory?.id).toBe("my-id");
  });

  it("names every field that is wrong at once", async () => {
    const error = await failure(
      service.client.storeMemory({
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
    expect(fieldsOf(await failure(service.client.storeMemory({})))).toEqual(["memory"]);
  });

  it.each(["down", "silent", "broken"] as const)(
    "stores without a vector while embedding is %s, and brings the vector later",
    async (mood) => {
      peers.moods.embedding = mood;
      const { memory, embeddingState } = await service.client.storeMemory(
        agentMemory("embedded later"),
        { timeoutMs: 2_000 },
      );
      expect(embeddingState).toBe(EmbeddingState.PENDING);
      const id = memory?.id ?? "";
      expect((await service.client.getMemory({ id })).embeddingState).toBe(EmbeddingState.PENDING);
      // Another process finds the note: what must not be forgotten is not kept in this one.
      await service[Symbol.asyncDispose]();
      peers.moods.embedding = "up";
      await makeDue();
      service = await start();
      await eventually(() => peers.vectorStore.get(id)?.vector !== undefined);
      expect(peers.vectorStore.get(id)).toMatchObject({ content: "embedded later", agentId: "a" });
      await eventually(async () => (await waiting()) === 0);
    },
  );

  it("stores without a vector what the model refuses", async () => {
    peers.refusedTexts.add("garbled");
    const { embeddingState } = await service.client.storeMemory(agentMemory("garbled"));
    expect(embeddingState).toBe(EmbeddingState.PENDING);
  });

  it("asks for the collection's model anew when the collection refuses a model", async () => {
    peers.vectorStore.model = "fake-model";
    peers.vectorStore.toldModel = "";
    peers.model = "fake-model";
    expect((await service.client.storeMemory(agentMemory("one"))).embeddingState).toBe(
      EmbeddingState.READY,
    );
    // The collection belongs to a model that embedding no longer has: stored, and told so.
    peers.model = "other-model";
    peers.vectorStore.toldModel = undefined;
    expect((await service.client.storeMemory(agentMemory("two"))).embeddingState).toBe(
      EmbeddingState.PENDING,
    );
  });

  it.each(["down", "silent"] as const)("is UNAVAILABLE while the store is %s", async (mood) => {
    peers.moods.vectorStore = mood;
    await service[Symbol.asyncDispose]();
    service = await startService({
      postgresUrl: database.url,
      peers: peers.transports,
      untilServing: false,
      env: { MAHAVISHNU_MEMORY_RECOVERY_DELAY_MS: "450" },
    });
    const error = await failure(service.client.storeMemory(agentMemory("lost")));
    expect(error.code).toBe(Code.Unavailable);
    expect(reasonOf(error)).toBe("DEPENDENCY_UNAVAILABLE");
    expect(peers.vectorStore.size).toBe(0);
  });

  it("answers a repeated request as the first time, and refuses another under its id", async () => {
    const request = { ...agentMemory("once", { metadata: { a: 1, b: 2 } }), requestId: "r1" };
    const first = await service.client.storeMemory(request);
    const again = await service.client.storeMemory({
      ...agentMemory("once", { metadata: { b: 2, a: 1 } }),
      requestId: "r1",
    });
    expect(again.memory?.id).toBe(first.memory?.id);
    expect(again.deduplicated).toBe(false);
    const error = await failure(
      service.client.storeMemory({ ...agentMemory("another"), requestId: "r1" }),
    );
    expect(error.code).toBe(Code.AlreadyExists);
    expect(reasonOf(error)).toBe("REQUEST_ID_REUSED");
  });

  it("stores the insights of a content too", async () => {
    const { insights } = await service.client.storeMemory(agentMemory(telling));
    expect(insights).toMatchObject([
      { content: lesson, delivery: InsightDelivery.DELIVERED, insightType: "general" },
    ]);
    const stored = await service.client.getMemory({ id: insights[0]?.memoryId ?? "" });
    expect(stored.memory).toMatchObject({
      content: lesson,
      memoryType: MemoryType.INSIGHT,
      sourceSystem: "mahavishnu",
      agentId: "a",
    });
  });

  it("keeps tenants apart", async () => {
    const headers = { [tenantHeader]: "elsewhere" };
    const { memory } = await service.client.storeMemory(agentMemory("ours"), { headers });
    const error = await failure(service.client.getMemory({ id: memory?.id ?? "" }));
    expect(error.code).toBe(Code.NotFound);
    expect(reasonOf(error)).toBe("MEMORY_NOT_FOUND");
  });
});

describe("BulkStore", () => {
  it("acknowledges every request, item by item", async () => {
    peers.vectorStore.refused.add("refused by the store");
    const requests = async function* () {
      yield { sequence: 7n, memories: [agentMemory("one").memory, { content: "" }] };
      yield { sequence: 8n, memories: [] };
      yield { sequence: 9n, memories: [agentMemory("one").memory, agentMemory(telling).memory] };
      yield { sequence: 10n, memories: [agentMemory("refused by the store").memory] };
    };
    const answers = new Map<bigint, Awaited<ReturnType<typeof first>>>();
    for await (const answer of service.client.bulkStore(requests())) {
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
    await eventually(() => peers.delivered.size === 1);
  });

  it("goes on when a request fails as a whole", async () => {
    const requests = async function* () {
      peers.moods.vectorStore = "down";
      yield { sequence: 1n, memories: [agentMemory("one").memory] };
      await eventually(() => answers.length === 1);
      peers.moods.vectorStore = "up";
      yield { sequence: 2n, memories: [agentMemory("two").memory] };
    };
    const answers: Awaited<ReturnType<typeof first>>[] = [];
    for await (const answer of service.client.bulkStore(requests())) answers.push(answer);
    expect(answers[0]?.error?.code).toBe(Code.Unavailable);
    expect(answers[1]?.results[0]?.error).toBeUndefined();
  });

  it("carries many small requests without piling up", async () => {
    const requests = async function* () {
      for (let n = 0; n < 300; n++) {
        yield { sequence: BigInt(n), memories: [agentMemory(`memory ${n}`).memory] };
      }
    };
    const seen = new Set<bigint>();
    for await (const answer of service.client.bulkStore(requests())) seen.add(answer.sequence);
    expect(seen.size).toBe(300);
    expect(peers.vectorStore.size).toBe(300);
  });

  const first = async () => {
    for await (const answer of service.client.bulkStore(none())) return answer;
    throw new Error("no answer");
  };
  async function* none(): AsyncGenerator<{ sequence: bigint }> {}
});

describe("conversation turns", () => {
  it("are stored in order and searchable", async () => {
    for (const [content, role] of [
      ["hello", Role.USER],
      ["good day", Role.ASSISTANT],
    ] as const) {
      await service.client.storeConversationTurn(
        turnOf(content, { role, metadata: { mood: "calm", session_id: "forged" }, repoId: "r" }),
      );
    }
    const turns = await listTurns();
    expect(turns.map(({ sequence, content, role }) => [sequence, content, role])).toEqual([
      [1n, "hello", Role.USER],
      [2n, "good day", Role.ASSISTANT],
    ]);
    expect(turns[0]?.metadata).toEqual({ mood: "calm", session_id: "forged" });
    const { memory } = await service.client.getMemory({ id: turns[0]?.memoryId ?? "" });
    expect(memory).toMatchObject({
      content: "hello",
      memoryType: MemoryType.AGENT,
      agentId: "a",
      repoId: "r",
      metadata: { mood: "calm", session_id: "s", role: "user", turn_id: turns[0]?.id },
    });
  });

  it("with equal content share a memory within a session, and not beyond", async () => {
    const store = async (more: object) =>
      (await service.client.storeConversationTurn(turnOf("same", more))).memoryId;
    const first = await store({});
    expect(await store({})).toBe(first);
    expect(await store({ sessionId: "s2" })).not.toBe(first);
    expect(await store({ agentId: "b" })).not.toBe(first);
    expect((await listTurns()).map(({ memoryId }) => memoryId).slice(0, 2)).toEqual([first, first]);
  });

  it("are listed in pages, of one agent if asked", async () => {
    for (let n = 1; n <= 5; n++) {
      await service.client.storeConversationTurn(turnOf(`turn ${n}`, { agentId: `a${n % 2}` }));
    }
    const page = (pageToken: string) =>
      service.client.listConversationTurns({ sessionId: "s", pageSize: 2, pageToken });
    const first = await page("");
    const second = await page(first.nextPageToken);
    const third = await page(second.nextPageToken);
    const all = [first, second, third].flatMap(({ turns }) => turns);
    expect(all.map(({ content }) => content)).toEqual([1, 2, 3, 4, 5].map((n) => `turn ${n}`));
    expect(third.nextPageToken).toBe("");
    const mine = await service.client.listConversationTurns({ sessionId: "s", agentId: "a0" });
    expect(mine.turns.map(({ content }) => content)).toEqual(["turn 2", "turn 4"]);
    const error = await failure(page("garbage"));
    expect(fieldsOf(error)).toEqual(["page_token"]);
  });

  it("name every field that is wrong at once", async () => {
    const error = await failure(service.client.storeConversationTurn({}));
    expect(fieldsOf(error).sort()).toEqual(["agent_id", "content", "role", "session_id"]);
  });

  it("deliver their insights at once", async () => {
    const { insights, memoryId } = await service.client.storeConversationTurn(
      turnOf(telling, { repoId: "repo" }),
    );
    expect(insights).toMatchObject([{ content: lesson, delivery: InsightDelivery.DELIVERED }]);
    const [sent] = peers.delivered.values();
    expect(sent).toMatchObject({
      content: lesson,
      project: "repo",
      sourceConversationId: "s",
      topics: ["performance", "database"].filter((topic) => sent?.topics.includes(topic)).sort(),
    });
    expect(sent?.requestId).not.toBe("");
    const stored = await service.client.getMemory({ id: insights[0]?.memoryId ?? "" });
    expect(stored.memory?.metadata).toMatchObject({ session_id: "s", source_memory_id: memoryId });
  });

  it.each(["down", "silent"] as const)(
    "keep insights for later while Session-Buddy is %s, and deliver them once",
    async (mood) => {
      peers.moods.sessionBuddy = mood;
      const { insights } = await service.client.storeConversationTurn(turnOf(telling));
      expect(insights).toMatchObject([{ delivery: InsightDelivery.QUEUED }]);
      await service[Symbol.asyncDispose]();
      peers.moods.sessionBuddy = "up";
      await makeDue();
      service = await start();
      await eventually(async () => (await waiting()) === 0);
      expect(peers.delivered.size).toBe(1);
    },
  );

  it("ask the bridge again until the insight is in the file", async () => {
    peers.bridgeQueues = true;
    const { insights } = await service.client.storeConversationTurn(turnOf(telling));
    expect(insights).toMatchObject([{ delivery: InsightDelivery.QUEUED }]);
    peers.bridgeQueues = false;
    await makeDue();
    await eventually(async () => (await waiting()) === 0);
    expect(peers.delivered.size).toBe(1);
  });

  it("with the same insight share its memory", async () => {
    const first = await service.client.storeConversationTurn(turnOf(telling));
    const second = await service.client.storeConversationTurn(
      turnOf(`Again. ${telling}`, { agentId: "b", sessionId: "s2" }),
    );
    expect(second.insights[0]?.memoryId).toBe(first.insights[0]?.memoryId);
    const { memory } = await service.client.getMemory({ id: first.insights[0]?.memoryId ?? "" });
    expect(memory?.agentId).toBe("a");
  });

  it("are stored once under a request id", async () => {
    const request = turnOf(telling, { requestId: "r1" });
    const first = await service.client.storeConversationTurn(request);
    const again = await service.client.storeConversationTurn(request);
    expect(again).toEqual(first);
    expect(await listTurns()).toHaveLength(1);
    const error = await failure(
      service.client.storeConversationTurn(turnOf("another", { requestId: "r1" })),
    );
    expect(reasonOf(error)).toBe("REQUEST_ID_REUSED");
  });

  it("leave nothing when the store refuses them or is away", async () => {
    peers.vectorStore.refused.add("refused");
    const refused = turnOf("refused", { requestId: "r1" });
    const error = await failure(service.client.storeConversationTurn(refused));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(await listTurns()).toEqual([]);
    expect(await waiting()).toBe(0);
    peers.vectorStore.refused.clear();
    await service.client.storeConversationTurn(refused);
    expect(await listTurns()).toHaveLength(1);
  });

  it("are completed under their request id when the store fails in the midst", async () => {
    await service[Symbol.asyncDispose]();
    service = await start({ MAHAVISHNU_MEMORY_PROBE_INTERVAL_MS: "60000" });
    peers.moods.vectorStore = "down";
    const error = await failure(service.client.storeConversationTurn(turnOf("without id")));
    expect(error.code).toBe(Code.Unavailable);
    expect(await listTurns()).toEqual([]);
    const request = turnOf("with id", { requestId: "r1" });
    await failure(service.client.storeConversationTurn(request));
    expect(await listTurns()).toHaveLength(1);
    peers.moods.vectorStore = "up";
    const { turn, memoryId } = await service.client.storeConversationTurn(request);
    // The place of the turn that was taken back stays empty.
    expect(turn?.sequence).toBe(2n);
    expect(peers.vectorStore.get(memoryId)?.content).toBe("with id");
    expect(await listTurns()).toHaveLength(1);
  });

  it("are completed by the worker when the process dies in the midst", async () => {
    await service[Symbol.asyncDispose]();
    service = await start({ MAHAVISHNU_MEMORY_PROBE_INTERVAL_MS: "60000" });
    peers.moods.vectorStore = "down";
    await failure(service.client.storeConversationTurn(turnOf(telling, { requestId: "r1" })));
    await service[Symbol.asyncDispose]();
    peers.moods.vectorStore = "up";
    await makeDue();
    service = await start();
    await eventually(async () => (await waiting()) === 0);
    expect(peers.vectorStore.size).toBe(2);
    expect(peers.delivered.size).toBe(1);
  });
});

describe("workflow executions", () => {
  const execution = {
    workflowId: "wf-1",
    adapter: "prefect",
    repos: ["r1", "r2"],
    status: WorkflowStatus.RUNNING,
    result: { passed: 3 },
    duration: { seconds: 12n, nanos: 345_678_000 },
  };

  it("are recorded, updated in place, and searchable", async () => {
    const first = await service.client.recordWorkflowExecution({ execution });
    expect(first.embeddingState).toBe(EmbeddingState.READY);
    expect(first.execution).toMatchObject({
      ...execution,
      summary: "Workflow wf-1, run by prefect: running after 12.346 s. Repositories: r1, r2.",
    });
    const failed = {
      ...execution,
      status: WorkflowStatus.FAILED,
      errorMessage: "out of memory",
      summary: "Nightly build",
    };
    const second = await service.client.recordWorkflowExecution({ execution: failed });
    expect(second.execution?.memoryId).toBe(first.execution?.memoryId);
    const { memory } = await service.client.getMemory({ id: second.execution?.memoryId ?? "" });
    expect(memory).toMatchObject({
      memoryType: MemoryType.WORKFLOW,
      workflowId: "wf-1",
      metadata: { status: "failed", repos: ["r1", "r2"], adapter: "prefect" },
    });
    expect(memory?.content).toContain("Nightly build");
    expect(memory?.content).toContain("out of memory");
    const { executions } = await service.client.listWorkflowExecutions({});
    expect(executions).toEqual([second.execution]);
    expect(peers.vectorStore.size).toBe(1);
  });

  it("are listed in pages, last updated first", async () => {
    for (const workflowId of ["w1", "w2", "w3"]) {
      await service.client.recordWorkflowExecution({ execution: { ...execution, workflowId } });
    }
    const first = await service.client.listWorkflowExecutions({ pageSize: 2, repoId: "r2" });
    const second = await service.client.listWorkflowExecutions({
      pageSize: 2,
      repoId: "r2",
      pageToken: first.nextPageToken,
    });
    const all = [...first.executions, ...second.executions];
    expect(all.map(({ workflowId }) => workflowId)).toEqual(["w3", "w2", "w1"]);
    expect(second.nextPageToken).toBe("");
  });

  it("name every field that is wrong at once", async () => {
    const error = await failure(
      service.client.recordWorkflowExecution({
        execution: {
          workflowId: "not an id",
          repos: ["ok", ""],
          duration: { seconds: -1n },
          errorMessage: "x".repeat(32 * 1024 + 1),
        },
      }),
    );
    expect(fieldsOf(error).sort()).toEqual([
      "execution.adapter",
      "execution.duration",
      "execution.error_message",
      "execution.repos[1]",
      "execution.status",
      "execution.workflow_id",
    ]);
  });

  it("keep their row while the store is away, and catch up", async () => {
    peers.moods.vectorStore = "down";
    await failure(service.client.recordWorkflowExecution({ execution }));
    expect((await service.client.listWorkflowExecutions({})).executions).toHaveLength(1);
    peers.moods.vectorStore = "up";
    await makeDue();
    await eventually(async () => (await waiting()) === 0);
    expect(peers.vectorStore.size).toBe(1);
  });
});

describe("deleting", () => {
  it("takes the turns along that hold the memory", async () => {
    const { memoryId } = await service.client.storeConversationTurn(turnOf("secret"));
    await service.client.storeConversationTurn(turnOf("secret"));
    await service.client.storeConversationTurn(turnOf("harmless"));
    expect(await service.client.deleteMemory({ id: memoryId })).toMatchObject({ deleted: true });
    expect((await listTurns()).map(({ content }) => content)).toEqual(["harmless"]);
    expect((await failure(service.client.getMemory({ id: memoryId }))).code).toBe(Code.NotFound);
    expect(await service.client.deleteMemory({ id: memoryId })).toMatchObject({ deleted: false });
    expect(await waiting()).toBe(0);
  });

  it("takes a workflow's record along", async () => {
    const { execution } = await service.client.recordWorkflowExecution({
      execution: { workflowId: "w", adapter: "x", status: WorkflowStatus.PENDING },
    });
    await service.client.deleteMemory({ id: execution?.memoryId ?? "" });
    expect((await service.client.listWorkflowExecutions({})).executions).toEqual([]);
  });

  it("takes back an insight that waits for Session-Buddy", async () => {
    peers.moods.sessionBuddy = "down";
    const { insights } = await service.client.storeConversationTurn(turnOf(telling));
    await service.client.deleteMemory({ id: insights[0]?.memoryId ?? "" });
    expect(await waiting()).toBe(0);
  });

  it("by filter refuses an empty one and deletes page after page", async () => {
    for (const filter of [undefined, {}]) {
      const error = await failure(service.client.deleteMemories(filter ? { filter } : {}));
      expect(fieldsOf(error)).toEqual(["filter"]);
    }
    for (let n = 0; n < 3; n++) await service.client.storeMemory(agentMemory(`memory ${n}`));
    const { deletedCount } = await service.client.deleteMemories({
      filter: {
        node: {
          case: "condition",
          value: { field: "agent_id", test: { case: "exists", value: true } },
        },
      },
    });
    expect(deletedCount).toBe(3n);
    expect(peers.vectorStore.size).toBe(0);
  });
});

describe("switches", () => {
  it("refuse agent memory", async () => {
    await service[Symbol.asyncDispose]();
    service = await start({ MAHAVISHNU_ENABLE_AGENT_MEMORY: "false" });
    for (const call of [
      service.client.storeMemory(agentMemory("x")),
      service.client.storeConversationTurn(turnOf("x")),
    ]) {
      const error = await failure(call);
      expect(error.code).toBe(Code.FailedPrecondition);
      expect(reasonOf(error)).toBe("SWITCHED_OFF");
    }
    await service.client.storeMemory(agentMemory("x", { memoryType: MemoryType.RAG }));
  });

  it("keep insights here when sharing is off", async () => {
    await service[Symbol.asyncDispose]();
    service = await start({ MAHAVISHNU_ENABLE_CROSS_SYSTEM_SHARING: "false" });
    const { insights } = await service.client.storeConversationTurn(turnOf(telling));
    expect(insights).toMatchObject([{ content: lesson, delivery: InsightDelivery.UNSPECIFIED }]);
    expect(peers.delivered.size).toBe(0);
    expect(await waiting()).toBe(0);
    expect(peers.vectorStore.size).toBe(2);
  });

  it("refuse everything", async () => {
    await service[Symbol.asyncDispose]();
    service = await start({ MAHAVISHNU_MEMORY_ENABLED: "false" });
    expect(reasonOf(await failure(service.client.getMemory({ id: "x" })))).toBe("SWITCHED_OFF");
  });
});

describe("readiness", () => {
  it("follows the store and not embedding or the bridge", async () => {
    peers.moods.embedding = "down";
    peers.moods.sessionBuddy = "down";
    expect(await service.serving()).toBe(true);
    peers.moods.vectorStore = "down";
    await eventually(async () => !(await service.serving()));
    peers.moods.vectorStore = "up";
    await eventually(() => service.serving());
  });
});

/** How much work waits in the outbox. */
async function waiting(): Promise<number> {
  const postgres = database.open({ poolSize: 1 });
  await using _ = postgres;
  const { rows } = await postgres.query<{ count: number }>(
    "select count(*)::int as count from memory_outbox",
  );
  return rows[0]?.count ?? 0;
}

/** Lets time pass for what waits. */
async function makeDue(): Promise<void> {
  await using postgres = database.open({ poolSize: 1 });
  await postgres.query("update memory_outbox set available_at = now() - interval '1 second'");
}
