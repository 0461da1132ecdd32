import { beforeAll, describe, expect, test } from "vitest";
import type { DistanceName, NewCollection } from "../../services/vector-store/collection.ts";
import type { NewDocument } from "../../services/vector-store/document.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import {
  defaultVectorWeight,
  type SearchBy,
  type SearchQuery,
} from "../../services/vector-store/search.ts";
import { contentHash } from "../../shared/hash.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { model, newDocument, searchOf } from "./document-store-samples.ts";
import { compared, randomVector } from "./vector-truth.ts";

const everything = { filter: undefined, after: undefined, limit: 1_000, includeVectors: true };

/** What stands for each type of vector, each distance, and each way in which vectors are kept. */
const kinds: readonly { dimension: number; distance: DistanceName; scale: number }[] = [
  { dimension: 3, distance: "euclidean", scale: 1 },
  { dimension: 384, distance: "dot_product", scale: 0.05 },
  { dimension: 384, distance: "dot_product", scale: 40 },
  { dimension: 1_536, distance: "cosine", scale: 1 },
  { dimension: 2_000, distance: "euclidean", scale: 50 },
  { dimension: 2_001, distance: "cosine", scale: 1 },
  { dimension: 3_000, distance: "euclidean", scale: 1 },
  { dimension: 4_000, distance: "dot_product", scale: 1 },
];

