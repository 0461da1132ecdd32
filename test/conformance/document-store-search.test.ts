import { create, toBinary } from "@bufbuild/protobuf";
import { beforeAll, expect, test } from "vitest";
import { hitMessage } from "../../services/vector-store/convert.ts";
import type { NewDocument } from "../../services/vector-store/document.ts";
import type { Filter } from "../../services/vector-store/filter.ts";
import { instantNow } from "../../services/vector-store/instant.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import type { SearchBy, SearchQuery } from "../../services/vector-store/search.ts";
import { SearchResponseSchema } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
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

const ofRepo = (repoId: string): Filter => ({
  node: "condition",
  condition: { on: "text", field: "repo_id", test: { kind: "equals", value: repoId } },
});

/** Words without endings, so that every one is its own lexeme. */
const corpus: Readonly<Record<string, string>> = {
  a: "zebra zebra zebra lion",
  b: "zebra lion lion tiger wolf bear",
  c: "lion",
  d: "tiger wolf bear fox hawk crow lark",
  e: "fox hawk",
  f: "otter",
};

/** BM25 as the contract describes it, over words. */
function bm25(documents: Readonly<Record<string, string>>, query: readonly string[]) {
  const words = Object.entries(documents).map(([id, text]) => ({ id, list: text.split(" ") }));
  const mean = words.reduce((sum, { list }) => sum + list.length, 0) / words.length;
  const idf = (word: string) => {
    const df = words.filter(({ list }) => list.includes(word)).length;
    return Math.log(1 + (words.length - df + 0.5) / (df + 0.5));
  };
  const best = query.reduce((sum, word) => sum + idf(word) * 2.2, 0);
  const scores = words.map(({ id, list }) => {
    const score = query.reduce((sum, word) => {
      const tf = list.filter((one) => one === word).length;
      return sum + (idf(word) * tf * 2.2) / (tf + 1.2 * (0.1 + (0.9 * list.length) / mean));
    }, 0);
    return { id, score: score / best };
  });
  return scores
    .filter(({ score }) => score > 0)
    .sort((x, y) => y.score - x.score || (x.id < y.id ? -1 : 1));
}

