import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { InsightDelivery } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState, type Memory } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { WorkflowStatus } from "../../shared/gen/mahavishnu/memory/v1/workflow_pb.js";
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

async function stored(content: string, more: object = {}): Promise<Memory> {
  const { memory } = await suite.client.storeMemory(agentMemory(content, more));
  if (memory === undefined) throw new Error("a store answers its memory");
  return memory;
}

const update = (id: string, fields: object, more: object = {}) =>
  suite.client.updateMemory({ memory: { id, ...fields }, ...more });
const versionsOf = async (id: string) => (await suite.client.listMemoryVersions({ id })).versions;
const infoOf = (error: Awaited<ReturnType<typeof failure>>) =>
  error.findDetails(ErrorInfoSchema)[0];
const inAnHour = () => ({ seconds: BigInt(Math.floor(Date.now() / 1_000) + 3_600), nanos: 0 });

describe("UpdateMemory", () => {
  it("changes what is set, keeps the version before, and embeds a new content anew", async () => {
    const before = await stored("as it was", { metadata: { k: 1 } });
    const { memory, embeddingState } = await update(before.id, { content: "as it is" });
    expect(memory).toMatchObject({ id: before.id, content: "as it is", metadata: { k: 1 } });
    expect(embeddingState).toBe(EmbeddingState.READY);
    expect(memory?.etag).not.toBe(before.etag);
    expect(suite.peers.vectorStore.get(before.id)?.vector?.values[3]).toBe("as it is".length);
    expect(await suite.client.getMemory({ id: before.id })).toMatchObject({ memory });
    expect(await versionsOf(before.id)).toMatchObject([
      { version: 1, memory: { content: "as it was", etag: before.etag } },
    ]);
  });

  it("embeds only where the content changes", async () => {
    const { id } = await stored("content");
    suite.peers.moods.embedding = "down";
    const { memory, embeddingState } = await update(id, { metadata: { k: 2 } });
    expect(memory?.metadata).toEqual({ k: 2 });
    expect(embeddingState).toBe(EmbeddingState.READY);
  });

  it("is PENDING while embedding is down, found by its words, and embedded later", async () => {
    const { id } = await stored("zebra");
    suite.peers.moods.embedding = "down";
    const { embeddingState } = await update(id, { content: "walrus" });
    expect(embeddingState).toBe(EmbeddingState.PENDING);
    expect(suite.peers.vectorStore.get(id)?.vector).toBeUndefined();
    suite.peers.moods.embedding = "up";
    await suite.makeDue();
    await eventually(() => suite.peers.vectorStore.get(id)?.vector !== undefined);
    // A vector that follows is no change: the etag from before is good.
    const { memory } = await suite.client.getMemory({ id });
    await suite.client.updateMemory({
      memory: { id, content: "otter" },
      etag: memory?.etag ?? "",
    });
  });

  it("refuses an etag of yesterday and tells today's", async () => {
    const before = await stored("one");
    const { memory } = await update(before.id, { content: "two" }, { etag: before.etag });
    const error = await failure(update(before.id, { content: "three" }, { etag: before.etag }));
    expect(error.code).toBe(Code.Aborted);
    expect(infoOf(error)).toMatchObject({
      reason: "ETAG_MISMATCH",
      metadata: { id: before.id, etag: memory?.etag },
    });
    expect(await versionsOf(before.id)).toHaveLength(1);
  });

  it("lets one of many win who stand on the same etag, and loses none without one", async () => {
    const { id, etag } = await stored("contended");
    const results = await Promise.allSettled(
      Array.from({ length: 6 }, (_, n) => update(id, { content: `by ${n}` }, { etag })),
    );
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    await Promise.all(Array.from({ length: 4 }, (_, n) => update(id, { metadata: { n } })));
    const versions = await versionsOf(id);
    expect(versions.map(({ version }) => version)).toEqual([5, 4, 3, 2, 1]);
    expect(await suite.waiting()).toBe(0);
  });

  it("makes no version of what changes nothing", async () => {
    const { id, etag } = await stored("same", { metadata: { a: 1, b: [2] } });
    const same = { content: "same", metadata: { b: [2], a: 1 } };
    expect((await update(id, same, { etag })).memory?.etag).toBe(etag);
    expect((await failure(update(id, same, { etag: "x" }))).code).toBe(Code.Aborted);
    expect(await versionsOf(id)).toEqual([]);
  });

  it("stores and delivers the insights of a new content, and answers them again", async () => {
    const { id } = await stored("nothing to learn");
    const { insights } = await update(id, { content: telling });
    expect(insights).toMatchObject([{ content: lesson, delivery: InsightDelivery.DELIVERED }]);
    expect(suite.peers.vectorStore.get(insights[0]?.memoryId ?? "")?.content).toBe(lesson);
    expect((await update(id, { content: telling })).insights).toEqual(insights);
    expect(suite.peers.delivered.size).toBe(1);
  });

  it("sets and removes the time of expiry, and pins", async () => {
    const { id } = await stored("fleeting", { expireTime: inAnHour() });
    const mask = (...paths: string[]) => ({ updateMask: { paths } });
    expect((await update(id, {}, mask("expire_time"))).memory?.expireTime).toBeUndefined();
    await update(id, { expireTime: inAnHour() });
    const { memory: pinned } = await update(id, { pinned: true });
    expect(pinned).toMatchObject({ pinned: true, metadata: { pinned: true } });
    expect(pinned?.expireTime).toBeUndefined();
    // Metadata is replaced, and the pin is not of the caller's metadata.
    expect((await update(id, { metadata: { k: 1 } })).memory).toMatchObject({
      pinned: true,
      metadata: { k: 1, pinned: true },
    });
    const refused = await failure(update(id, { expireTime: inAnHour() }));
    expect(refused.code).toBe(Code.FailedPrecondition);
    expect(infoOf(refused)).toMatchObject({
      reason: "FIELD_FIXED",
      metadata: { field: "expire_time", because: "pinned" },
    });
    const { memory: loose } = await update(id, {}, mask("pinned"));
    expect(loose).toMatchObject({ pinned: false, metadata: { k: 1 } });
  });

  it("leaves to turns, insights and workflow executions what follows them", async () => {
    const { memoryId, insights } = await suite.client.storeConversationTurn(turnOf(telling));
    const because = async (call: Promise<unknown>) => {
      const error = await failure(call);
      expect(error.code).toBe(Code.FailedPrecondition);
      return infoOf(error)?.metadata["because"];
    };
    expect(await because(update(memoryId, { content: "never said" }))).toBe("conversation_turn");
    expect(await because(update(memoryId, { expireTime: inAnHour() }))).toBe("conversation_turn");
    const { memory } = await update(memoryId, { metadata: { session_id: "forged", k: 1 } });
    expect(memory?.metadata).toMatchObject({ session_id: "s", role: "user", k: 1 });
    const insightId = insights[0]?.memoryId ?? "";
    expect(await because(update(insightId, { content: "another" }))).toBe("insight");
    await update(insightId, { metadata: { k: 2 } });
    const { execution } = await suite.client.recordWorkflowExecution({
      execution: { workflowId: "w", adapter: "a", status: WorkflowStatus.RUNNING },
    });
    const followed = execution?.memoryId ?? "";
    expect(await because(update(followed, { content: "x" }))).toBe("workflow_execution");
    expect(await because(update(followed, { metadata: { k: 3 } }))).toBe("workflow_execution");
  });

  it("leaves nothing of what the vector store refuses", async () => {
    const { id } = await stored("mine");
    suite.peers.vectorStore.taken.add("theirs");
    const error = await failure(update(id, { content: "theirs" }));
    expect(error.code).toBe(Code.AlreadyExists);
    expect(infoOf(error)?.reason).toBe("DUPLICATE_CONTENT");
    expect(await suite.waiting()).toBe(0);
    expect(await versionsOf(id)).toEqual([]);
    await update(id, { content: "free" });
  });

  it("is completed later where the answer of the vector store was lost", async () => {
    const { id } = await stored("before");
    suite.peers.vectorStore.losesAnswers = true;
    expect((await failure(update(id, { content: "after" }))).code).toBe(Code.Unavailable);
    suite.peers.vectorStore.losesAnswers = false;
    expect(await suite.waiting()).toBe(1);
    await suite.makeDue();
    await eventually(async () => (await suite.waiting()) === 0);
    expect(await versionsOf(id)).toMatchObject([{ memory: { content: "before" } }]);
    // The same call again finds it done.
    expect((await update(id, { content: "after" })).memory?.content).toBe("after");
    expect(await versionsOf(id)).toHaveLength(1);
  });

  it("completes a change of somebody else that died half-way, before its own", async () => {
    const { id } = await stored("first");
    suite.peers.vectorStore.losesAnswers = true;
    await failure(update(id, { content: "second" }));
    suite.peers.vectorStore.losesAnswers = false;
    await update(id, { content: "third" });
    expect((await versionsOf(id)).map(({ memory }) => memory?.content)).toEqual([
      "second",
      "first",
    ]);
  });

  it("ends a store of the memory that was cut off first, so that it undoes nothing", async () => {
    suite.peers.vectorStore.losesAnswers = true;
    const request = { ...agentMemory("as stored", { id: "mine" }), requestId: "r1" };
    await failure(suite.client.storeMemory(request));
    suite.peers.vectorStore.losesAnswers = false;
    expect(await suite.waiting()).toBe(1);
    await update("mine", { content: "as changed" });
    expect(await suite.waiting()).toBe(0);
    expect(suite.peers.vectorStore.get("mine")?.content).toBe("as changed");
  });

  it("begins nothing while the vector store is down", async () => {
    const { id } = await stored("calm");
    suite.peers.moods.vectorStore = "down";
    await eventually(async () => !(await suite.service.serving()));
    expect((await failure(update(id, { content: "storm" }))).code).toBe(Code.Unavailable);
    suite.peers.moods.vectorStore = "up";
    await eventually(() => suite.service.serving());
    expect(await suite.waiting()).toBe(0);
  });

  it("names every field that is wrong at once, and unknown memories", async () => {
    const wrong = await failure(
      update(
        "",
        { content: "", expireTime: { seconds: 1n, nanos: 0 } },
        { updateMask: { paths: ["content", "expire_time", "agent_id"] } },
      ),
    );
    expect(wrong.code).toBe(Code.InvalidArgument);
    expect(fieldsOf(wrong).sort()).toEqual([
      "memory.content",
      "memory.expire_time",
      "memory.id",
      "update_mask",
    ]);
    expect(fieldsOf(await failure(suite.client.updateMemory({})))).toEqual(["memory"]);
    expect(fieldsOf(await failure(update("id", {})))).toEqual(["update_mask"]);
    expect((await failure(update("unknown", { content: "x" }))).code).toBe(Code.NotFound);
  });
});

