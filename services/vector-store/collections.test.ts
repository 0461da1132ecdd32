import { type Client, Code } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { Distance, IndexKind } from "../../shared/gen/mahavishnu/vectorstore/v1/collection_pb.js";
import {
  SearchMode,
  type VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { drain } from "../../shared/rpc/testing/conditions.ts";
import { testDatabase } from "../../test/harness/postgres.ts";
import { startedClient } from "./testing/running-store.ts";
import { refusal } from "./testing/service-suite.ts";

let stack: AsyncDisposableStack;
let client: Client<typeof VectorStoreService>;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  const database = await testDatabase("pglite");
  stack.defer(() => database.close());
  client = await startedClient(stack, database.url, {
    MAHAVISHNU_VECTOR_STORE_MAX_COLLECTIONS: "6",
    MAHAVISHNU_VECTOR_STORE_EXACT_SCOPE: "10",
  });
});
afterAll(() => stack.disposeAsync());

const tenantA = { headers: { "x-mahavishnu-tenant": "a" } };
const tenantB = { headers: { "x-mahavishnu-tenant": "b" } };

test("collections are made, described, filled by all tenants, and deleted", async () => {
  const { collection } = await client.createCollection({
    collection: { name: "images", dimension: 2_500, distance: Distance.EUCLIDEAN },
  });
  expect(collection).toMatchObject({
    name: "images",
    dimension: 2_500,
    distance: Distance.EUCLIDEAN,
    embeddingModel: "",
  });
  expect(collection?.createTime?.seconds).toBeGreaterThan(1_000_000n);
  const at = (value: number) => ({ values: Array<number>(2_500).fill(value) });
  const document = (id: string, value: number) => ({
    id,
    content: `content of ${id}`,
    vector: at(value),
    memoryType: MemoryType.RAG,
    sourceSystem: "test",
  });
  const documents = [document("near", 0.5), document("far", 2), document("huge", 1e6)];
  const write = { collection: "images", documents, model: "m" };
  const { results } = await client.upsertDocuments(write, tenantA);
  expect(results.map((one) => one.error?.field)).toEqual([
    undefined,
    undefined,
    "documents[2].vector",
  ]);
  const search = { collection: "images", vector: at(0.25), mode: SearchMode.VECTOR };
  const { hits } = await client.search(search, tenantA);
  expect(hits.map((hit) => hit.document?.id)).toEqual(["near", "far"]);
  expect(hits[0]?.score).toBeCloseTo(1 / (1 + 0.25 * 50), 5);
  expect((await client.search(search, tenantB)).hits).toEqual([]);
  expect(
    await refusal(client.search({ ...search, vector: { values: [1] } }, tenantA)),
  ).toMatchObject({ code: Code.FailedPrecondition, reason: "DIMENSION_MISMATCH" });

  const described = await client.getCollection({ name: "images", includeCount: true }, tenantA);
  expect(described.collection).toMatchObject({ embeddingModel: "m", documentCount: 2n });
  expect(described.collection?.statistics?.pgvectorVersion).toMatch(/^\d+\./);
  expect(described.collection?.statistics?.tableBytes).toBeGreaterThan(0n);
  const listed = await client.listCollections({ includeCount: true }, tenantA);
  expect(listed.collections.map((one) => [one.name, one.documentCount])).toEqual([
    ["images", 2n],
    ["memories", 0n],
  ]);
  const again = { collection: { name: "images", dimension: 3 } };
  expect(await refusal(client.createCollection(again))).toMatchObject({
    code: Code.AlreadyExists,
    reason: "COLLECTION_EXISTS",
  });
  await client.deleteCollection({ name: "images" });
  expect(await refusal(client.search(search, tenantA))).toMatchObject({
    code: Code.NotFound,
    reason: "COLLECTION_NOT_FOUND",
  });
  expect(await refusal(client.deleteCollection({ name: "images" }))).toMatchObject({
    code: Code.NotFound,
  });
  expect(await refusal(client.deleteCollection({ name: "memories" }))).toMatchObject({
    code: Code.FailedPrecondition,
    reason: "COLLECTION_PROTECTED",
  });
});

test("what is wrong with a collection is named, field by field", async () => {
  const cases = [
    [{}, ["collection.name", "collection.dimension"]],
    [{ collection: { name: "A", dimension: 4_001 } }, ["collection.name", "collection.dimension"]],
    [{ collection: { name: 'x"; drop table memories; --', dimension: 3 } }, ["collection.name"]],
    [
      { collection: { name: "a", dimension: 3, distance: 77 as Distance } },
      ["collection.distance"],
    ],
    [{ collection: { name: "a", dimension: 3, index: {} } }, ["collection.index"]],
    [
      { collection: { name: "a", dimension: 3, embeddingModel: "m".repeat(257) } },
      ["collection.embedding_model"],
    ],
  ] as const;
  for (const [request, fields] of cases) {
    expect(await refusal(client.createCollection(request))).toMatchObject({
      code: Code.InvalidArgument,
      fields,
    });
  }
  expect(await refusal(client.deleteCollection({}))).toMatchObject({ fields: ["name"] });
});

