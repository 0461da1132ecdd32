import { beforeEach, expect, it } from "vitest";
import type { NewMemory, StoredMemory } from "../../services/memory/memory.ts";
import { postgresStore } from "../../services/memory/postgres-store.ts";
import type { MemoryStore } from "../../services/memory/store.ts";
import type { MemoryUpdate } from "../../services/memory/update-store.ts";
import { newId } from "../../shared/ids.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";

const tenant = "t1";
const longMs = 60_000;

const owner = {
  memoryType: "agent",
  sourceSystem: "mahavishnu",
  agentId: "agent",
  workflowId: "",
  repoId: "",
} as const;

function stored(content: string): StoredMemory {
  return {
    ...owner,
    id: "m1",
    content,
    metadata: { deep: { text: 'quotes " and \\ and ★' } },
    createTime: 1_700_000_000_123_456n,
    updateTime: 1_700_000_000_999_999n,
    expireTime: 4_000_000_000_000_001n,
    contentHash: "hash",
    hasVector: false,
  };
}

function insightMemory(id: string): NewMemory {
  return {
    ...owner,
    memoryType: "insight",
    id,
    content: `lesson ${id}`,
    metadata: {},
    createTime: undefined,
    expireTime: undefined,
    dedupScope: `insight:${id}`,
  };
}

function update(content = "after", parts: Partial<MemoryUpdate> = {}): MemoryUpdate {
  return {
    id: newId(),
    memoryId: "m1",
    before: stored("before"),
    after: { content, metadata: { n: 1 }, expireTime: 5n },
    documents: [],
    insights: [],
    ...parts,
  };
}

describeEachStore("changes of memories", (_kind, database) => {
  let postgres: Postgres;
  let store: MemoryStore;

  beforeEach(async () => {
    postgres ??= database().open();
    store = postgresStore(postgres);
    await database().truncate();
  });
  const all = { memoryId: "m1", before: undefined, limit: 100 };
  const begin = (one: MemoryUpdate, version = 0) =>
    store.beginUpdate(tenant, one, { version, graceMs: 0 });
  const take = () => store.take("update", 100, longMs);

  it("are under way one at a time, and wait for the worker whole", async () => {
    const first = update();
    const at = { version: 0, graceMs: 0 };
    expect(await store.beginUpdate(tenant, first, at)).toEqual({ kind: "begun" });
    expect(await store.beginUpdate(tenant, update("other"), at)).toEqual({
      kind: "underWay",
      update: first,
    });
    const later = { version: 0, graceMs: longMs };
    expect(await store.beginUpdate("t2", update("theirs"), later)).toEqual({ kind: "begun" });
    expect(await take()).toMatchObject([{ tenant, kind: "update", update: first }]);
  });

  it("leave a version each, numbered without a gap however many end at once", async () => {
    for (let n = 1; n <= 3; n++) {
      const one = update(`content ${n}`, { before: stored(`content ${n - 1}`) });
      const stale = { version: n, graceMs: longMs };
      expect(await store.beginUpdate(tenant, one, stale)).toEqual({ kind: "stale" });
      expect(await begin(one, n - 1)).toEqual({ kind: "begun" });
      const ends = await Promise.all([
        store.finishUpdate(tenant, one, []),
        store.finishUpdate(tenant, one, []),
      ]);
      expect(ends.toSorted()).toEqual([false, true]);
      expect(await store.abandonUpdate(tenant, one)).toBe("finished");
    }
    const { versions, more } = await store.listVersions(tenant, all);
    expect(more).toBe(false);
    expect(versions.map(({ version, memory }) => [version, memory.content])).toEqual([
      [3, "content 2"],
      [2, "content 1"],
      [1, "content 0"],
    ]);
    expect(versions[0]?.memory).toEqual(stored("content 2"));
    const page = await store.listVersions(tenant, { ...all, before: 3, limit: 1 });
    expect(page).toMatchObject({ versions: [{ version: 2 }], more: true });
    expect((await store.listVersions("t2", all)).versions).toEqual([]);
    expect(await store.versionedMemories(undefined, 10)).toEqual([{ tenant, memoryId: "m1" }]);
    expect(await store.versionedMemories({ tenant, memoryId: "m1" }, 10)).toEqual([]);
    expect(await store.forgetVersions("t2", ["m1"])).toBe(0);
    expect(await store.forgetVersions(tenant, ["m1"])).toBe(3);
  });

  it("fill a page by bytes, one version at least", async () => {
    for (let n = 0; n < 3; n++) {
      const one = update(`content ${n}`, { before: stored(String(n).repeat(5_000_000)) });
      await begin(one, n);
      await store.finishUpdate(tenant, one, []);
    }
    const page = await store.listVersions(tenant, all);
    expect(page.versions.map(({ version }) => version)).toEqual([3]);
    expect(page.more).toBe(true);
  });

  it("queue insights and missing vectors when they end, and nothing when they are taken back", async () => {
    const insight = {
      memoryId: "i1",
      content: "lesson",
      type: "general",
      topics: [],
      confidence: 0.5,
      quality: 0.5,
      project: "",
      conversationId: "",
      metadata: {},
    } as const;
    const one = update("after", { documents: [insightMemory("i1")], insights: [insight] });
    await store.forget(tenant, ["i1"], longMs);
    await begin(one);
    expect(await store.abandonUpdate(tenant, one)).toBe("abandoned");
    expect(await store.finishUpdate(tenant, one, [])).toBe(false);
    expect(await store.waitingInsights(tenant, ["i1"])).toEqual(new Set());
    await begin(one);
    const withoutVector = [{ memoryId: "m1", dedupScope: "" }];
    expect(await store.finishUpdate(tenant, one, withoutVector)).toBe(true);
    expect(await store.waitingInsights(tenant, ["i1"])).toEqual(new Set(["i1"]));
    expect(await store.take("embedding", 10, longMs)).toMatchObject([{ memoryId: "m1" }]);
    // The mark of an older deletion does not speak of the insight that is told anew.
    expect(await store.take("deletion", 10, longMs)).toEqual([]);
  });

  it("go with their memory when it is deleted, and so do its versions", async () => {
    const done = update();
    await begin(done);
    await store.finishUpdate(tenant, done, []);
    await begin(update("again"), 1);
    const other = update("elsewhere", {
      memoryId: "m2",
      documents: [insightMemory("i1"), insightMemory("i2")],
    });
    await begin(other);
    await store.forget(tenant, ["m1", "i1"], longMs);
    expect((await store.listVersions(tenant, all)).versions).toEqual([]);
    expect(await take()).toMatchObject([
      { update: { memoryId: "m2", documents: [insightMemory("i2")] } },
    ]);
    // One without insights is no operation without documents.
    await begin(update("lone", { memoryId: "m3" }));
    await store.forget(tenant, ["somebody else"], longMs);
    expect(await take()).toHaveLength(1);
  });

  it("know what else holds the memory", async () => {
    expect(await store.links(tenant, "m1")).toEqual({ turn: false, execution: false, version: 0 });
    await postgres.query(
      `insert into agent_conversations
         (tenant, id, agent_id, session_id, sequence, role, content, memory_id)
       values ($1, 't', 'a', 's', 1, 'user', 'said', 'm1')`,
      [tenant],
    );
    expect(await store.links(tenant, "m1")).toEqual({ turn: true, execution: false, version: 0 });
    expect(await store.links("t2", "m1")).toEqual({ turn: false, execution: false, version: 0 });
  });
});
