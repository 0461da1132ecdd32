import { beforeAll, beforeEach, expect, test } from "vitest";
import type { NewDocument, NewVector } from "../../services/vector-store/document.ts";
import type { Filter } from "../../services/vector-store/filter.ts";
import { instantNow } from "../../services/vector-store/instant.ts";
import type { NewPassage } from "../../services/vector-store/passage.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import type { SearchBy, SearchQuery } from "../../services/vector-store/search.ts";
import { contentHash } from "../../shared/hash.ts";
import { newId } from "../../shared/ids.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { drain } from "../../shared/rpc/testing/conditions.ts";
import { describeEachStore } from "../harness/postgres.ts";
import {
  collection,
  cosine,
  model,
  newDocument,
  searchOf,
  vectorOf,
  writeOf,
} from "./document-store-samples.ts";
import { randomVector } from "./vector-truth.ts";

const passage = (seed: number, start = 0, end = start + 5): NewPassage => ({
  vector: vectorOf(seed),
  range: { start, end },
});

/** Every third has passages, the more of them the later it stands. */
function sample(i: number): NewDocument {
  const count = i % 3 === 0 ? 1 + (i % 7) : 0;
  return newDocument(`number${i} word${i % 5} and what follows it`, {
    id: `d${i}`,
    vector: vectorOf(i),
    repoId: i % 2 === 0 ? "even" : "odd",
    passages: Array.from({ length: count }, (_, n) => passage(10_000 + 10 * i + n, n)),
  });
}

const evenOnly: Filter = {
  node: "condition",
  condition: { on: "text", field: "repo_id", test: { kind: "equals", value: "even" } },
};