describe("ListMemoryVersions", () => {
  it("pages newest first and knows nothing of what is deleted", async () => {
    const { id } = await stored("v0");
    for (let n = 1; n <= 5; n++) await update(id, { content: `v${n}` });
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await suite.client.listMemoryVersions({ id, pageSize: 2, pageToken });
      seen.push(...page.versions.map(({ memory }) => memory?.content ?? ""));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(["v4", "v3", "v2", "v1", "v0"]);
    const page = await suite.client.listMemoryVersions({ id, pageSize: 2 });
    const foreign = { id: "other", pageToken: page.nextPageToken };
    expect((await failure(suite.client.listMemoryVersions(foreign))).code).toBe(
      Code.InvalidArgument,
    );
    await suite.client.deleteMemory({ id });
    expect((await failure(suite.client.listMemoryVersions({ id }))).code).toBe(Code.NotFound);
  });
});

describe("StoreMemory", () => {
  it("takes a ttl, and the same request finds the memory of the first time", async () => {
    const request = {
      ...agentMemory("short-lived"),
      ttl: { seconds: 3_600n, nanos: 0 },
      requestId: "r1",
    };
    const first = await suite.client.storeMemory(request);
    const seconds = Number(first.memory?.expireTime?.seconds);
    expect(Math.abs(seconds - Date.now() / 1_000 - 3_600)).toBeLessThan(600);
    expect((await suite.client.storeMemory(request)).memory).toEqual(first.memory);
    const both = { ...agentMemory("x", { expireTime: inAnHour() }), ttl: request.ttl };
    expect(fieldsOf(await failure(suite.client.storeMemory(both)))).toEqual(["ttl"]);
    const pinned = { ...agentMemory("x", { pinned: true }), ttl: { seconds: 0n, nanos: 0 } };
    expect(fieldsOf(await failure(suite.client.storeMemory(pinned)))).toEqual(["ttl", "ttl"]);
  });

  it("pins by field or by metadata", async () => {
    expect(await stored("by field", { pinned: true })).toMatchObject({
      pinned: true,
      metadata: { pinned: true },
    });
    expect((await stored("by metadata", { metadata: { pinned: true } })).pinned).toBe(true);
    const both = agentMemory("x", { pinned: true, expireTime: inAnHour() });
    expect(fieldsOf(await failure(suite.client.storeMemory(both)))).toEqual(["memory.expire_time"]);
  });

  it("answers NOT_FOUND to a request whose memory was deleted, and stores nothing again", async () => {
    const request = { ...agentMemory("once"), requestId: "r1" };
    const { memory } = await suite.client.storeMemory(request);
    await suite.client.deleteMemory({ id: memory?.id ?? "" });
    expect((await failure(suite.client.storeMemory(request))).code).toBe(Code.NotFound);
    expect(suite.peers.vectorStore.size).toBe(0);
  });
});
