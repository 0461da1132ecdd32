import { beforeEach, describe, expect, it } from "vitest";
import { workflowMemoryId } from "../../services/memory/content-identity.ts";
import type { NewMemory, Turn } from "../../services/memory/memory.ts";
import type { NewTurn, Operation, RequestKey } from "../../services/memory/operation-store.ts";
import type { OutboxKind } from "../../services/memory/outbox-store.ts";
import type { InsightToDeliver } from "../../services/memory/ports.ts";
import { postgresStore } from "../../services/memory/postgres-store.ts";
import type { MemoryStore } from "../../services/memory/store.ts";
import type { WorkflowExecution } from "../../services/memory/workflow.ts";
import { newId } from "../../shared/ids.ts";
import { sleep } from "../../shared/lifecycle.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";

const tenant = "t1";
const other = "t2";
const longMs = 60_000;

function memory(id: string, content = `content of ${id}`): NewMemory {
  return {
    id,
    content,
    memoryType: "agent",
    sourceSystem: "mahavishnu",
    agentId: "agent",
    workflowId: "",
    repoId: "",
    metadata: { n: 1, deep: { text: 'quotes " and \\ and ★' } },
    createTime: 1_700_000_000_123_456n,
    expireTime: undefined,
    dedupScope: "scope",
  };
}

function insight(memoryId: string): InsightToDeliver {
  return {
    memoryId,
    content: "Use binary unnest.",
    type: "general",
    topics: ["database"],
    confidence: 0.5,
    quality: 0.5,
    project: "repo",
    conversationId: "session",
    metadata: { agent_id: "agent" },
  };
}

function operation(parts: Partial<Operation> = {}): Operation {
  const id = newId();
  return {
    id,
    documents: [memory(`memory-${id}`)],
    mainCount: 1,
    insights: [],
    turnId: undefined,
    request: undefined,
    ...parts,
  };
}

function turn(parts: Partial<NewTurn> = {}): NewTurn {
  return {
    id: newId(),
    agentId: "agent",
    sessionId: "session",
    role: "user",
    content: "what was said",
    metadata: { mood: "calm" },
    memoryId: newId(),
    repoId: "",
    createTime: undefined,
    ...parts,
  };
}

function key(requestId: string, payloadHash = "hash"): RequestKey {
  return { method: "StoreConversationTurn", requestId, payloadHash };
}

function execution(parts: Partial<WorkflowExecution> = {}): WorkflowExecution {
  return {
    workflowId: "wf-1",
    adapter: "prefect",
    repos: ["a", "b"],
    status: "running",
    result: { passed: 3 },
    durationMicros: 1_500_001n,
    errorMessage: "",
    summary: "",
    createTime: 0n,
    updateTime: 0n,
    revision: 0n,
    ...parts,
  };
}

const listAll = { agentId: "", afterSequence: 0n, limit: 100 };
const anyWorkflow = {
  status: undefined,
  adapter: "",
  repoId: "",
  from: undefined,
  to: undefined,
  after: undefined,
  limit: 100,
};