test("a collection has the language of its texts", async () => {
  const german = { name: "german", dimension: 3, textLanguage: "german" };
  const { collection } = await client.createCollection({ collection: german });
  expect(collection?.textLanguage).toBe("german");
  const { collection: default_ } = await client.createCollection({
    collection: { name: "other", dimension: 3 },
  });
  expect(default_?.textLanguage).toBe("english");
  const documents = ["Die Häuser der Nachbarn", "Ein Baum"].map((content, i) => ({
    id: `d${i}`,
    content,
    memoryType: MemoryType.RAG,
    sourceSystem: "test",
  }));
  const found = async (name: string, text: string) => {
    const { hits } = await client.search({ collection: name, text }, tenantA);
    return hits.map((hit) => hit.document?.id);
  };
  for (const name of ["german", "other"]) {
    await client.upsertDocuments({ collection: name, documents }, tenantA);
  }
  expect(await found("german", "Haus")).toEqual(["d0"]);
  expect(await found("german", "die der")).toEqual([]);
  expect(await found("other", "Haus")).toEqual([]);
  for (const textLanguage of ["klingon", "english; drop table memories", "x".repeat(64)]) {
    const wrong = { name: "wrong", dimension: 3, textLanguage };
    expect(await refusal(client.createCollection({ collection: wrong }))).toMatchObject({
      code: Code.InvalidArgument,
      fields: ["collection.text_language"],
    });
  }
  for (const name of ["german", "other"]) await client.deleteCollection({ name });
});

test("there are only so many collections", async () => {
  const create = (i: number) =>
    client.createCollection({ collection: { name: `many_${i}`, dimension: 3 } });
  for (let i = 0; i < 5; i++) await create(i);
  expect(await refusal(create(5))).toMatchObject({
    code: Code.ResourceExhausted,
    reason: "TOO_MANY_COLLECTIONS",
    metadata: { limit: "6" },
  });
  for (let i = 0; i < 5; i++) await client.deleteCollection({ name: `many_${i}` });
  await create(5);
});

test("an index is built, told of, and used", async () => {
  const collection = "indexed";
  await client.createCollection({ collection: { name: collection, dimension: 4 } });
  const documents = Array.from({ length: 60 }, (_, i) => ({
    id: `d${i}`,
    content: `content ${i}`,
    vector: { values: [1, i, i * i, 1] },
    memoryType: MemoryType.RAG,
    sourceSystem: "test",
  }));
  await client.upsertDocuments({ collection, documents, model: "m" }, tenantA);
  expect(
    await refusal(collect(client.buildIndex({ collection, index: { kind: IndexKind.IVFFLAT } }))),
  ).toMatchObject({
    code: Code.FailedPrecondition,
    reason: "TOO_FEW_ROWS",
    metadata: { rows: "60", needed: "1000" },
  });
  const progress = await collect(client.buildIndex({ collection, index: { m: 8 } }));
  const last = progress.at(-1);
  expect(progress.filter((one) => one.done)).toEqual([last]);
  expect(last).toMatchObject({
    progress: 1,
    index: { kind: IndexKind.HNSW, m: 8, efConstruction: 64, lists: 0 },
  });
  expect(last?.index?.sizeBytes).toBeGreaterThan(0n);
  expect(last?.elapsed).toBeDefined();
  const { collection: described } = await client.getCollection({ name: collection });
  expect(described?.index).toMatchObject({ kind: IndexKind.HNSW, m: 8, efConstruction: 64 });
  expect(described?.index?.sizeBytes).toBeGreaterThan(0n);
  const vector = { values: [1, 5, 25, 1] };
  const exact = await client.search({ collection, vector, exact: true }, tenantA);
  const byIndex = await client.search({ collection, vector }, tenantA);
  expect(byIndex.hits).toHaveLength(10);
  expect(byIndex.hits.map((hit) => hit.document?.id)).toEqual(
    exact.hits.map((hit) => hit.document?.id),
  );
});

test("what is wrong with an index is named", async () => {
  const cases = [
    [{ m: 1, lists: 5 }, ["index.m", "index.lists"]],
    [{ m: 101, efConstruction: 1_001 }, ["index.m"]],
    [{ efConstruction: 31 }, ["index.ef_construction"]],
    [{ m: 50, efConstruction: 99 }, ["index.ef_construction"]],
    [{ kind: IndexKind.IVFFLAT, m: 16, lists: -1 }, ["index.lists", "index.m"]],
    [{ kind: 9 as IndexKind }, ["index.kind"]],
  ] as const;
  for (const [index, fields] of cases) {
    expect(await refusal(collect(client.buildIndex({ index })))).toMatchObject({
      code: Code.InvalidArgument,
      fields,
    });
  }
  expect(await refusal(collect(client.buildIndex({ collection: "none" })))).toMatchObject({
    code: Code.NotFound,
    reason: "COLLECTION_NOT_FOUND",
  });
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const { items: seen, error } = await drain(items);
  if (error !== undefined) throw error;
  return seen;
}
