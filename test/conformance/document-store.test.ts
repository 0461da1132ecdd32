import { beforeAll, expect, test } from "vitest";
import { maxAnswerBytes } from "../../services/vector-store/answer-budget.ts";
import type { NewDocument } from "../../services/vector-store/document.ts";
import { instantNow, parseInstant } from "../../services/vector-store/instant.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { DomainError } from "../../shared/errors.ts";
import { contentHash } from "../../shared/hash.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, model, newDocument, vectorOf, writeOf } from "./document-store-samples.ts";

const everything = { filter: undefined, after: undefined, limit: 1_000, includeVectors: true };
const hostile = [
  "'; drop table memories; --",
  '"; delete from memories; --',
  "$1",
  "\\'; select pg_sleep(10); --",
  "%_*",
  "{}",
  "null",
  "\u202e\u0001",
];

describeEachStore("document store", (_, database) => {
  let postgres: Postgres;
  let store: PostgresDocumentStore;
  let tenants = 0;
  /** Each case has a tenant of its own, and so an empty store. */
  const newTenant = () => `tenant-${++tenants}`;

  beforeAll(async () => {
    postgres = database().open();
    store = new PostgresDocumentStore(postgres);
  });
  const write = (tenant: string, ...documents: NewDocument[]) =>
    store.write(tenant, writeOf(...documents));
  const unbound = {
    filter: undefined,
    limit: 10,
    minScore: 0,
    model,
    includeVectors: false,
    maxBytes: maxAnswerBytes,
  };
  const idsOf = async (tenant: string) =>
    (await store.list(tenant, collection, everything)).documents.map((one) => one.id);
  /** Rows that are there, expired ones too. */
  const rowCount = async (of: readonly string[]) => {
    const text = "select count(*)::int as count from memories where tenant = any($1)";
    return (await postgres.query<{ count: number }>(text, [of])).rows[0]?.count;
  };
  const read = async (tenant: string, id: string) => {
    const [found] = await store.get(tenant, collection, [id], true);
    if (found === undefined) throw new Error(`${id} is not there`);
    return found;
  };

  test("knows the collection memories, and no other", async () => {
    expect(await store.collection(collection)).toMatchObject({
      name: "memories",
      dimension: 768,
      distance: "cosine",
      index: undefined,
    });
    const known = await store.collections(undefined, 10);
    expect(known.map((one) => one.name)).toEqual(["memories"]);
    expect(await store.collections("memories", 10)).toEqual([]);
    await expect(store.collection("others")).rejects.toMatchObject({
      reason: "COLLECTION_NOT_FOUND",
      kind: "not_found",
    });
  });

  test("a tenant's row of collections is none of the platform's", async () => {
    await postgres.query(
      `insert into collections (tenant, name, dimension, distance)
      values ('t', 'memories', 3, 'cosine'), ('t', 'others', 3, 'cosine')`,
    );
    const fresh = new PostgresDocumentStore(postgres);
    expect((await fresh.collection(collection)).dimension).toBe(768);
    expect(await fresh.collections(undefined, 10)).toHaveLength(1);
    await expect(fresh.collection("others")).rejects.toMatchObject({ kind: "not_found" });
    await postgres.query("delete from collections where tenant = 't'");
  });

  test("the first vector claims the collection for its model, and one of two wins", async () => {
    const tenant = newTenant();
    await postgres.query("update collections set embedding_model = null");
    await write(tenant, newDocument("no vector, no claim"));
    expect((await store.collection(collection)).embeddingModel).toBeUndefined();
    const models = ["model-x", "model-y", "model-z"];
    const outcomes = await Promise.allSettled(
      models.map((one) => {
        const documents = [newDocument(`by ${one}`, { id: one, vector: vectorOf(1) })];
        return store.write(tenant, { collection, model: one, documents });
      }),
    );
    const won = models.filter((_, i) => outcomes[i]?.status === "fulfilled");
    expect(won).toHaveLength(1);
    for (const one of outcomes) {
      if (one.status === "rejected") expect(one.reason).toMatchObject({ reason: "MODEL_MISMATCH" });
    }
    expect((await store.collection(collection)).embeddingModel).toBe(won[0]);
    expect(await idsOf(tenant)).toContain(won[0]);
    expect(await idsOf(tenant)).toHaveLength(2);
    await postgres.query("update collections set embedding_model = $1", [model]);
    await new Promise((resolve) => setTimeout(resolve, 2_100));
  });

  test("refuses a model that is not the collection's, and writes nothing", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("a", { id: "a", vector: vectorOf(1) }));
    const documents = [newDocument("b", { vector: vectorOf(2) })];
    const other = { collection, model: "model-b", documents };
    await expect(store.write(tenant, other)).rejects.toMatchObject({
      kind: "failed_precondition",
      reason: "MODEL_MISMATCH",
      facts: { expected: model, actual: "model-b" },
    });
    expect(await idsOf(tenant)).toEqual(["a"]);
  });

  test("gives back what was written, to the microsecond and the last bit", async () => {
    const tenant = newTenant();
    const metadata = {
      n: 1.5,
      tiny: 5e-324,
      huge: 1.7976931348623157e308,
      list: [null, true, { deep: "ünïcödé 🦄" }],
      "quo\"te's": "\\",
      empty: {},
    };
    const createTime = parseInstant("1999-12-31T23:59:59.123456Z");
    const expireTime = parseInstant("9999-12-31T23:59:59.999999Z");
    const vector = vectorOf(7);
    const document = newDocument("some\ncontent 🦄", {
      id: "é/1",
      vector,
      memoryType: "insight",
      sourceSystem: "sys",
      agentId: "agent",
      workflowId: "flow",
      repoId: "repo",
      metadata: JSON.stringify(metadata),
      createTime,
      expireTime,
    });
    const before = instantNow();
    expect(await write(tenant, document)).toEqual([{ outcome: "created", id: "é/1" }]);
    const found = await read(tenant, "é/1");
    expect(found).toMatchObject({
      content: "some\ncontent 🦄",
      memoryType: "insight",
      sourceSystem: "sys",
      agentId: "agent",
      workflowId: "flow",
      repoId: "repo",
      metadata,
      contentHash: document.contentHash,
      createTime,
      expireTime,
    });
    expect([...(found.vector ?? [])]).toEqual(vector);
    expect(found.updateTime).toBeGreaterThan(before - 60_000_000n);
    const [plain] = await store.get(tenant, collection, ["é/1"], false);
    expect(plain?.vector).toBeUndefined();
  });

  test("updates the document of the same id and keeps its time of origin", async () => {
    const tenant = newTenant();
    const createTime = parseInstant("2001-02-03T04:05:06.000007Z");
    await write(tenant, newDocument("old", { id: "a", createTime, agentId: "x" }));
    const again = newDocument("new", { id: "a", memoryType: "agent" });
    expect(await write(tenant, again)).toEqual([{ outcome: "updated", id: "a" }]);
    expect(await read(tenant, "a")).toMatchObject({
      content: "new",
      memoryType: "agent",
      agentId: undefined,
      createTime,
    });
    expect(await idsOf(tenant)).toEqual(["a"]);
  });

  test("an update without a vector keeps it for the same content, and drops it for another", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("same", { id: "a", vector: vectorOf(3) }));
    await write(tenant, newDocument("same", { id: "a", metadata: '{"x":1}' }));
    expect((await read(tenant, "a")).vector).toHaveLength(768);
    await write(tenant, newDocument("other", { id: "a" }));
    expect((await read(tenant, "a")).vector).toBeUndefined();
  });

  test("ten replays of a corpus leave no duplicate, and name the document that stays", async () => {
    const tenant = newTenant();
    const contents = Array.from({ length: 30 }, (_, i) => `passage ${i}`);
    const first = await write(tenant, ...contents.map((one) => newDocument(one)));
    expect(first.map((one) => one.outcome)).toEqual(contents.map(() => "created"));
    for (let replay = 0; replay < 9; replay++) {
      const again = await write(tenant, ...contents.map((one) => newDocument(one)));
      expect(again).toEqual(first.map(({ id }) => ({ outcome: "deduplicated", id })));
    }
    expect(await store.count(tenant, collection, undefined)).toBe(30n);
  });

  test("the same content is another document in another scope, type or tenant", async () => {
    const tenant = newTenant();
    const documents = [
      newDocument("same"),
      newDocument("same", { agentId: "a" }),
      newDocument("same", { repoId: "a" }),
      newDocument("same", { memoryType: "agent" }),
      newDocument("same", { dedupScope: "named:x" }),
      newDocument("same", { dedupScope: "named:owner:" }),
    ];
    const results = await write(tenant, ...documents);
    expect(results.map((one) => one.outcome)).toEqual(documents.map(() => "created"));
    expect(await write(newTenant(), newDocument("same"))).toMatchObject([{ outcome: "created" }]);
  });

  test("duplicates within one request become one document that has what any of them brings", async () => {
    const tenant = newTenant();
    const expireTime = instantNow() + 3_600_000_000n;
    const results = await write(
      tenant,
      newDocument("twice", { expireTime }),
      newDocument("once"),
      newDocument("twice", { vector: vectorOf(4), expireTime: expireTime + 1_000_000n }),
      newDocument("twice", { vector: vectorOf(5), expireTime: expireTime - 1n }),
    );
    expect(results.map((one) => one.outcome)).toEqual([
      "created",
      "created",
      "deduplicated",
      "deduplicated",
    ]);
    const id = results[0]?.id ?? "";
    expect([results[2]?.id, results[3]?.id]).toEqual([id, id]);
    const kept = await read(tenant, id);
    expect([...(kept.vector ?? [])]).toEqual(vectorOf(4));
    expect(kept.expireTime).toBe(expireTime + 1_000_000n);
  });

  test("a duplicate gives its vector to a holder that has none, and never replaces one", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("pending", { id: "a" }));
    const second = newDocument("pending", { vector: vectorOf(1) });
    expect(await write(tenant, second)).toEqual([{ outcome: "deduplicated", id: "a" }]);
    await write(tenant, newDocument("pending", { vector: vectorOf(2) }));
    expect([...((await read(tenant, "a")).vector ?? [])]).toEqual(vectorOf(1));
  });

  test("vectors alone go into documents that are still as they were, and touch nothing else", async () => {
    const tenant = newTenant();
    const vectors = (...given: [id: string, content: string, seed: number][]) => ({
      collection,
      model,
      vectors: given.map(([id, content, seed]) => ({
        id,
        contentHash: contentHash(content),
        vector: vectorOf(seed),
      })),
    });
    const pending = newDocument("pending", { id: "a", agentId: "x", metadata: '{"n":1}' });
    const changed = newDocument("changed since", { id: "b", vector: vectorOf(1) });
    const expired = newDocument("gone", { id: "c", expireTime: instantNow() - 1n });
    await write(tenant, pending, changed, expired, newDocument("filled", { id: "d" }));
    await store.writeVectors(tenant, vectors(["d", "filled", 2]));
    const theirs = newTenant();
    await write(theirs, newDocument("pending", { id: "a" }));
    const before = await read(tenant, "a");
    const outcomes = await store.writeVectors(
      tenant,
      vectors(
        ["nobody", "x", 3],
        ["b", "as it was", 4],
        ["d", "filled", 5],
        ["c", "gone", 6],
        ["a", "pending", 7],
      ),
    );
    expect(outcomes).toEqual(["not_found", "content_changed", "updated", "not_found", "updated"]);
    const { vector, updateTime, ...rest } = await read(tenant, "a");
    expect([...(vector ?? [])]).toEqual(vectorOf(7));
    expect({ ...rest, vector: undefined, updateTime: before.updateTime }).toEqual(before);
    expect(updateTime).toBeGreaterThan(before.updateTime);
    expect([...((await read(tenant, "d")).vector ?? [])]).toEqual(vectorOf(5));
    expect([...((await read(tenant, "b")).vector ?? [])]).toEqual(vectorOf(1));
    expect((await read(theirs, "a")).vector).toBeUndefined();
    const other = { ...vectors(["a", "pending", 8]), model: "model-b" };
    await expect(store.writeVectors(tenant, other)).rejects.toMatchObject({
      reason: "MODEL_MISMATCH",
    });
    expect([...((await read(tenant, "a")).vector ?? [])]).toEqual(vectorOf(7));
    const [found] = await store.search(tenant, collection, {
      ...unbound,
      mode: "vector",
      vector: vectorOf(7),
    });
    expect(found).toMatchObject({ document: { id: "a" }, score: 1 });
  });

  test("a vector for a content that another writer replaces meanwhile is never stored", async () => {
    const tenant = newTenant();
    const ids = ["a", "b", "c", "d"];
    await write(tenant, ...ids.map((id) => newDocument(`first ${id}`, { id })));
    const vectors = [...ids].reverse().map((id) => {
      return { id, contentHash: contentHash(`first ${id}`), vector: vectorOf(1) };
    });
    const rewrite = ids.map((id) => newDocument(`second ${id}`, { id }));
    await Promise.all([
      store.writeVectors(tenant, { collection, model, vectors }),
      write(tenant, ...rewrite),
      store.writeVectors(tenant, { collection, model, vectors }),
    ]);
    for (const id of ids) {
      expect(await read(tenant, id)).toMatchObject({ content: `second ${id}`, vector: undefined });
    }
  });

  test("a vector that waits for another writer's commit is measured by what that wrote", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("first", { id: "a" }), newDocument("first b", { id: "b" }));
    const vectors = [
      { id: "a", contentHash: contentHash("first"), vector: vectorOf(1) },
      { id: "b", contentHash: contentHash("second b"), vector: vectorOf(2) },
    ];
    let writing: Promise<unknown> | undefined;
    await postgres.transaction(async (tx) => {
      for (const [id, content] of [
        ["a", "second"],
        ["b", "second b"],
      ] as const) {
        await tx.query(
          "update memories set content = $3, content_hash = $4 where tenant = $1 and id = $2",
          [tenant, id, content, contentHash(content)],
        );
      }
      writing = store.writeVectors(tenant, { collection, model, vectors });
      await new Promise((resolve) => setTimeout(resolve, 100));
    });
    expect(await writing).toEqual(["content_changed", "updated"]);
    expect((await read(tenant, "a")).vector).toBeUndefined();
    expect([...((await read(tenant, "b")).vector ?? [])]).toEqual(vectorOf(2));
  });

  test("vectors alone claim a collection that no model has", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("text", { id: "a" }));
    // Another store, since this one knows the collection's model for a while.
    const fresh = new PostgresDocumentStore(postgres);
    await postgres.query("update collections set embedding_model = null");
    const vectors = [{ id: "a", contentHash: contentHash("text"), vector: vectorOf(1) }];
    await fresh.writeVectors(tenant, { collection, model, vectors });
    expect((await fresh.collection(collection)).embeddingModel).toBe(model);
  });

  test("what is said to be stored lives as long as its last writer asked", async () => {
    const tenant = newTenant();
    const expireTime = instantNow() + 3_600_000_000n;
    await write(tenant, newDocument("mortal", { id: "a", expireTime }));
    await write(tenant, newDocument("mortal", { expireTime: expireTime - 1n }));
    expect((await read(tenant, "a")).expireTime).toBe(expireTime);
    await write(tenant, newDocument("mortal"));
    expect((await read(tenant, "a")).expireTime).toBeUndefined();
    await write(tenant, newDocument("mortal", { expireTime }));
    expect((await read(tenant, "a")).expireTime).toBeUndefined();
  });

  test("refuses an update to the content of another document, alone", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("one", { id: "a" }), newDocument("two", { id: "b" }));
    const results = await write(
      tenant,
      newDocument("two", { id: "a" }),
      newDocument("three", { id: "c" }),
    );
    expect(results).toEqual([
      { outcome: "duplicate_content", id: "b" },
      { outcome: "created", id: "c" },
    ]);
    expect((await read(tenant, "a")).content).toBe("one");
  });

  test("a content that one update gives up another takes, in one request", async () => {
    const tenant = newTenant();
    const names = ["a", "b", "c", "d"];
    await write(tenant, ...names.map((id, i) => newDocument(`content ${i}`, { id })));
    // Each takes its neighbour's content; the last one has a content of its own.
    const results = await write(
      tenant,
      newDocument("content 9", { id: "d" }),
      newDocument("content 3", { id: "c" }),
      newDocument("content 2", { id: "b" }),
      newDocument("content 1", { id: "a" }),
      newDocument("content 0"),
    );
    // Whatever order was taken, nothing that was said to be stored is missing.
    for (const [i, content] of [9, 3, 2, 1, 0].entries()) {
      const result = results[i];
      if (result === undefined || result.outcome === "duplicate_content") continue;
      expect((await read(tenant, result.id)).content).toBe(`content ${content}`);
    }
    expect(results[0]).toEqual({ outcome: "updated", id: "d" });
    expect(results[4]?.outcome).toMatch(/created|deduplicated/);
  });

  test("an expired document is never seen, and in nobody's way", async () => {
    const tenant = newTenant();
    const expireTime = instantNow() - 1n;
    const vector = vectorOf(1);
    await write(
      tenant,
      newDocument("gone by content", { id: "a", expireTime, vector }),
      newDocument("gone by id", { id: "b", expireTime, vector }),
      newDocument("here", { id: "c", vector }),
    );
    expect(await idsOf(tenant)).toEqual(["c"]);
    expect(await store.get(tenant, collection, ["a", "b", "c"], false)).toHaveLength(1);
    expect(await store.count(tenant, collection, undefined)).toBe(1n);
    expect(
      await write(
        tenant,
        newDocument("gone by content", { id: "new" }),
        newDocument("another content", { id: "b" }),
      ),
    ).toEqual([
      { outcome: "created", id: "new" },
      { outcome: "created", id: "b" },
    ]);
    expect(await idsOf(tenant)).toEqual(["b", "c", "new"]);
    await write(tenant, newDocument("short", { id: "d", expireTime }));
    expect(await store.delete(tenant, collection, { by: "ids", ids: ["c", "d", "nobody"] })).toBe(
      1n,
    );
  });

  test("expired documents of every tenant are removed in batches, and no others", async () => {
    const past = instantNow() - 1_000_000n;
    const later = instantNow() + 3_600_000_000n;
    const tenants = [newTenant(), newTenant()];
    for (const tenant of tenants) {
      const list = Array.from({ length: 5 }, (_, i) =>
        newDocument(`expired ${i}`, { expireTime: past - BigInt(i) }),
      );
      const others = [newDocument("forever"), newDocument("later", { expireTime: later })];
      await write(tenant, ...list, ...others);
    }
    const before = await rowCount(tenants);
    expect(before).toBe(14);
    let removed = 0;
    for (;;) {
      const count = await store.removeExpired(collection, 3);
      expect(count).toBeLessThanOrEqual(3);
      removed += count;
      if (count < 3) break;
    }
    expect(removed).toBeGreaterThanOrEqual(10);
    expect(await rowCount(tenants)).toBe(4);
    for (const tenant of tenants) expect(await store.count(tenant, collection, undefined)).toBe(2n);
  });

  test("eight writers of one corpus, each in its own order, leave each content once", async () => {
    const tenant = newTenant();
    const contents = Array.from({ length: 120 }, (_, i) => `shared passage ${i}`);
    const stored = new Map<string, Set<string>>();
    const created = { count: 0 };
    const writer = async (number: number) => {
      const order = contents.map((one, i) => contents[(i * 7 + number * 13) % 120] ?? one);
      for (let at = 0; at < order.length; at += 30) {
        const part = order.slice(at, at + 30);
        const results = await write(
          tenant,
          ...part.map((content) => newDocument(content, { vector: vectorOf(number) })),
        );
        for (const [i, result] of results.entries()) {
          const ids = stored.get(part[i] ?? "") ?? new Set();
          stored.set(part[i] ?? "", ids.add(result.id));
          if (result.outcome === "created") created.count += 1;
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, number) => writer(number)));
    expect(await store.count(tenant, collection, undefined)).toBe(120n);
    expect(created.count).toBe(120);
    expect([...stored.values()].every((ids) => ids.size === 1)).toBe(true);
  });

  test("writers that update, swap and insert the same documents end without an error", async () => {
    const tenant = newTenant();
    const ids = ["a", "b", "c", "d", "e", "f"];
    const writer = async (number: number) => {
      for (let round = 0; round < 8; round++) {
        const order = number % 2 === 0 ? ids : [...ids].reverse();
        await write(
          tenant,
          ...order.map((id, i) => newDocument(`text ${(i + round * number) % 9}`, { id })),
          newDocument(`free ${round % 3}`),
        );
      }
    };
    await Promise.all([1, 2, 3, 4, 5, 6].map(writer));
    const { documents } = await store.list(tenant, collection, everything);
    expect(new Set(documents.map((one) => one.contentHash)).size).toBe(documents.length);
  });

  test("a tenant sees and touches its own documents only", async () => {
    const [mine, theirs] = [newTenant(), newTenant()];
    const vector = vectorOf(1);
    await write(mine, newDocument("my secret", { id: "a", vector }));
    await write(theirs, newDocument("their secret", { id: "a", vector }));
    expect((await read(mine, "a")).content).toBe("my secret");
    expect(await store.count(mine, collection, undefined)).toBe(1n);
    for (const by of [
      { mode: "vector", vector },
      { mode: "text", text: "secret" },
      { mode: "hybrid", vector, text: "secret" },
    ] as const) {
      const hits = await store.search(mine, collection, { ...unbound, ...by });
      expect(hits.map((one) => one.document.content)).toEqual(["my secret"]);
    }
    expect(await store.delete(mine, collection, { by: "all" })).toBe(1n);
    expect(await idsOf(theirs)).toEqual(["a"]);
  });

  test("lists by code point, in pages that survive writes and deletes between them", async () => {
    const tenant = newTenant();
    const ids = ["B", "a", "_", "ä", "a-1", "🦄", "￮", "0"];
    await write(tenant, ...ids.map((id) => newDocument(`of ${id}`, { id })));
    const expected = [...ids].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    const seen: string[] = [];
    let after: string | undefined;
    for (let page = 0; page < 10; page++) {
      const query = { filter: undefined, after, limit: 3, includeVectors: false };
      const { documents, more } = await store.list(tenant, collection, query);
      seen.push(...documents.map((one) => one.id));
      after = seen.at(-1);
      if (page === 0) {
        await write(tenant, newDocument("before the page", { id: "!" }));
        await store.delete(tenant, collection, { by: "ids", ids: [seen[2] ?? ""] });
      }
      if (!more) break;
    }
    expect(seen).toEqual(expected);
  });

  test("a page ends before it is too large for a message, and the next one goes on", async () => {
    const tenant = newTenant();
    const ids = Array.from({ length: 10 }, (_, i) => `doc-${i}`);
    for (const id of ids) await write(tenant, newDocument(id.padEnd(1_048_576, "x"), { id }));
    const first = await store.list(tenant, collection, everything);
    expect(first.documents.length).toBeLessThan(10);
    expect(first.documents.length).toBeGreaterThan(5);
    expect(first.more).toBe(true);
    const after = first.documents.at(-1)?.id;
    const rest = await store.list(tenant, collection, { ...everything, after });
    expect([...first.documents, ...rest.documents].map((one) => one.id)).toEqual(ids);
    expect(rest.more).toBe(false);
  });

  test("documents that are too large together are refused before they are read", async () => {
    const tenant = newTenant();
    const ids = Array.from({ length: 18 }, (_, i) => `doc-${i}`);
    for (const id of ids) await write(tenant, newDocument(id.padEnd(1_048_576, "x"), { id }));
    const get = (asked: string[]) => store.get(tenant, collection, asked, true);
    const tooLarge = { kind: "resource_exhausted", reason: "MESSAGE_TOO_LARGE" };
    await expect(get(ids)).rejects.toMatchObject(tooLarge);
    await expect(get(Array(18).fill("doc-0"))).rejects.toMatchObject(tooLarge);
    const some = ids.slice(4, 18);
    expect((await get([...some, "nobody"])).map((one) => one.id)).toEqual(some);
  });

  test("counts and deletes by filter, by ids, and all", async () => {
    const tenant = newTenant();
    await write(
      tenant,
      newDocument("1", { id: "1", repoId: "r" }),
      newDocument("2", { id: "2", repoId: "r" }),
      newDocument("3", { id: "3" }),
      newDocument("4", { id: "4" }),
    );
    const filter = {
      node: "condition",
      condition: { on: "text", field: "repo_id", test: { kind: "equals", value: "r" } },
    } as const;
    const remove = store.delete.bind(store, tenant, collection);
    expect(await store.count(tenant, collection, filter)).toBe(2n);
    expect(await remove({ by: "filter", filter })).toBe(2n);
    expect(await remove({ by: "filter", filter })).toBe(0n);
    expect(await remove({ by: "ids", ids: ["3", "3"] })).toBe(1n);
    expect(await remove({ by: "all" })).toBe(1n);
    expect(await idsOf(tenant)).toEqual([]);
  });

  test("contents of any shape up to 1 MiB are stored", async () => {
    const tenant = newTenant();
    const han = (i: number) => String.fromCodePoint(0x20000 + (i % 40_000));
    const repeat = (part: (i: number) => string, bytes: number) => {
      let text = "";
      for (let i = 0, size = 0; ; i++) {
        const next = part(i);
        size += Buffer.byteLength(next);
        if (size > bytes) return text;
        text += next;
      }
    };
    const contents = [
      repeat((i) => `${i.toString(36)} `, 1_048_576),
      repeat((i) => `${han(i)}-${han(i * 3 + 7)} `, 1_048_576),
      repeat((i) => `${han(i)} `, 1_048_576),
      repeat((i) => `h${i.toString(36)}.com/${i} `, 1_048_576),
      "x".repeat(1_048_576),
      "\u0001\u0002 \t\r\n",
    ];
    for (const [i, content] of contents.entries()) {
      const id = `large-${i}`;
      const long = "o".repeat(256);
      const document = newDocument(content, {
        id: id.padEnd(256, "i"),
        vector: vectorOf(i),
        sourceSystem: "s".repeat(128),
        agentId: long,
        workflowId: long,
        repoId: long,
        dedupScope: `named:${randomText(512, i)}`,
        metadata: JSON.stringify({ filling: randomText(60_000, i) }),
      });
      expect(await write(tenant, document)).toMatchObject([{ outcome: "created" }]);
      expect((await read(tenant, document.id)).content === content).toBe(true);
    }
  });

  test("hostile strings are data wherever they stand", async () => {
    const tenant = newTenant();
    for (const text of hostile) {
      const document = newDocument(`content ${text}`, {
        id: text,
        sourceSystem: text,
        agentId: text,
        workflowId: text,
        repoId: text,
        dedupScope: `named:${text}`,
        metadata: JSON.stringify({ [text]: text }),
      });
      await store.write(text, writeOf(document));
      expect(await write(tenant, document)).toEqual([{ outcome: "created", id: text }]);
      expect(await read(tenant, text)).toMatchObject({ agentId: text, metadata: { [text]: text } });
      await store.search(tenant, collection, { ...unbound, mode: "text", text });
      const page = { ...everything, after: text };
      await store.list(tenant, collection, page);
    }
    expect(await store.count(tenant, collection, undefined)).toBe(BigInt(hostile.length));
    await expect(store.collection("memories'; --")).rejects.toBeInstanceOf(DomainError);
  });

  test("an aborted call ends with the reason of its signal, and leaves nothing", async () => {
    const tenant = newTenant();
    const reason = new Error("enough");
    const aborted = AbortSignal.abort(reason);
    const document = newDocument("never", { id: "never" });
    await expect(store.write(tenant, writeOf(document), aborted)).rejects.toBe(reason);
    await expect(store.count(tenant, collection, undefined, aborted)).rejects.toBe(reason);
    const later = new AbortController();
    const writing = store.write(
      tenant,
      writeOf(
        ...Array.from({ length: 300 }, (_, i) =>
          newDocument(`never ${i}`, { vector: vectorOf(i) }),
        ),
      ),
      later.signal,
    );
    setTimeout(() => later.abort(reason), 5);
    await expect(writing).rejects.toBe(reason);
    expect(await idsOf(tenant)).toEqual([]);
  });
});

/** Text that does not compress. */
function randomText(length: number, seed: number): string {
  let state = seed + 1;
  let text = "";
  while (text.length < length) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    text += state.toString(36);
  }
  return text.slice(0, length);
}