describeEachStore("memory store", (_kind, database) => {
  let postgres: Postgres;
  let store: MemoryStore;

  beforeEach(async () => {
    postgres ??= database().open();
    store = postgresStore(postgres);
    await database().truncate();
  });

  const takeAll = (kind: OutboxKind) => store.take(kind, 100, longMs);
  const waiting = async () => {
    const { rows } = await postgres.query<{ kind: string; count: number }>(
      "select kind, count(*)::int as count from memory_outbox group by kind",
    );
    return Object.fromEntries(rows.map((row) => [row.kind, row.count]));
  };
  const requestOf = async (who: string, { method, requestId }: RequestKey) => {
    const { rows } = await postgres.query<{ subject: string; deduplicated: boolean }>(
      `select subject, deduplicated from request_ids
       where tenant = $1 and method = $2 and request_id = $3`,
      [who, method, requestId],
    );
    return rows[0];
  };
  const makeDue = () =>
    postgres.query("update memory_outbox set available_at = now() - interval '1 second'");

  describe("an operation", () => {
    it("records turn and work at once, and gives the work back as it was", async () => {
      const spoken = turn();
      const begun = operation({ turnId: spoken.id, insights: [insight("i1")] });
      const result = await store.begin(tenant, begun, { turn: spoken, graceMs: 0 });
      expect(result).toMatchObject({
        turn: { id: spoken.id, sequence: 1n, metadata: { mood: "calm" }, role: "user" },
      });
      const [item] = await takeAll("operation");
      expect(item).toMatchObject({ tenant, id: begun.id, attempts: 1 });
      expect(item?.kind === "operation" && item.operation).toEqual(begun);
    });

    it("is left alone for its grace", async () => {
      await store.begin(tenant, operation(), { graceMs: longMs });
      expect(await takeAll("operation")).toEqual([]);
    });

    it("links, queues and ends in one step", async () => {
      const spoken = turn();
      const begun = operation({ turnId: spoken.id, insights: [insight("i1"), insight("i2")] });
      await store.begin(tenant, begun, { turn: spoken, graceMs: longMs });
      const end = {
        subject: "existing",
        deduplicated: true,
        withoutVector: [{ memoryId: "existing", dedupScope: "scope" }],
      };
      expect(await store.finish(tenant, begun, end)).toBe(true);
      expect(await store.turn(tenant, spoken.id)).toMatchObject({ memoryId: "existing" });
      expect(await waiting()).toEqual({ insight: 2, embedding: 1 });
      expect(await store.finish(tenant, begun, end)).toBe(false);
      expect(await waiting()).toEqual({ insight: 2, embedding: 1 });
    });

    it("ends together with others, each by itself", async () => {
      const begun = Array.from({ length: 20 }, () => operation());
      for (const one of begun) await store.begin(tenant, one, { graceMs: longMs });
      const end = (one: Operation, who = tenant) => {
        const [document] = one.documents;
        const ended = { subject: document?.id, deduplicated: false, withoutVector: [] };
        return store.finish(who, one, ended);
      };
      const [first, second, ...rest] = begun as [Operation, Operation, ...Operation[]];
      const gone = new AbortController();
      const left = store.finish(
        tenant,
        second,
        { subject: second.documents[0]?.id, deduplicated: false, withoutVector: [] },
        gone.signal,
      );
      gone.abort();
      const ends = [first, ...rest, operation(), first].map((one) => end(one));
      await expect(left).rejects.toThrow();
      // Of another tenant there is no such operation.
      expect(await end(first, "other")).toBe(false);
      expect(await Promise.all(ends)).toEqual([
        ...Array.from({ length: 19 }, () => true),
        false,
        expect.any(Boolean),
      ]);
      expect(await waiting()).toEqual({});
      expect(await end(first)).toBe(false);
    });

    it("ends soon where nobody waits", async () => {
      const begun = [operation(), operation(), operation()];
      for (const one of begun) await store.begin(tenant, one, { graceMs: longMs });
      const ends = [...begun, operation()].map((one) => store.endSoon(tenant, one));
      expect(await Promise.all(ends)).toEqual([true, true, true, false]);
      expect(await waiting()).toEqual({});
    });

    it("leaves nothing when it is abandoned, and cannot be abandoned after its end", async () => {
      const spoken = turn();
      const request = key("r1");
      const begun = operation({ turnId: spoken.id, request });
      await store.begin(tenant, begun, { turn: spoken, request, graceMs: longMs });
      const late = [{ memoryId: "late", dedupScope: "scope" }];
      expect(await store.abandon(tenant, begun, late)).toBe(true);
      expect(await store.turn(tenant, spoken.id)).toBeUndefined();
      expect(await requestOf(tenant, request)).toBeUndefined();
      expect(await takeAll("embedding")).toMatchObject(late);
      expect(await waiting()).toEqual({ embedding: 1 });

      const second = operation({ turnId: spoken.id });
      await store.begin(tenant, second, { turn: spoken, graceMs: longMs });
      const end = { subject: "m", deduplicated: false, withoutVector: [] };
      await store.finish(tenant, second, end);
      expect(await store.abandon(tenant, second, late)).toBe(false);
      expect(await store.turn(tenant, spoken.id)).toBeDefined();
    });

    it("queues an insight that waits already once", async () => {
      for (const begun of [operation(), operation()]) {
        const telling = { ...begun, insights: [insight("same")] };
        await store.begin(tenant, telling, { graceMs: longMs });
        const end = { subject: "m", deduplicated: false, withoutVector: [] };
        await store.finish(tenant, telling, end);
      }
      expect(await waiting()).toEqual({ insight: 1 });
    });

    it("may be begun twice, as after a connection was lost in its commit", async () => {
      const spoken = turn();
      const begun = operation({ turnId: spoken.id });
      const first = await store.begin(tenant, begun, { turn: spoken, graceMs: longMs });
      expect(await store.begin(tenant, begun, { turn: spoken, graceMs: longMs })).toEqual(first);
      expect(await store.listTurns(tenant, { ...listAll, sessionId: "session" })).toHaveLength(1);
    });
  });

  describe("a request id", () => {
    it("answers a repetition and records nothing anew", async () => {
      const spoken = turn();
      const request = key("r1");
      const begun = operation({ turnId: spoken.id, request });
      await store.begin(tenant, begun, { turn: spoken, request, graceMs: longMs });
      const again = turn();
      const repeated = operation({ turnId: again.id, request });
      expect(await store.begin(tenant, repeated, { turn: again, request, graceMs: 0 })).toEqual({
        known: { payloadHash: "hash", subject: spoken.id, deduplicated: false },
      });
      expect(await store.turn(tenant, again.id)).toBeUndefined();
      expect(await store.openOperation(tenant, request)).toMatchObject({ id: begun.id });
      const end = { subject: "m", deduplicated: true, withoutVector: [] };
      await store.finish(tenant, begun, end);
      expect(await store.openOperation(tenant, request)).toBeUndefined();
      expect(await requestOf(tenant, request)).toMatchObject({
        subject: spoken.id,
        deduplicated: true,
      });
    });

    it("belongs to its tenant and method", async () => {
      const request = key("r1");
      await store.begin(tenant, operation({ request }), { request, graceMs: longMs });
      expect(await requestOf(other, request)).toBeUndefined();
      const elsewhere = { ...request, method: "StoreMemory" };
      expect(await requestOf(tenant, elsewhere)).toBeUndefined();
    });

    it("lets one of many win that come at the same time", async () => {
      const request = key("r1");
      const results = await Promise.all(
        Array.from({ length: 8 }, () =>
          store.begin(tenant, operation({ request }), { request, graceMs: longMs }),
        ),
      );
      expect(results.filter((result) => "known" in result)).toHaveLength(7);
      expect(await waiting()).toEqual({ operation: 1 });
    });

    it("is forgotten after 7 days", async () => {
      const request = key("r1");
      await store.begin(tenant, operation({ request }), { request, graceMs: longMs });
      await postgres.query("update request_ids set created_at = now() - interval '8 days'");
      const anew = await store.begin(tenant, operation({ request }), {
        request: { ...request, payloadHash: "new" },
        graceMs: longMs,
      });
      expect(anew).toEqual({ turn: undefined });
      const later = await store.begin(tenant, operation({ request }), { request, graceMs: 0 });
      expect(later).toMatchObject({ known: { payloadHash: "new" } });
      await postgres.query("update request_ids set created_at = now() - interval '8 days'");
      expect(await store.purgeRequests()).toBe(1);
    });
  });

  describe("turns", () => {
    it("get gapless places in their session, however many come at once", async () => {
      await Promise.all(
        Array.from({ length: 20 }, () => {
          const spoken = turn();
          return store.begin(tenant, operation({ turnId: spoken.id }), {
            turn: spoken,
            graceMs: longMs,
          });
        }),
      );
      const turns = await store.listTurns(tenant, { ...listAll, sessionId: "session" });
      expect(turns.map(({ sequence }) => sequence)).toEqual(
        Array.from({ length: 20 }, (_, index) => BigInt(index + 1)),
      );
    });

    it("are listed by session, agent and place, within their tenant", async () => {
      for (const [agentId, sessionId] of [
        ["a", "s"],
        ["b", "s"],
        ["a", "s2"],
        ["a", "s"],
      ] as const) {
        const spoken = turn({ agentId, sessionId });
        await store.begin(tenant, operation({ turnId: spoken.id }), { turn: spoken, graceMs: 0 });
      }
      const list = (query: Partial<Parameters<MemoryStore["listTurns"]>[1]>, who = tenant) =>
        store
          .listTurns(who, { ...listAll, sessionId: "s", ...query })
          .then((turns) => turns.map(({ agentId, sequence }) => `${agentId}${sequence}`));
      expect(await list({})).toEqual(["a1", "b2", "a3"]);
      expect(await list({ agentId: "a" })).toEqual(["a1", "a3"]);
      expect(await list({ afterSequence: 1n, limit: 1 })).toEqual(["b2"]);
      expect(await list({}, other)).toEqual([]);
    });
  });

  describe("the turns around a turn", () => {
    const say = async (tenant: string, parts: Partial<NewTurn>) => {
      const spoken = turn(parts);
      await store.begin(tenant, operation({ turnId: spoken.id }), {
        turn: spoken,
        graceMs: longMs,
      });
    };
    beforeEach(async () => {
      // The third one's place is given, and then taken back.
      for (const name of ["a", "b", "gone", "c", "d"]) {
        await say("t1", { memoryId: name, content: `says ${name}` });
        await say("t1", { memoryId: `other ${name}`, sessionId: "other" });
        await say("t2", { memoryId: name });
      }
      await postgres.query(
        "delete from agent_conversations where tenant = 't1' and memory_id = 'gone'",
      );
    });

    it("are those of its session that are next to it", async () => {
      const found = await store.neighbours("t1", ["a", "b", "d", "nobody's", "other c"]);
      expect(new Map([...found].sort())).toEqual(
        new Map([
          ["a", { before: undefined, after: "b" }],
          ["b", { before: "a", after: "c" }],
          ["d", { before: "c", after: undefined }],
          ["other c", { before: "other gone", after: "other d" }],
        ]),
      );
    });

    it("are looked for only where the tenant has turns", async () => {
      expect(await store.hasTurns("t1")).toBe(true);
      expect(await store.hasTurns("somebody else")).toBe(false);
    });

    it("are of the latest turn where several have one memory", async () => {
      await say("t1", { memoryId: "b" });
      const found = await store.neighbours("t1", ["b"]);
      expect(found.get("b")).toEqual({ before: "d", after: undefined });
      expect((await store.contexts("t1", ["b"], 1, 1_000)).get("b")?.turn.sequence).toBe(6n);
    });

    it("are told with it in order", async () => {
      const contexts = await store.contexts("t1", ["c", "nobody's", "a"], 2, 10_000);
      const told = (id: string) => {
        const context = contexts.get(id);
        const names = (turns: readonly Turn[] = []) => turns.map(({ memoryId }) => memoryId);
        return [names(context?.before), context?.turn.memoryId, names(context?.after)];
      };
      expect(told("c")).toEqual([["a", "b"], "c", ["d"]]);
      expect(told("a")).toEqual([[], "a", ["b", "c"]]);
      expect(contexts.size).toBe(2);
      expect(contexts.get("c")?.turn).toMatchObject({
        content: "says c",
        role: "user",
        metadata: { mood: "calm" },
      });
    });

    it("are left out where they would be too much, from the first that does not fit", async () => {
      await say("t1", { memoryId: "large", content: "x".repeat(5_000) });
      const ids = async (...asked: string[]) => [
        ...(await store.contexts("t1", asked, 1, 1_000)).keys(),
      ];
      expect(await ids("a", "d", "b")).toEqual(["a"]);
      expect(await ids("a", "b")).toEqual(["a", "b"]);
    });
  });

  it("keeps when a turn was said, unless that is yet to come", async () => {
    const said = async (createTime: bigint) => {
      const spoken = turn({ createTime });
      const begun = await store.begin("t1", operation({ turnId: spoken.id }), {
        turn: spoken,
        graceMs: longMs,
      });
      return "turn" in begun ? begun.turn?.createTime : undefined;
    };
    expect(await said(1_700_000_000_000_001n)).toBe(1_700_000_000_000_001n);
    const inAnHour = BigInt(Date.now() + 3_600_000) * 1_000n;
    expect(await said(inAnHour)).toBeLessThan(inAnHour);
  });

  describe("workflows", () => {
    it("are updated in place, each record with a mark", async () => {
      const first = await store.record(tenant, execution(), 0);
      expect(first.execution).toMatchObject({
        workflowId: "wf-1",
        repos: ["a", "b"],
        result: { passed: 3 },
        durationMicros: 1_500_001n,
        revision: 1n,
      });
      const second = await store.record(
        tenant,
        execution({ status: "failed", result: undefined, durationMicros: undefined }),
        0,
      );
      expect(second.execution).toMatchObject({
        status: "failed",
        result: undefined,
        durationMicros: undefined,
        revision: 2n,
        createTime: first.execution.createTime,
      });
      expect(second.execution.updateTime).toBeGreaterThan(first.execution.updateTime);
      const marks = await takeAll("workflow");
      expect(marks.map((mark) => mark.kind === "workflow" && mark.workflowId)).toEqual([
        "wf-1",
        "wf-1",
      ]);
    });

    it("keep the mark of a writer that was overtaken", async () => {
      const first = await store.record(tenant, execution(), 0);
      const second = await store.record(tenant, execution({ status: "completed" }), 0);
      const written = (of: typeof first) => ({
        markId: of.markId,
        workflowId: "wf-1",
        revision: of.execution.revision,
        withoutVector: undefined,
      });
      expect(await store.documentWritten(tenant, written(first))).toBe(false);
      expect(await store.documentWritten(tenant, written(second))).toBe(true);
      expect(await takeAll("workflow")).toMatchObject([{ id: first.markId }]);
    });

    it("queue the vector that is missing with the end of the mark", async () => {
      const { execution: recorded, markId } = await store.record(tenant, execution(), 0);
      await store.documentWritten(tenant, {
        markId,
        workflowId: "wf-1",
        revision: recorded.revision,
        withoutVector: { memoryId: "m", dedupScope: "s" },
      });
      expect(await waiting()).toEqual({ embedding: 1 });
    });

    it("are listed last updated first, by every condition and in pages", async () => {
      const recorded: WorkflowExecution[] = [];
      for (const [workflowId, adapter, repos, status] of [
        ["w1", "prefect", ["a"], "completed"],
        ["w2", "agno", ["a", "b"], "failed"],
        ["w3", "prefect", ["b"], "failed"],
        ["w4", "prefect", [], "pending"],
      ] as const) {
        const told = execution({ workflowId, adapter, repos, status });
        // The embedded database's clock has whole milliseconds.
        await sleep(5);
        recorded.push((await store.record(tenant, told, 0)).execution);
      }
      const list = (query: Partial<typeof anyWorkflow> | object, who = tenant) =>
        store
          .listWorkflows(who, { ...anyWorkflow, ...query })
          .then((found) => found.map(({ workflowId }) => workflowId));
      expect(await list({})).toEqual(["w4", "w3", "w2", "w1"]);
      expect(await list({ status: "failed" })).toEqual(["w3", "w2"]);
      expect(await list({ adapter: "prefect", status: "failed" })).toEqual(["w3"]);
      expect(await list({ repoId: "b" })).toEqual(["w3", "w2"]);
      expect(await list({ from: recorded[1]?.updateTime, to: recorded[3]?.updateTime })).toEqual([
        "w3",
        "w2",
      ]);
      const [, third] = await store.listWorkflows(tenant, { ...anyWorkflow, limit: 2 });
      const after = third && { updateTime: third.updateTime, workflowId: third.workflowId };
      expect(await list({ after })).toEqual(["w2", "w1"]);
      expect(await list({}, other)).toEqual([]);
    });

    it("with the same time follow each other by id, across pages", async () => {
      for (const workflowId of ["w1", "w2", "w3"]) {
        await store.record(tenant, execution({ workflowId }), 0);
      }
      await postgres.query("update workflow_executions set updated_at = '2026-01-01T00:00:00Z'");
      const [first] = await store.listWorkflows(tenant, { ...anyWorkflow, limit: 1 });
      expect(first?.workflowId).toBe("w1");
      const after = { updateTime: first?.updateTime ?? 0n, workflowId: "w1" };
      const rest = await store.listWorkflows(tenant, { ...anyWorkflow, after });
      expect(rest.map(({ workflowId }) => workflowId)).toEqual(["w2", "w3"]);
    });
  });

  describe("the outbox", () => {
    const pending = (memoryId: string) => ({ memoryId, dedupScope: `scope of ${memoryId}` });

    it("gives each item to one taker, and again when the lease is over", async () => {
      await store.addEmbeddings(tenant, [pending("a"), pending("b")], 0);
      await store.addEmbeddings(other, [pending("a")], 0);
      const taken = await Promise.all([takeAll("embedding"), takeAll("embedding")]);
      expect(taken.flat()).toHaveLength(3);
      expect(taken.flat()).toContainEqual(
        expect.objectContaining({ tenant, kind: "embedding", ...pending("b"), attempts: 1 }),
      );
      expect(await takeAll("embedding")).toEqual([]);
      await makeDue();
      expect(await takeAll("embedding")).toMatchObject([
        { attempts: 2 },
        { attempts: 2 },
        { attempts: 2 },
      ]);
    });

    it("holds a document once, with what was said of it last", async () => {
      await store.addEmbeddings(tenant, [pending("a"), pending("a")], longMs);
      expect(await takeAll("embedding")).toEqual([]);
      await store.addEmbeddings(tenant, [{ memoryId: "a", dedupScope: "new" }], 0);
      expect(await takeAll("embedding")).toMatchObject([{ memoryId: "a", dedupScope: "new" }]);
    });

    it("puts back and removes what is named, of the right tenant", async () => {
      await store.addEmbeddings(tenant, [pending("a"), pending("b")], 0);
      await store.addEmbeddings(other, [pending("a")], 0);
      const items = await takeAll("embedding");
      await store.putBack(items.slice(0, 1), 0);
      expect(await takeAll("embedding")).toMatchObject([{ id: items[0]?.id }]);
      await store.remove(items.filter((item) => item.tenant === tenant));
      await makeDue();
      expect(await takeAll("embedding")).toMatchObject([{ tenant: other }]);
      await store.removeEmbeddings(other, ["a"]);
      expect(await waiting()).toEqual({});
    });

    it("gives the insights of a call at once, due or not, and tells which still wait", async () => {
      const begun = operation({ insights: [insight("i1"), insight("i2")] });
      await store.begin(tenant, begun, { graceMs: longMs });
      await store.finish(tenant, begun, { subject: "m", deduplicated: false, withoutVector: [] });
      expect(await store.takeInsights(tenant, ["i1"], longMs)).toMatchObject([
        { kind: "insight", insight: insight("i1") },
      ]);
      const again = await store.takeInsights(tenant, ["i1"], longMs);
      expect(again).toMatchObject([{ attempts: 2 }]);
      await store.remove(again);
      expect(await store.waitingInsights(tenant, ["i1", "i2"])).toEqual(new Set(["i2"]));
      expect(await store.waitingInsights(other, ["i1", "i2"])).toEqual(new Set());
    });
  });

  describe("forgetting", () => {
    it("removes turns, executions and what waits, of this tenant alone", async () => {
      const spoken = turn({ memoryId: "m1" });
      for (const who of [tenant, other]) {
        const begun = operation({ turnId: spoken.id, insights: [insight("i1")] });
        await store.begin(who, begun, { turn: spoken, graceMs: 0 });
        await store.finish(who, begun, { subject: "m1", deduplicated: false, withoutVector: [] });
        await store.record(who, execution(), 0);
      }
      const ids = ["m1", "i1", workflowMemoryId("wf-1")];
      expect(await store.forget(tenant, ids, 0)).toBe(2);
      expect(await store.turn(tenant, spoken.id)).toBeUndefined();
      expect(await store.workflow(tenant, "wf-1")).toBeUndefined();
      expect(await store.waitingInsights(tenant, ["i1"])).toEqual(new Set());
      expect(await store.turn(other, spoken.id)).toBeDefined();
      expect(await store.workflow(other, "wf-1")).toBeDefined();
      expect(await store.waitingInsights(other, ["i1"])).toEqual(new Set(["i1"]));
    });

    it("leaves a mark until the document is gone, and longer where it may come back", async () => {
      await store.addEmbeddings(tenant, [{ memoryId: "m2", dedupScope: "" }], 0);
      await store.forget(tenant, ["m1", "m2"], longMs);
      expect(await waiting()).toEqual({ deletion: 2 });
      expect(await takeAll("deletion")).toEqual([]);
      await store.deleted(tenant, ["m1", "m2"]);
      await makeDue();
      expect(await takeAll("deletion")).toMatchObject([{ memoryId: "m2" }]);
    });

    it("takes documents out of operations that wait", async () => {
      const begun = operation({ documents: [memory("m1"), memory("m2")] });
      await store.begin(tenant, begun, { graceMs: 0 });
      await store.forget(tenant, ["m1"], 0);
      const [item] = await takeAll("operation");
      expect(item?.kind === "operation" && item.operation.documents).toEqual([memory("m2")]);
    });

    it("tells operations how many of the caller's documents are left, and ends empty ones", async () => {
      const request = key("r1");
      const documents = [memory("m1"), memory("m2"), memory("i1"), memory("i2")];
      const insights = [insight("i1"), insight("i2")];
      const begun = operation({ documents, mainCount: 2, insights, request });
      await store.begin(tenant, begun, { request, graceMs: longMs });
      await store.forget(tenant, ["m1", "i2"], 0);
      const left = { documents: [memory("m2"), memory("i1")], insights: [insight("i1")] };
      expect(await store.openOperation(tenant, request)).toEqual({
        ...begun,
        ...left,
        mainCount: 1,
      });
      await store.forget(tenant, ["m2"], 0);
      const rest = await store.openOperation(tenant, request);
      expect(rest).toMatchObject({ documents: [memory("i1")], mainCount: 0 });
      await store.forget(tenant, ["i1"], 0);
      expect(await store.openOperation(tenant, request)).toBeUndefined();
    });

    it("leaves of the request id of a deleted memory that it was used", async () => {
      const request = key("r1");
      const begun = operation({ documents: [memory("m1"), memory("i1")], request });
      await store.begin(tenant, begun, { request, graceMs: longMs });
      await store.forget(tenant, ["m1"], 0);
      const rest = await store.openOperation(tenant, request);
      if (rest === undefined) throw new Error("the insight is left");
      const end = { subject: undefined, deduplicated: false, withoutVector: [] };
      expect(await store.finish(tenant, rest, end)).toBe(true);
      expect(await store.knownRequest(tenant, request)).toMatchObject({
        subject: "",
        payloadHash: "",
      });
    });

    it("is undone for an id that is given anew", async () => {
      await store.forget(tenant, ["m1", "m2"], 0);
      await store.unmark(tenant, ["m1"]);
      expect(await takeAll("deletion")).toMatchObject([{ memoryId: "m2" }]);
      const begun = operation({ documents: [memory("m3"), memory("m2")] });
      await store.begin(tenant, begun, { graceMs: longMs });
      await makeDue();
      expect(await takeAll("deletion")).toEqual([]);
    });
  });
});