describeEachStore("passages", (_, database) => {
  let postgres: Postgres;
  let store: PostgresDocumentStore;
  let tenant = "";
  const asked: string[] = [];

  beforeAll(() => {
    postgres = database().open();
    const query = postgres.query.bind(postgres);
    postgres.query = (statement, params, signal) => {
      asked.push(typeof statement === "string" ? statement : statement.text);
      return query(statement, params, signal);
    };
    store = new PostgresDocumentStore(postgres);
  });
  beforeEach(() => {
    tenant = newId();
  });

  const write = (...documents: NewDocument[]) => store.write(tenant, writeOf(...documents));
  const search = (by: SearchBy, given: Partial<SearchQuery> = {}, of = store) =>
    of.search(tenant, collection, searchOf(by, given));
  const nearest = (seed: number, given: Partial<SearchQuery> = {}) =>
    search({ mode: "vector", vector: vectorOf(seed) }, given);

  /** What stands in the table itself, by document. */
  async function stored(table = "memories"): Promise<Record<string, string>> {
    const { rows } = await postgres.query<{ document_id: string; ranges: string }>(
      `select document_id, string_agg(range_start || '-' || range_end, ' ' order by n) as ranges
      from ${table}_passages where tenant = $1 group by document_id order by document_id`,
      [tenant],
    );
    return Object.fromEntries(rows.map((row) => [row.document_id, row.ranges]));
  }

  /** By comparing every vector of every document. */
  function truth(documents: readonly NewDocument[], vector: number[]) {
    return documents
      .map(({ id, vector: own = [], passages = [] }) => {
        const whole = cosine(own, vector);
        const parts = passages.map((one) => ({ ...one, score: cosine(one.vector, vector) }));
        const best = parts.toSorted((a, b) => b.score - a.score)[0];
        const better = best !== undefined && best.score > whole ? best : undefined;
        return { id, closeness: better?.score ?? whole, range: better?.range };
      })
      .toSorted((a, b) => b.closeness - a.closeness);
  }

  async function expectTruth(
    of: PostgresDocumentStore,
    documents: readonly NewDocument[],
    given: Partial<SearchQuery> = {},
  ) {
    let byPassage = 0;
    for (const seed of [10_000, 10_031, 10_095, 7, 20_000, 20_001]) {
      const vector = vectorOf(seed);
      const best = truth(documents, vector);
      const hits = await search({ mode: "vector", vector }, given, of);
      const wanted = best.slice(0, given.limit ?? 10);
      expect(hits.map((hit) => hit.document.id)).toEqual(wanted.map((one) => one.id));
      expect(hits.map((hit) => hit.passage)).toEqual(wanted.map((one) => one.range));
      for (const [i, hit] of hits.entries()) {
        expect(hit.score).toBeCloseTo(Math.max(0, wanted[i]?.closeness ?? 0), 5);
      }
      byPassage += wanted.filter((one) => one.range !== undefined).length;
    }
    expect(byPassage).toBeGreaterThan(6);
  }

  test("a document is as near as its nearest vector, and one hit, whatever it takes", async () => {
    const documents = Array.from({ length: 100 }, (_, i) => sample(i));
    await write(...documents, newDocument("without a vector", { id: "none" }));
    const even = documents.filter((one) => one.repoId === "even");
    for (const given of [{}, { exact: true }, { limit: 3 }, { limit: 100 }]) {
      await expectTruth(store, documents, given);
      await expectTruth(store, even, { ...given, filter: evenOnly });
    }
  });

  test("the best score of all decides on min_score, and other tenants have no part in it", async () => {
    await write(newDocument("long text", { id: "a", vector: vectorOf(1), passages: [passage(2)] }));
    expect(await nearest(2, { minScore: 0.9 })).toMatchObject([
      { document: { id: "a" }, score: 1, vectorScore: 1, passage: { start: 0, end: 5 } },
    ]);
    expect(await nearest(1, { minScore: 0.9 })).toMatchObject([{ passage: undefined }]);
    expect(await nearest(3, { minScore: 0.9 })).toEqual([]);
    tenant = newId();
    expect(await nearest(2)).toEqual([]);
  });

  test("in a hybrid search the vector part is that of the best passage", async () => {
    await write(
      newDocument("zebra in the middle", { id: "a", vector: vectorOf(1), passages: [passage(2)] }),
      newDocument("zebra", { id: "b", vector: vectorOf(3) }),
      newDocument("lion", { id: "c", vector: vectorOf(4), passages: [passage(5), passage(6, 7)] }),
    );
    const by = { mode: "hybrid", text: "zebra" } as const;
    for (const exact of [false, true]) {
      const [first, ...others] = await search({ ...by, vector: vectorOf(2) }, { exact });
      expect(first).toMatchObject({ document: { id: "a" }, vectorScore: 1, passage: { start: 0 } });
      expect(others.map((hit) => hit.document.id).sort()).toEqual(["b", "c"]);
      const hits = await search({ ...by, vector: vectorOf(6) }, { exact });
      expect(hits.find((hit) => hit.document.id === "c")).toMatchObject({
        vectorScore: 1,
        textScore: 0,
        passage: { start: 7, end: 12 },
      });
    }
    const words = await search({ mode: "text", text: "zebra" });
    expect(words.map((hit) => hit.passage)).toEqual([undefined, undefined]);
  });

  test("what is remembered of a scope leaves no passage out, new ones neither", async () => {
    const documents = Array.from({ length: 150 }, (_, i) => sample(i));
    await write(...documents);
    await using known = new PostgresDocumentStore(postgres, {
      knownScopes: { bytes: 64 * 2 ** 20, fewest: 100, searches: 1, pausePerReading: 0 },
    });
    await nearest(1);
    await search({ mode: "vector", vector: vectorOf(1) }, {}, known);
    await known.settled();
    await expectTruth(known, documents);
    const even = documents.filter((one) => one.repoId === "even");
    await expectTruth(known, even, { filter: evenOnly, limit: 4 });
    // Words and vectors mixed are the same as without any memory, to the last bit.
    for (const seed of [10_000, 10_031, 7, 20_000]) {
      const by = { mode: "hybrid", vector: vectorOf(seed), text: "word3 number60" } as const;
      asked.length = 0;
      const found = await search(by, { limit: 20 }, known);
      expect(asked.some((text) => text.includes("verdict as materialized"))).toBe(true);
      expect(found).toEqual(await search(by, { limit: 20, exact: true }));
    }
    const late = newDocument("late", {
      id: "late",
      vector: vectorOf(5),
      passages: [passage(10_031)],
    });
    await write(late);
    await expectTruth(known, [...documents, late]);
  });

  test("an index finds by passages too, and both kinds of vectors of every type", async () => {
    for (const [dimension, distance] of [
      [768, "cosine"],
      [2_100, "euclidean"],
      [3, "dot_product"],
    ] as const) {
      const name = `passages_${dimension}`;
      const settings = {
        name,
        dimension,
        distance,
        embeddingModel: model,
        textLanguage: "english",
      };
      await store.createCollection(settings);
      const documents = Array.from({ length: 60 }, (_, i) =>
        newDocument(`text ${i}`, {
          id: `d${i}`,
          vector: randomVector(dimension, i),
          passages:
            i % 2 === 0
              ? [{ vector: randomVector(dimension, 100 + i), range: { start: 0, end: 4 } }]
              : [],
        }),
      );
      await store.write(tenant, { collection: name, model, documents });
      await drain(
        store.buildIndex(name, { kind: "hnsw", m: undefined, efConstruction: undefined }),
      );
      // No scope is small enough to be searched exactly.
      const indexed = new PostgresDocumentStore(postgres, { exactScope: 1 });
      for (const i of [0, 10, 42]) {
        const query = searchOf(
          { mode: "vector", vector: randomVector(dimension, 100 + i) },
          { limit: 60 },
        );
        const hits = await indexed.search(tenant, name, query);
        expect(hits).toHaveLength(60);
        expect(new Set(hits.map((hit) => hit.document.id)).size).toBe(60);
        if (distance !== "dot_product") {
          expect(hits[0]).toMatchObject({
            document: { id: `d${i}` },
            passage: { start: 0, end: 4 },
          });
        }
        const exact = await indexed.search(tenant, name, { ...query, exact: true });
        expect(hits.map((hit) => hit.score)).toEqual(exact.map((hit) => hit.score));
      }
      await store.deleteCollection(name);
      const { rows } = await postgres.query(
        "select relname from pg_class where relname like '%\\_passages' and relname <> 'memories_passages'",
      );
      expect(rows).toEqual([]);
    }
  });

  test("passages belong to the vector: kept with it, replaced with it, lost with it", async () => {
    const given = { id: "a", vector: vectorOf(1), passages: [passage(2), passage(3, 5)] };
    const first = newDocument("some text", given);
    await write(first);
    expect(await stored()).toEqual({ a: "0-5 5-10" });
    // Done again, nothing changes.
    await write(first);
    expect(await stored()).toEqual({ a: "0-5 5-10" });
    // The same content without a vector keeps both.
    await write(newDocument("some text", { id: "a", metadata: '{"k": 1}' }));
    expect(await stored()).toEqual({ a: "0-5 5-10" });
    expect(await nearest(3)).toMatchObject([{ score: 1 }]);
    // A vector replaces them, by none where it brings none.
    await write(newDocument("some text", { ...given, passages: [passage(4)] }));
    expect(await stored()).toEqual({ a: "0-5" });
    await write(newDocument("some text", { ...given, passages: [] }));
    expect(await stored()).toEqual({});
    await write(first);
    await write(newDocument("another text", { id: "a" }));
    expect(await stored()).toEqual({});
    expect(await nearest(2)).toEqual([]);
  });

  test("they change with one document's vector or content, and with nothing else", async () => {
    await write(newDocument("text", { id: "a", vector: vectorOf(1), passages: [passage(2)] }));
    const change = async (one: Parameters<PostgresDocumentStore["change"]>[1]["change"]) => {
      await store.change(tenant, { collection, model, change: one });
      return await stored();
    };
    const text = (value: string) => ({ text: value, hash: contentHash(value) });
    expect(await change({ id: "a", metadata: "{}" })).toEqual({ a: "0-5" });
    expect(await change({ id: "a", content: text("text") })).toEqual({ a: "0-5" });
    const vector = vectorOf(3);
    expect(await change({ id: "a", vector, passages: [passage(4, 1)] })).toEqual({ a: "1-6" });
    const anew = { content: text("other"), vector, passages: [passage(5, 2)] };
    expect(await change({ id: "a", ...anew })).toEqual({ a: "2-7" });
    expect(await nearest(5)).toMatchObject([{ score: 1 }]);
    expect(await change({ id: "a", content: text("third") })).toEqual({});
  });

  test("vectors that come later bring theirs, unless the content is another by now", async () => {
    await write(newDocument("text", { id: "a" }), newDocument("another", { id: "b" }));
    const vectors: NewVector[] = [
      { id: "a", contentHash: contentHash("text"), vector: vectorOf(1), passages: [passage(2)] },
      { id: "b", contentHash: contentHash("old"), vector: vectorOf(1), passages: [passage(3)] },
      { id: "c", contentHash: contentHash("gone"), vector: vectorOf(1), passages: [passage(3)] },
    ];
    const late = () => store.writeVectors(tenant, { collection, model, vectors });
    for (let round = 0; round < 2; round++) {
      expect(await late()).toEqual(["updated", "content_changed", "not_found"]);
      expect(await stored()).toEqual({ a: "0-5" });
    }
    expect(await nearest(2)).toMatchObject([{ document: { id: "a" }, score: 1 }]);
  });

  test("who takes a duplicate's vector takes its passages; who has one keeps its own", async () => {
    await write(
      newDocument("text", { id: "a" }),
      newDocument("other", { id: "b", vector: vectorOf(9) }),
    );
    const twin = (content: string) =>
      newDocument(content, { vector: vectorOf(1), passages: [passage(2)] });
    const outcomes = await write(twin("text"), twin("other"));
    expect(outcomes.map((one) => one.outcome)).toEqual(["deduplicated", "deduplicated"]);
    expect(await stored()).toEqual({ a: "0-5" });
    await write(twin("text"));
    expect(await stored()).toEqual({ a: "0-5" });
  });

  test("they go with their document, however it goes", async () => {
    const soon = instantNow() + 200_000n;
    const parts = { vector: vectorOf(1), passages: [passage(2)] };
    await write(
      newDocument("1", { id: "a", ...parts }),
      newDocument("2", { id: "b", ...parts }),
      newDocument("3", { id: "c", ...parts, expireTime: soon }),
      newDocument("4", { id: "d", ...parts }),
    );
    await store.delete(tenant, collection, { by: "ids", ids: ["a"] });
    expect(Object.keys(await stored())).toEqual(["b", "c", "d"]);
    const replacement = { ...writeOf(newDocument("5", { id: "e", ...parts })), deleteIds: ["b"] };
    await store.replace(tenant, replacement);
    expect(Object.keys(await stored())).toEqual(["c", "d", "e"]);
    await postgres.query("update memories set expires_at = now() where tenant = $1 and id = 'c'", [
      tenant,
    ]);
    const found = await nearest(2);
    expect(found.map((hit) => hit.document.id)).toEqual(["d", "e"]);
    expect(await store.removeExpired(collection, 10)).toBe(1);
    expect(Object.keys(await stored())).toEqual(["d", "e"]);
    // A new one takes the place of an expired one that is still there.
    await postgres.query("update memories set expires_at = now() where tenant = $1 and id = 'd'", [
      tenant,
    ]);
    await write(newDocument("4", { id: "d", vector: vectorOf(1) }));
    expect(Object.keys(await stored())).toEqual(["e"]);
    await store.delete(tenant, collection, { by: "all" });
    expect(await stored()).toEqual({});
  });

  test("a refused replacement leaves them as they were", async () => {
    await write(
      newDocument("1", { id: "a", vector: vectorOf(1), passages: [passage(2)] }),
      newDocument("2", { id: "b" }),
    );
    const refused = newDocument("2", { id: "a", vector: vectorOf(1), passages: [passage(3, 9)] });
    const { committed } = await store.replace(tenant, { ...writeOf(refused), deleteIds: [] });
    expect(committed).toBe(false);
    expect(await stored()).toEqual({ a: "0-5" });
  });

  test("writers of one document at the same time leave one set", async () => {
    const versions = Array.from({ length: 8 }, (_, i) =>
      newDocument("same text", {
        id: "a",
        vector: vectorOf(i),
        passages: Array.from({ length: i + 1 }, (__, n) => passage(100 * i + n, n)),
      }),
    );
    await Promise.all(versions.map((one) => write(one)));
    const [document] = await store.get(tenant, collection, ["a"], true);
    const winner = versions.findIndex((one) => one.vector?.[0] === document?.vector?.[0]);
    expect((await stored())["a"]?.split(" ")).toHaveLength(winner + 1);
  });
});