describeEachStore("search", (_, database) => {
  let store: PostgresDocumentStore;
  let tenants = 0;
  const newTenant = () => `tenant-${++tenants}`;

  beforeAll(() => {
    store = new PostgresDocumentStore(database().open());
  });
  const write = (tenant: string, ...documents: NewDocument[]) =>
    store.write(tenant, writeOf(...documents));
  const search = (tenant: string, by: SearchBy, given: Partial<SearchQuery> = {}) =>
    store.search(tenant, collection, searchOf(by, given));
  const writeCorpus = (tenant: string) =>
    write(tenant, ...Object.entries(corpus).map(([id, text]) => newDocument(text, { id })));

  test("by vector finds what comparing every vector finds, best first", async () => {
    const tenant = newTenant();
    const documents = Array.from({ length: 120 }, (_, i) =>
      newDocument(`text ${i}`, { id: `d${i}`, vector: vectorOf(i) }),
    );
    await write(tenant, ...documents, newDocument("without a vector"));
    for (const seed of [1_000, 1_001, 1_002]) {
      const vector = vectorOf(seed);
      const hits = await search(tenant, { mode: "vector", vector }, { limit: 120 });
      expect(hits).toHaveLength(120);
      for (const hit of hits) {
        const own = documents.find((one) => one.id === hit.document.id)?.vector ?? [];
        expect(hit.score).toBeCloseTo(Math.max(0, cosine(own, vector)), 5);
        expect(hit.vectorScore).toBe(hit.score);
        expect(hit.textScore).toBeUndefined();
        expect(hit.document.vector).toBeUndefined();
      }
      // What a score of 0 cuts off still counts in the order.
      const near = hits.map(({ document }) => {
        const own = documents.find((one) => one.id === document.id)?.vector ?? [];
        return cosine(own, vector);
      });
      expect(near.some((one) => one < 0)).toBe(true);
      for (const [i, one] of near.slice(1).entries()) {
        expect(one).toBeLessThanOrEqual((near[i] ?? 0) + 1e-6);
      }
      const order = hits.map((one) => ({ score: one.score, id: one.document.id }));
      const few = await search(tenant, { mode: "vector", vector }, { limit: 7 });
      expect(few.map((one) => one.document.id)).toEqual(order.slice(0, 7).map((one) => one.id));
    }
  });

  test("equal scores are ordered by id, opposite vectors score 0", async () => {
    const tenant = newTenant();
    const vector = vectorOf(1);
    const opposite = vector.map((one) => -one);
    await write(
      tenant,
      newDocument("1", { id: "b", vector }),
      newDocument("2", { id: "a", vector: vector.map((one) => one * 2) }),
      newDocument("3", { id: "d", vector: opposite }),
      newDocument("4", { id: "c", vector: opposite }),
    );
    const hits = await search(tenant, { mode: "vector", vector }, { includeVectors: true });
    expect(hits.map((one) => [one.document.id, one.score])).toEqual([
      ["a", 1],
      ["b", 1],
      ["c", 0],
      ["d", 0],
    ]);
    expect([...(hits[1]?.document.vector ?? [])]).toEqual(vector);
    const good = await search(tenant, { mode: "vector", vector }, { minScore: 0.5 });
    expect(good.map((one) => one.document.id)).toEqual(["a", "b"]);
  });

  test("very long and very short vectors compare by their direction", async () => {
    const tenant = newTenant();
    const vector = vectorOf(1);
    const scaled = (by: number) => vector.map((one) => Math.fround(one * by));
    await write(
      tenant,
      newDocument("1", { id: "long", vector: scaled(1e16) }),
      newDocument("2", { id: "short", vector: scaled(1e-16) }),
    );
    for (const by of [1e16, 1, 1e-16]) {
      const hits = await search(tenant, { mode: "vector", vector: scaled(by) });
      for (const hit of hits) expect(hit.score).toBeCloseTo(1, 4);
    }
  });

  test("the filter is applied before the limit, in every mode", async () => {
    const tenant = newTenant();
    const vector = vectorOf(1);
    const near = Array.from({ length: 60 }, (_, i) =>
      newDocument(`zebra zebra zebra ${i}`, { vector, repoId: "other" }),
    );
    const far = newDocument("zebra and much else that makes the document long and less fit", {
      id: "far",
      vector: vectorOf(2),
      repoId: "mine",
    });
    await write(tenant, ...near, far);
    const modes: SearchBy[] = [
      { mode: "vector", vector },
      { mode: "text", text: "zebra" },
      { mode: "hybrid", vector, text: "zebra" },
    ];
    for (const by of modes) {
      const hits = await search(tenant, by, { filter: ofRepo("mine"), limit: 3 });
      expect(hits.map((one) => one.document.id)).toEqual(["far"]);
    }
  });

  test.each([
    [["zebra"]],
    [["zebra", "lion"]],
    [["lion", "tiger", "fox", "crow"]],
    [["otter", "unicorn"]],
    [["bear", "bear", "bear"]],
  ])("by words ranks by BM25: %s", async (query) => {
    const tenant = newTenant();
    await writeCorpus(tenant);
    const hits = await search(tenant, { mode: "text", text: query.join(" ") });
    const expected = bm25(corpus, [...new Set(query)]);
    expect(hits.map((one) => one.document.id)).toEqual(expected.map((one) => one.id));
    for (const [i, hit] of hits.entries()) {
      expect(hit.score).toBeCloseTo(expected[i]?.score ?? Number.NaN, 6);
      expect(hit.textScore).toBe(hit.score);
      expect(hit.vectorScore).toBeUndefined();
    }
  });

  test("words are counted in the scope that is searched, and nowhere else", async () => {
    const tenant = newTenant();
    await writeCorpus(newTenant());
    const inRepo = { c: corpus["c"] ?? "", d: corpus["d"] ?? "", e: corpus["e"] ?? "" };
    for (const [id, text] of Object.entries(corpus)) {
      const repoId = id in inRepo ? "mine" : "other";
      await write(tenant, newDocument(text, { id, repoId }));
    }
    const expireTime = instantNow() - 1n;
    await write(tenant, newDocument("fox fox lion", { id: "x", repoId: "mine", expireTime }));
    const hits = await search(
      tenant,
      { mode: "text", text: "fox lion" },
      { filter: ofRepo("mine") },
    );
    const expected = bm25(inRepo, ["fox", "lion"]);
    expect(hits.map((one) => one.document.id)).toEqual(expected.map((one) => one.id));
    for (const [i, hit] of hits.entries())
      expect(hit.score).toBeCloseTo(expected[i]?.score ?? 2, 6);
  });

  test("words match in any form, and no query is syntax", async () => {
    const tenant = newTenant();
    await write(
      tenant,
      newDocument("The engineers were debugging migrations", { id: "en" }),
      newDocument("Übergrößenträger füttern Ärzte 東京 データベース", { id: "other" }),
      newDocument("it's a \\ back'slash and foo-bar.baz at https://example.com/a'b", { id: "odd" }),
    );
    const found = async (text: string) =>
      (await search(tenant, { mode: "text", text })).map((one) => one.document.id);
    expect(await found("engineer debugs a migration")).toEqual(["en"]);
    expect(await found("übergrößenträger")).toEqual(["other"]);
    expect(await found("東京")).toEqual(["other"]);
    expect(await found("foo-bar.baz https://example.com/a'b")).toEqual(["odd"]);
    for (const nothing of ["the of and", "", "   ", "''", "!&|<->()", ":*", "\\", "\0", "\ud800"]) {
      expect(await found(nothing), JSON.stringify(nothing)).toEqual([]);
    }
    for (const text of [
      "engineers & !migrations",
      "engineers:* <-> (x | 'y')",
      "'engineers",
      "engineers\\",
      "engineers\0migrations",
      "engineers'); drop table memories; --",
      "engineers ".repeat(3_000),
      `engineers ${Array.from({ length: 6_000 }, (_, i) => i.toString(36)).join(" ")}`,
      `engineers ${"x".repeat(10_000)}`,
    ]) {
      expect(await found(text), text.slice(0, 40)).toContain("en");
    }
  });

  test("words beyond the first 65,536 characters are stored and not searched", async () => {
    const tenant = newTenant();
    const filling = "filler ".repeat(9_000);
    await write(tenant, newDocument(`zebra ${filling} ${filling} lion`, { id: "long" }));
    expect(await search(tenant, { mode: "text", text: "zebra" })).toHaveLength(1);
    expect(await search(tenant, { mode: "text", text: "lion" })).toHaveLength(0);
  });

  test("hybrid takes what either leg finds, and knows both parts of each", async () => {
    const tenant = newTenant();
    const vector = vectorOf(1);
    const filling = Array.from({ length: 80 }, (_, i) =>
      newDocument(`nothing of the kind ${i}`, { vector: vectorOf(100 + i) }),
    );
    const far = vector.map((one, i) => (i % 2 === 0 ? one : -one));
    await write(
      tenant,
      ...filling,
      newDocument("no word in common", { id: "near", vector }),
      newDocument("zebra lion", { id: "worded", vector: far }),
      newDocument("zebra", { id: "both", vector: vectorOf(1).map((one, i) => one + (i % 3) / 10) }),
    );
    const hits = await search(tenant, { mode: "hybrid", vector, text: "zebra lion" });
    const of = (id: string) => hits.find((one) => one.document.id === id);
    for (const id of ["near", "worded", "both"]) expect(of(id), id).toBeDefined();
    expect(of("near")).toMatchObject({ vectorScore: 1, textScore: 0 });
    expect(of("near")?.score).toBeCloseTo(0.6, 6);
    expect(of("worded")?.vectorScore).toBeCloseTo(Math.max(0, cosine(far, vector)), 5);
    for (const { score, vectorScore = -1, textScore = -1 } of hits) {
      expect(score).toBeCloseTo(0.6 * vectorScore + 0.4 * textScore, 6);
    }
    for (const vectorWeight of [0, 0.25, 1]) {
      const by = { mode: "hybrid" as const, vector, text: "zebra lion", vectorWeight };
      const weighed = await search(tenant, by);
      const order = weighed.map((one) => one.score);
      expect(order).toEqual(order.toSorted((a, b) => b - a));
      for (const { score, vectorScore = -1, textScore = -1 } of weighed) {
        const expected = vectorWeight * vectorScore + (1 - vectorWeight) * textScore;
        expect(score).toBeCloseTo(expected, 6);
      }
    }
    const text = await search(tenant, { mode: "text", text: "zebra lion" });
    for (const hit of text) expect(of(hit.document.id)?.textScore).toBe(hit.score);
    const scores = hits.map((one) => one.score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    const good = await search(
      tenant,
      { mode: "hybrid", vector, text: "zebra lion" },
      { minScore: 0.5 },
    );
    expect(good.length).toBe(scores.filter((one) => one >= 0.5).length);
  });

  test("in hybrid, a part that is not known does not count as zero", async () => {
    const tenant = newTenant();
    const vector = vectorOf(1);
    await write(tenant, newDocument("zebra", { id: "pending" }));
    await write(tenant, newDocument("lion", { id: "embedded", vector }));
    const [first] = await search(tenant, { mode: "hybrid", vector, text: "zebra" });
    const pending = (await search(tenant, { mode: "hybrid", vector, text: "zebra" })).find(
      (one) => one.document.id === "pending",
    );
    expect(first?.document.id).toBeDefined();
    expect(pending?.vectorScore).toBeUndefined();
    expect(pending?.score).toBe(pending?.textScore);
    const [wordless] = await search(tenant, { mode: "hybrid", vector, text: "the and of" });
    expect(wordless).toMatchObject({ score: 1, vectorScore: 1, textScore: undefined });
  });

  test("of hits that are too large together the best that fit are found", async () => {
    const tenant = newTenant();
    const vector = vectorOf(1);
    const ids = Array.from({ length: 18 }, (_, i) => `doc-${String(i).padStart(2, "0")}`);
    for (const id of ids) {
      // Vectors further and further from the query, and all of the same words.
      const other = vector.map((one, i) => (i < 30 * Number(id.slice(4)) ? -one : one));
      await write(
        tenant,
        newDocument("zebra ".padEnd(1_048_576, "x"), { id, vector: other, repoId: id }),
      );
    }
    const modes: SearchBy[] = [
      { mode: "vector", vector },
      { mode: "text", text: "zebra" },
      { mode: "hybrid", vector, text: "zebra" },
    ];
    for (const by of modes) {
      const hits = await search(tenant, by, { limit: 1_000, includeVectors: true });
      expect(hits.map((one) => one.document.id)).toEqual(ids.slice(0, 11));
      const one = await search(tenant, by, { limit: 1_000, maxBytes: 1 });
      expect(one.map((hit) => hit.document.id)).toEqual(ids.slice(0, 1));
    }
  });

  test("no document takes more of a message than was reckoned", async () => {
    const tenant = newTenant();
    const numbers = Array(32_000).fill(1);
    const long = "é".repeat(128);
    const metadata = [
      { numbers },
      { text: "x".repeat(65_000) },
      { huge: Array(9_000).fill(1e308) },
      { a: Array(20_000).fill([]) },
      Object.fromEntries(Array.from({ length: 7_000 }, (_, i) => [i.toString(36), 1])),
      {},
    ];
    const owner = { agentId: long, workflowId: long, repoId: long };
    const documents = metadata.map((one, i) =>
      newDocument(`zebra ${i} ${"é".repeat(i * 100)}`, {
        id: String(i).padEnd(256, "i"),
        vector: vectorOf(i),
        sourceSystem: "s".repeat(128),
        metadata: JSON.stringify(one),
        expireTime: instantNow() + 1_000_000_000_000n,
        ...owner,
      }),
    );
    await write(tenant, ...documents, newDocument("zebra", { id: "plain" }));
    const hits = await search(tenant, { mode: "text", text: "zebra" }, { includeVectors: true });
    expect(hits).toHaveLength(7);
    for (const hit of hits) {
      const message = create(SearchResponseSchema, { hits: [hitMessage(hit)] });
      expect(toBinary(SearchResponseSchema, message).length).toBeLessThanOrEqual(hit.bytes);
    }
    expect(hits.find((hit) => hit.document.id === "plain")?.bytes).toBeLessThan(300);
  });

  test("an empty scope has no hits", async () => {
    const tenant = newTenant();
    const vector = vectorOf(1);
    expect(await search(tenant, { mode: "vector", vector })).toEqual([]);
    expect(await search(tenant, { mode: "text", text: "zebra" })).toEqual([]);
    expect(await search(tenant, { mode: "hybrid", vector, text: "zebra" })).toEqual([]);
  });

  test("refuses a vector of another dimension or model", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("a", { vector: vectorOf(1) }));
    await expect(search(tenant, { mode: "vector", vector: [1, 2] })).rejects.toMatchObject({
      kind: "failed_precondition",
      reason: "DIMENSION_MISMATCH",
      facts: { expected: "768", actual: "2" },
    });
    const by: SearchBy = { mode: "vector", vector: vectorOf(1) };
    await expect(search(tenant, by, { model: "model-b" })).rejects.toMatchObject({
      kind: "failed_precondition",
      reason: "MODEL_MISMATCH",
      facts: { expected: model, actual: "model-b" },
    });
    expect(await search(tenant, by, { model })).toHaveLength(1);
  });

  test("an aborted search ends at once", async () => {
    const reason = new Error("enough");
    const query = searchOf({ mode: "vector", vector: vectorOf(1) });
    await expect(
      store.search(newTenant(), collection, query, AbortSignal.abort(reason)),
    ).rejects.toBe(reason);
  });
});