describeEachStore("collections", (kind, database) => {
  let postgres: Postgres;
  let store: PostgresDocumentStore;
  let made = 0;
  const tenant = "tenant";
  const newCollection = (given: Partial<NewCollection> = {}): NewCollection => ({
    name: `collection_${++made}`,
    dimension: 3,
    distance: "cosine",
    embeddingModel: undefined,
    textLanguage: "english",
    ...given,
  });
  const write = (collection: string, ...documents: NewDocument[]) =>
    store.write(tenant, { collection, model, documents });
  const search = (collection: string, by: SearchBy, given: Partial<SearchQuery> = {}) =>
    store.search(tenant, collection, searchOf(by, given));

  beforeAll(() => {
    postgres = database().open();
    store = new PostgresDocumentStore(postgres, { maxCollections: 1_000 });
  });

  describe.each(kinds)("of $dimension components, $distance, times $scale", (kind) => {
    const { dimension, distance, scale } = kind;
    const vectorOf = (seed: number) => randomVector(dimension, seed, scale);
    let name: string;
    beforeAll(async () => {
      name = (await store.createCollection(newCollection({ dimension, distance }))).name;
    });

    test("are found as comparing every vector finds them, best first", async () => {
      const documents = Array.from({ length: 40 }, (_, i) =>
        newDocument(`word${i} common`, { id: `d${i}`, vector: vectorOf(i) }),
      );
      await write(name, ...documents, newDocument("without a vector"));
      const vector = vectorOf(1_000);
      const hits = await search(name, { mode: "vector", vector }, { limit: 100 });
      expect(hits).toHaveLength(40);
      const own = new Map(documents.map((one) => [one.id, one.vector ?? []]));
      const found = hits.map(({ document, score }) => ({
        score,
        ...{ truth: compared(distance, own.get(document.id) ?? [], vector) },
      }));
      // In half precision a vector is what it is to three digits.
      const digits = dimension > 2_000 ? 2 : 4;
      for (const { score, truth } of found) expect(score).toBeCloseTo(truth.score, digits);
      const slack = dimension > 2_000 ? 0.02 * scale : 1e-4 * scale * scale;
      for (const [i, { truth }] of found.slice(1).entries()) {
        const before = found[i]?.truth.closeness ?? 0;
        expect(truth.closeness).toBeLessThanOrEqual(before + slack * (1 + Math.abs(before)));
      }
      const few = await search(name, { mode: "vector", vector }, { limit: 7 });
      expect(few.map((one) => one.document.id)).toEqual(
        hits.slice(0, 7).map((one) => one.document.id),
      );
    });

    test("come back as written, as far as their precision goes", async () => {
      const vector = vectorOf(50);
      await write(name, newDocument("one to read", { id: "read", vector }));
      const [found] = await store.get(tenant, name, ["read"], true);
      const read = [...(found?.vector ?? [])];
      if (dimension <= 2_000) expect(read).toEqual(vector);
      expect(read).toHaveLength(dimension);
      for (const [i, value] of read.entries()) {
        expect(Math.abs(value - (vector[i] ?? 0))).toBeLessThanOrEqual(0.001 * scale);
      }
    });

    test("take every kind of write", async () => {
      const [holder] = await write(name, newDocument("a holder", { agentId: "a" }));
      const again = newDocument("a holder", { agentId: "a", vector: vectorOf(60) });
      expect(await write(name, again)).toEqual([{ outcome: "deduplicated", id: holder?.id }]);
      const replaced = newDocument("another", { id: holder?.id ?? "", agentId: "a" });
      expect(await write(name, replaced)).toMatchObject([{ outcome: "updated" }]);
      const late = {
        id: holder?.id ?? "",
        contentHash: contentHash("another"),
        vector: vectorOf(61),
      };
      const vectors = { collection: name, model, vectors: [late] };
      expect(await store.writeVectors(tenant, vectors)).toEqual(["updated"]);
      const hits = await search(name, { mode: "vector", vector: vectorOf(61) }, { limit: 1_000 });
      expect(hits.map((one) => one.document.id)).toContain(holder?.id);
    });

    test("are searched by words and by both, listed, counted and deleted", async () => {
      await write(name, newDocument("zebra lion", { id: "z", vector: vectorOf(70) }));
      const text = "zebra";
      const byText = await search(name, { mode: "text", text });
      expect(byText.map((one) => one.document.id)).toEqual(["z"]);
      const both = await search(name, { mode: "hybrid", text, vector: vectorOf(70) }, { limit: 1 });
      expect(both[0]?.document.id).toBe("z");
      expect(both[0]?.score).toBeCloseTo(
        defaultVectorWeight * (both[0]?.vectorScore ?? 0) +
          (1 - defaultVectorWeight) * (both[0]?.textScore ?? 0),
        5,
      );
      const { documents } = await store.list(tenant, name, everything);
      expect(await store.count(tenant, name, undefined)).toBe(BigInt(documents.length));
      expect(await store.count("another tenant", name, undefined)).toBe(0n);
      expect(await store.delete(tenant, name, { by: "ids", ids: ["z", "none"] })).toBe(1n);
      expect(await store.delete("another tenant", name, { by: "all" })).toBe(0n);
      expect(await store.delete(tenant, name, { by: "all" })).toBe(BigInt(documents.length - 1));
    });
  });

  test("order what a score cuts off, and equal ones by id", async () => {
    const { name } = await store.createCollection(newCollection({ dimension: 2 }));
    const at = (degrees: number) => {
      const radians = (degrees * Math.PI) / 180;
      return [Math.cos(radians), Math.sin(radians)];
    };
    await write(
      name,
      ...[170, 100, 140, 120].map((degrees) =>
        newDocument(`at ${degrees}`, { id: `at-${degrees}`, vector: at(degrees) }),
      ),
      newDocument("same", { id: "a-same", vector: at(120) }),
    );
    const hits = await search(name, { mode: "vector", vector: [1, 0] });
    expect(hits.map((one) => one.score)).toEqual([0, 0, 0, 0, 0]);
    expect(hits.map((one) => one.document.id)).toEqual([
      "at-100",
      "a-same",
      "at-120",
      "at-140",
      "at-170",
    ]);
  });

  test("are created once, described, listed by name, and deleted", async () => {
    const wanted = newCollection({
      dimension: 1_024,
      distance: "dot_product",
      embeddingModel: "m",
    });
    expect(await store.createCollection(wanted)).toMatchObject({ ...wanted, index: undefined });
    await expect(store.createCollection(wanted)).rejects.toMatchObject({
      kind: "already_exists",
      reason: "COLLECTION_EXISTS",
      facts: { collection: wanted.name },
    });
    const { collection, statistics } = await store.describe(wanted.name);
    expect(collection).toMatchObject(wanted);
    expect(statistics.tableBytes).toBeGreaterThan(0n);
    expect(statistics.indexBytes).toBe(0n);
    expect(statistics.pgvectorVersion).toMatch(/^\d+\.\d+/);
    const names = (await store.collections(undefined, 1_000)).map((one) => one.name);
    expect(names).toEqual([...names].sort());
    expect(names).toEqual(expect.arrayContaining(["memories", wanted.name]));
    await store.deleteCollection(wanted.name);
    const unknown = { kind: "not_found", reason: "COLLECTION_NOT_FOUND" };
    const order = { kind: "hnsw", m: undefined, efConstruction: undefined } as const;
    for (const call of [
      () => store.collection(wanted.name),
      () => store.describe(wanted.name),
      () => store.deleteCollection(wanted.name),
      () => search(wanted.name, { mode: "vector", vector: [1] }),
      () => write(wanted.name, newDocument("x")),
      () => store.count(tenant, wanted.name, undefined),
      () => store.buildIndex(wanted.name, order).next(),
    ]) {
      await expect(call()).rejects.toMatchObject(unknown);
    }
    await expect(store.deleteCollection("memories")).rejects.toMatchObject({
      kind: "failed_precondition",
      reason: "COLLECTION_PROTECTED",
    });
  });

  // The embedded server's statistics are nobody's to collect.
  test.runIf(kind === "postgres")(
    "tell how many rows they have, and how many dead ones",
    async () => {
      const { name } = await store.createCollection(newCollection({ dimension: 3 }));
      const documents = Array.from({ length: 40 }, (_, i) =>
        newDocument(`text ${i}`, { id: `d${i}`, vector: [1, i, 0] }),
      );
      await write(name, ...documents);
      const ids = documents.slice(0, 15).map(({ id }) => id);
      await store.delete(tenant, name, { by: "ids", ids });
      const told = async () => {
        const { rows, deadRows } = (await store.describe(name)).statistics;
        return { rows, deadRows };
      };
      // The server's sessions report what they did every now and then.
      await expect
        .poll(told, { timeout: 30_000, interval: 250 })
        .toEqual({ rows: 25n, deadRows: 15n });
    },
  );

  test("of one name are created by one of several callers, and never too many", async () => {
    const wanted = newCollection();
    const same = await Promise.allSettled(
      Array.from({ length: 4 }, () => store.createCollection(wanted)),
    );
    expect(same.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    const existing = (await store.collections(undefined, 1_000)).length;
    const bounded = new PostgresDocumentStore(postgres, { maxCollections: existing + 2 });
    const many = await Promise.allSettled(
      Array.from({ length: 5 }, () => bounded.createCollection(newCollection())),
    );
    expect(many.filter((one) => one.status === "fulfilled")).toHaveLength(2);
    for (const one of [...same, ...many]) {
      if (one.status === "rejected") {
        expect(one.reason.reason).toMatch(/^(COLLECTION_EXISTS|TOO_MANY_COLLECTIONS)$/);
      }
    }
    expect(await store.collections(undefined, 1_000)).toHaveLength(existing + 2);
  });

  test("deleted by another process are not found, and new ones of their name are", async () => {
    const other = new PostgresDocumentStore(postgres, { maxCollections: 1_000 });
    const wanted = newCollection({ embeddingModel: model });
    await other.createCollection(wanted);
    const vector = [1, 2, 3];
    await write(wanted.name, newDocument("old", { id: "old", vector }));
    await other.deleteCollection(wanted.name);
    // It still remembers the collection.
    await expect(search(wanted.name, { mode: "vector", vector })).rejects.toMatchObject({
      reason: "COLLECTION_NOT_FOUND",
    });
    await other.createCollection(wanted);
    await write(wanted.name, newDocument("new", { id: "new", vector }));
    await other.deleteCollection(wanted.name);
    await other.createCollection(wanted);
    // What was remembered has another table than what is there by now.
    expect(await search(wanted.name, { mode: "vector", vector })).toEqual([]);
    expect(await write(wanted.name, newDocument("new", { id: "new", vector }))).toMatchObject([
      { outcome: "created" },
    ]);
  });

  test("may be deleted while others read and write", async () => {
    const other = new PostgresDocumentStore(database().open(), { maxCollections: 1_000 });
    const wanted = newCollection({ embeddingModel: model });
    await other.createCollection(wanted);
    let calls = 0;
    const refusals: unknown[] = [];
    const user = async (call: (i: number) => Promise<unknown>) => {
      for (let i = 0; i < 10_000; i++) {
        try {
          await call(i);
          calls += 1;
        } catch (error) {
          refusals.push(error);
          return;
        }
      }
    };
    const users = [
      user((i) => write(wanted.name, newDocument(`a ${i}`, { vector: [i + 1, 1, 0] }))),
      user((i) => write(wanted.name, newDocument(`b ${i}`, { id: "b", vector: [i + 1, 1, 0] }))),
      user(() => search(wanted.name, { mode: "vector", vector: [1, 0, 0] })),
      user(() => search(wanted.name, { mode: "hybrid", vector: [1, 0, 0], text: "a" })),
      user(() => store.list(tenant, wanted.name, everything)),
      user(() => store.count(tenant, wanted.name, undefined)),
    ];
    await expect.poll(() => calls, { timeout: 30_000 }).toBeGreaterThan(60);
    await other.deleteCollection(wanted.name);
    await Promise.all(users);
    expect(refusals).toHaveLength(users.length);
    for (const refusal of refusals) {
      expect(refusal).toMatchObject({ kind: "not_found", reason: "COLLECTION_NOT_FOUND" });
    }
    await other[Symbol.asyncDispose]();
  });
});
