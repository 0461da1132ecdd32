import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { Health, HealthCheckResponse_ServingStatus } from "../../shared/gen/health/v1/health_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import {
  type DocumentSchema,
  UpsertOutcome,
} from "../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import {
  type BulkUpsertRequest,
  BulkUpsertRequestSchema,
  SearchMode,
  VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { silentLogger } from "../../shared/logging.ts";
import { migrate } from "../../shared/postgres/migrate.ts";
import { migrationsDirectory } from "../../shared/postgres/migration-files.ts";
import type { App } from "../../shared/process.ts";
import { createGrpcTransport, type GrpcTransport } from "../../shared/rpc/client.ts";
import { drain, rejection } from "../../shared/rpc/testing/conditions.ts";
import { vectorOf } from "../../test/conformance/document-store-samples.ts";
import { testDatabase } from "../../test/harness/postgres.ts";
import { createApp } from "./app.ts";
import { readConfig } from "./config.ts";

type DocumentInit = MessageInitShape<typeof DocumentSchema>;

const model = "model-a";

function start(url: string, env: Record<string, string> = {}): Promise<App> {
  const config = readConfig({
    env: {
      MAHAVISHNU_PG_URL: url,
      MAHAVISHNU_VECTOR_STORE_PORT: "0",
      MAHAVISHNU_VECTOR_STORE_PROBE_INTERVAL_MS: "20",
      MAHAVISHNU_SHUTDOWN_GRACE_MS: "1000",
      ...env,
    },
    file: {},
  });
  return createApp(config, { logger: silentLogger() });
}

async function until(transport: GrpcTransport, serving: boolean): Promise<void> {
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  const wanted = serving ? SERVING : NOT_SERVING;
  const stop = new AbortController();
  const watch = createClient(Health, transport).watch(
    { service: VectorStoreService.typeName },
    { signal: AbortSignal.any([stop.signal, AbortSignal.timeout(20_000)]) },
  );
  for await (const { status } of watch) if (status === wanted) break;
  stop.abort();
}

async function refusal(call: Promise<unknown>) {
  const error = ConnectError.from(await rejection(call));
  const [info] = error.findDetails(ErrorInfoSchema);
  const fields = error
    .findDetails(BadRequestSchema)
    .flatMap((one) => one.fieldViolations.map((violation) => violation.field));
  return { code: error.code, reason: info?.reason, metadata: info?.metadata, fields };
}

function document(content: string, given: DocumentInit = {}): DocumentInit {
  return { content, memoryType: MemoryType.RAG, sourceSystem: "test", ...given };
}

describe("vector-store", () => {
  let stack: AsyncDisposableStack;
  let client: Client<typeof VectorStoreService>;
  let tenants = 0;
  /** Options of calls of a tenant that nobody else is. */
  const newTenant = () => ({ headers: { "x-mahavishnu-tenant": `tenant-${++tenants}` } });

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    const database = await testDatabase("pglite");
    stack.defer(() => database.close());
    const app = stack.use(await start(database.url));
    const transport = stack.use(createGrpcTransport({ address: app.address }));
    client = createClient(VectorStoreService, transport);
    await until(transport, true);
  });
  afterAll(() => stack.disposeAsync());

  test("describes its collections", async () => {
    const tenant = newTenant();
    await client.upsertDocuments({ documents: [document("one")] }, tenant);
    const { collection } = await client.getCollection({ name: "memories" }, tenant);
    expect(collection).toMatchObject({ name: "memories", dimension: 768, documentCount: 0n });
    const includeCount = true;
    const counted = await client.getCollection({ name: "memories", includeCount }, tenant);
    expect(counted.collection?.documentCount).toBe(1n);
    expect(collection?.index).toBeUndefined();
    const { collections, nextPageToken } = await client.listCollections({}, tenant);
    expect(collections).toMatchObject([{ name: "memories", documentCount: 0n }]);
    expect(nextPageToken).toBe("");
    const all = await client.listCollections({ includeCount }, tenant);
    expect(all.collections).toMatchObject([{ name: "memories", documentCount: 1n }]);
    expect(await refusal(client.getCollection({ name: "others" }))).toMatchObject({
      code: Code.NotFound,
      reason: "COLLECTION_NOT_FOUND",
      metadata: { collection: "others" },
    });
    expect(await refusal(client.getCollection({ name: "Robert'); --" }))).toMatchObject({
      code: Code.InvalidArgument,
      fields: ["name"],
    });
    expect(await refusal(client.listCollections({ pageSize: 1_001 }))).toMatchObject({
      fields: ["page_size"],
    });
  });

  test("stores what is valid, and reports each other document alone, in its place", async () => {
    const tenant = newTenant();
    const vector = (values: number[]) => ({ vector: { values } });
    const broken = (at: number, value: number) => {
      const values = vectorOf(1);
      values[at] = value;
      return vector(values);
    };
    const deep = (levels: number): { [key: string]: object } =>
      levels === 0 ? {} : { a: deep(levels - 1) };
    const cases: [DocumentInit, string, ErrorReason?][] = [
      [document("short", vector([1, 2, 3])), "vector", ErrorReason.DIMENSION_MISMATCH],
      [document("nan", broken(5, Number.NaN)), "vector"],
      [document("inf", broken(767, Number.POSITIVE_INFINITY)), "vector"],
      [document("zero", vector(Array(768).fill(0))), "vector"],
      [document("tiny", vector(Array(768).fill(1e-30))), "vector"],
      [document("huge", broken(0, 3e38)), "vector"],
      [document("empty", vector([])), "vector"],
      [document("long", vector(Array(4_001).fill(1))), "vector"],
      [document("nul\0"), "content"],
      [document(""), "content"],
      [document("x".repeat(1_048_577)), "content"],
      [document("é".repeat(600_000)), "content"],
      [document("id", { id: "i".repeat(257) }), "id"],
      [document("id", { id: "é".repeat(129) }), "id"],
      [document("id", { id: "nul\0" }), "id"],
      [document("type", { memoryType: MemoryType.UNSPECIFIED }), "memory_type"],
      [document("type", { memoryType: 9 as MemoryType }), "memory_type"],
      [document("source", { sourceSystem: "" }), "source_system"],
      [document("source", { sourceSystem: "s".repeat(129) }), "source_system"],
      [document("agent", { agentId: "a".repeat(257) }), "agent_id"],
      [document("workflow", { workflowId: "w\0" }), "workflow_id"],
      [document("repo", { repoId: "r".repeat(257) }), "repo_id"],
      [document("scope", { dedupScope: "s".repeat(513) }), "dedup_scope"],
      [document("meta", { metadata: { a: "x\0" } }), "metadata"],
      [document("meta", { metadata: { "x\0": 1 } }), "metadata"],
      [document("meta", { metadata: { a: "x".repeat(65_536) } }), "metadata"],
      [document("meta", { metadata: deep(33) as never }), "metadata"],
      [document("time", { createTime: { seconds: 253_402_300_800n, nanos: 0 } }), "create_time"],
      [document("time", { expireTime: { seconds: 0n, nanos: -1 } }), "expire_time"],
    ];
    const good = document("good", { id: "good" });
    const documents = [good, ...cases.map(([one]) => one), document("good too")];
    const { results } = await client.upsertDocuments({ documents, model }, tenant);
    expect(results).toHaveLength(documents.length);
    expect(results[0]).toMatchObject({ id: "good", outcome: UpsertOutcome.CREATED });
    expect(results.at(-1)).toMatchObject({ outcome: UpsertOutcome.CREATED });
    for (const [i, [given, field, reason = ErrorReason.INVALID_FIELD]] of cases.entries()) {
      const mismatch = reason === ErrorReason.DIMENSION_MISMATCH;
      expect(results[i + 1], `${given.content?.slice(0, 20)} ${field}`).toMatchObject({
        id: given.id ?? "",
        outcome: UpsertOutcome.UNSPECIFIED,
        error: {
          code: mismatch ? Code.FailedPrecondition : Code.InvalidArgument,
          reason,
          field: mismatch ? "" : `documents[${i + 1}].${field}`,
        },
      });
    }
    expect((await client.countDocuments({}, tenant)).count).toBe(2n);
    const most = document("at the bounds", {
      id: "i".repeat(256),
      agentId: "a".repeat(256),
      dedupScope: "s".repeat(512),
      metadata: deep(31) as never,
      createTime: { seconds: -62_135_596_800n, nanos: 0 },
    });
    const bounds = await client.upsertDocuments({ documents: [most] }, tenant);
    expect(bounds.results).toMatchObject([{ outcome: UpsertOutcome.CREATED }]);
  });

  test("every fault of one document is told, and the same id twice is one", async () => {
    const tenant = newTenant();
    const { results } = await client.upsertDocuments(
      {
        documents: [
          document("first", { id: "a" }),
          document("second", { id: "a" }),
          { id: "b", content: "", sourceSystem: "" },
        ],
      },
      tenant,
    );
    expect(results[0]?.outcome).toBe(UpsertOutcome.CREATED);
    expect(results[1]?.error).toMatchObject({ field: "documents[1].id" });
    const { message } = results[2]?.error ?? {};
    for (const field of ["content", "source_system", "memory_type"]) {
      expect(message).toContain(`documents[2].${field}`);
    }
  });

  test("writes vectors alone, each refusal in its place", async () => {
    const tenant = newTenant();
    const vector = { values: vectorOf(1) };
    const stored = document("text", { id: "a", agentId: "agent", metadata: { n: 1 } });
    const others = [document("other", { id: "b" }), document("third", { id: "c" })];
    await client.upsertDocuments({ documents: [stored, ...others] }, tenant);
    const documents = [
      { id: "a", content: "text", vector },
      { id: "b", content: "as it was", vector },
      { id: "nobody", content: "text", vector },
      { content: "", vector: { values: [] } },
      { id: "c", content: "third" },
      { id: "c", content: "third", vector: { values: [1, 2] } },
      { id: "a", content: "text", vector },
    ];
    const write = { documents, model, vectorsOnly: true };
    const { results } = await client.upsertDocuments(write, tenant);
    expect(results[0]).toMatchObject({ id: "a", outcome: UpsertOutcome.UPDATED });
    const refused = (code: Code, reason: ErrorReason, field: string) => ({
      outcome: UpsertOutcome.UNSPECIFIED,
      error: { code, reason, field },
    });
    const { CONFLICT, MEMORY_NOT_FOUND, INVALID_FIELD, DIMENSION_MISMATCH } = ErrorReason;
    expect(results.slice(1)).toMatchObject([
      { id: "b", ...refused(Code.Aborted, CONFLICT, "documents[1].content") },
      { id: "nobody", ...refused(Code.NotFound, MEMORY_NOT_FOUND, "documents[2].id") },
      { id: "", ...refused(Code.InvalidArgument, INVALID_FIELD, "documents[3].id") },
      { id: "c", ...refused(Code.InvalidArgument, INVALID_FIELD, "documents[4].vector") },
      { id: "c", ...refused(Code.FailedPrecondition, DIMENSION_MISMATCH, "") },
      { id: "a", ...refused(Code.InvalidArgument, INVALID_FIELD, "documents[6].id") },
    ]);
    for (const field of ["content", "vector"]) {
      expect(results[3]?.error?.message).toContain(`documents[3].${field}`);
    }
    const read = await client.getDocuments({ ids: ["a", "b"], includeVectors: true }, tenant);
    expect(read.documents[0]).toMatchObject({
      agentId: "agent",
      metadata: { n: 1 },
      vector: { values: new Float32Array(vector.values) },
    });
    expect(read.documents[1]).toMatchObject({ content: "other" });
    expect(read.documents[1]?.vector).toBeUndefined();
    expect(await refusal(client.upsertDocuments({ ...write, model: "" }, tenant))).toMatchObject({
      fields: ["model"],
    });
    expect(
      await refusal(client.upsertDocuments({ ...write, model: "model-b" }, tenant)),
    ).toMatchObject({ reason: "MODEL_MISMATCH" });
  });

  test("takes passages that stand in the content, tells every fault of others, and which one matched", async () => {
    const tenant = newTenant();
    const vector = { values: vectorOf(1) };
    const passage = (seed: number, start: number, end: number) => ({
      vector: { values: vectorOf(seed) },
      range: { start, end },
    });
    const many = Array.from({ length: 257 }, () => passage(1, 0, 1));
    const request = {
      model,
      documents: [
        document("\u{1f600} and five", { id: "a", vector, passages: [passage(2, 2, 10)] }),
        document("without a vector", { passages: [passage(2, 0, 1)] }),
        document("too many", { vector, passages: many }),
        document("\u{1f600}", {
          vector,
          passages: [{}, passage(2, 0, 2), passage(2, 1, 1), passage(2, -1, 1)],
        }),
        document("short vector", {
          vector,
          passages: [{ vector: { values: [1, 2] }, range: { start: 0, end: 1 } }],
        }),
      ],
    };
    const { results } = await client.upsertDocuments(request, tenant);
    expect(results.map((one) => one.error?.field)).toEqual([
      undefined,
      "documents[1].passages",
      "documents[2].passages",
      "documents[3].passages[0].vector",
      "",
    ]);
    expect(results.map((one) => one.error?.code)).toEqual([
      undefined,
      Code.InvalidArgument,
      Code.InvalidArgument,
      Code.InvalidArgument,
      Code.FailedPrecondition,
    ]);
    const query = { values: vectorOf(2) };
    const { hits } = await client.search({ vector: query }, tenant);
    expect(results[4]?.error?.message).toContain("documents[4].passages[0].vector");
    expect(hits).toMatchObject([
      { document: { id: "a", passages: [] }, score: 1, passage: { start: 2, end: 10 } },
    ]);
    const batch = await client.batchSearch({ searches: [{ vector: query }] }, tenant);
    expect(batch.results[0]?.result.value).toMatchObject({ hits: [{ passage: { start: 2 } }] });

    const refused = await refusal(
      client.updateDocument(
        {
          document: { id: "a", vector, passages: [passage(2, 0, 99)] },
          updateMask: { paths: ["vector"] },
          model,
        },
        tenant,
      ),
    );
    expect(refused).toMatchObject({ code: Code.InvalidArgument });
    const changed = {
      document: { id: "a", content: "other", vector, passages: [passage(3, 0, 5)] },
      updateMask: { paths: ["content", "vector"] },
      model,
    };
    await client.updateDocument(changed, tenant);
    const again = await client.search({ vector: { values: vectorOf(3) } }, tenant);
    expect(again.hits).toMatchObject([{ score: 1, passage: { start: 0, end: 5 } }]);
  });

  test("replaces documents whole or not at all", async () => {
    const tenant = newTenant();
    const ids = ["old", "new"];
    const contents = async () =>
      (await client.getDocuments({ ids }, tenant)).documents.map(({ content }) => content);
    await client.upsertDocuments({ documents: [document("before", { id: "old" })] }, tenant);
    const documents = [document("after", { id: "new" })];
    const broken = [...documents, document("", { id: "empty" })];
    const refused = await client.upsertDocuments({ documents: broken, deleteIds: ["old"] }, tenant);
    expect(refused).toMatchObject({
      deletedCount: 0n,
      results: [
        { id: "new", error: { code: Code.Aborted, reason: ErrorReason.CONFLICT } },
        { id: "empty", error: { code: Code.InvalidArgument } },
      ],
    });
    expect(await contents()).toEqual(["before"]);
    const written = await client.upsertDocuments({ documents, deleteIds: ["old"] }, tenant);
    expect(written).toMatchObject({
      deletedCount: 1n,
      results: [{ id: "new", outcome: UpsertOutcome.CREATED }],
    });
    expect(await contents()).toEqual(["after"]);
    const wrong = { documents, deleteIds: ["new", ""], vectorsOnly: true };
    expect(await refusal(client.upsertDocuments(wrong, tenant))).toMatchObject({
      code: Code.InvalidArgument,
      fields: ["vectors_only", "delete_ids[1]", "delete_ids[0]"],
    });
  });

  test("refuses the whole write where it has no size, no model, or another one", async () => {
    const tenant = newTenant();
    const documents = [document("a", { vector: { values: vectorOf(1) } })];
    const upsert = (given: object) => client.upsertDocuments(given, tenant);
    const invalid = { code: Code.InvalidArgument, reason: "INVALID_FIELD" };
    expect(await refusal(upsert({}))).toMatchObject({ ...invalid, fields: ["documents"] });
    expect(await refusal(upsert({ documents, collection: "X" }))).toMatchObject({
      ...invalid,
      fields: ["collection", "model"],
    });
    const many = Array.from({ length: 1_001 }, () => document("x"));
    expect(await refusal(upsert({ documents: many }))).toMatchObject({ fields: ["documents"] });
    await upsert({ documents, model });
    const mismatch = { code: Code.FailedPrecondition, reason: "MODEL_MISMATCH" };
    expect(await refusal(upsert({ documents, model: "model-b" }))).toMatchObject({
      ...mismatch,
      metadata: { expected: model, actual: "model-b" },
    });
    const plain = { documents: [document("no vector")], model: "model-b" };
    expect(await refusal(upsert(plain))).toMatchObject(mismatch);
    expect((await client.countDocuments({}, tenant)).count).toBe(1n);
  });

  test("gives back documents whole, a duplicate's first id, and who has a content", async () => {
    const tenant = newTenant();
    const given = document("a text", {
      id: "a",
      agentId: "agent",
      metadata: { list: [1, null], __proto__x: true },
      vector: { values: vectorOf(1) },
      createTime: { seconds: 1_000_000_000n, nanos: 123_456_789 },
      expireTime: { seconds: 33_000_000_000n, nanos: 0 },
      contentHash: "ignored",
    });
    await client.upsertDocuments({ documents: [given], model }, tenant);
    const { documents } = await client.getDocuments(
      { ids: ["none", "a", "a"], includeVectors: true },
      tenant,
    );
    expect(documents).toHaveLength(2);
    expect(documents[0]).toMatchObject({
      id: "a",
      content: "a text",
      memoryType: MemoryType.RAG,
      agentId: "agent",
      workflowId: "",
      metadata: { list: [1, null], __proto__x: true },
      createTime: { seconds: 1_000_000_000n, nanos: 123_456_000 },
      expireTime: { seconds: 33_000_000_000n },
      dedupScope: "",
    });
    expect(documents[0]?.vector?.values).toEqual(new Float32Array(vectorOf(1)));
    expect(documents[0]?.contentHash).toMatch(/^[0-9a-f]{64}$/);
    const again = document("a text", { agentId: "agent" });
    const second = await client.upsertDocuments({ documents: [again] }, tenant);
    expect(second.results).toMatchObject([{ id: "a", outcome: UpsertOutcome.DEDUPLICATED }]);
    const other = document("b text", { id: "b", agentId: "agent" });
    await client.upsertDocuments({ documents: [other] }, tenant);
    const clash = await client.upsertDocuments(
      { documents: [{ ...other, content: "a text" }] },
      tenant,
    );
    expect(clash.results[0]).toMatchObject({
      id: "b",
      error: {
        code: Code.AlreadyExists,
        reason: ErrorReason.DUPLICATE_CONTENT,
        field: "documents[0].content",
      },
    });
    const future = { seconds: 33_000_000_000n, nanos: 0 };
    const early = document("from the future", { id: "f", createTime: future });
    await client.upsertDocuments({ documents: [early] }, tenant);
    const read = await client.getDocuments({ ids: ["f"] }, tenant);
    expect(Number(read.documents[0]?.createTime?.seconds)).toBeLessThan(Date.now() / 1_000 + 5);
  });

  test("searches by vector, words and both; the mode follows from what is given", async () => {
    const tenant = newTenant();
    const values = vectorOf(1);
    const documents = [
      document("zebra and lion", { id: "a", vector: { values } }),
      document("tiger", { id: "b", vector: { values: vectorOf(2) } }),
      document("zebra", { id: "c" }),
    ];
    await client.upsertDocuments({ documents, model }, tenant);
    const both = await client.search({ vector: { values }, text: "zebra" }, tenant);
    expect(both.mode).toBe(SearchMode.HYBRID);
    expect(both.hits[0]).toMatchObject({ document: { id: "a" }, vectorScore: 1 });
    const { score = -1, textScore = -1 } = both.hits[0] ?? {};
    expect(score).toBeCloseTo(0.6 + 0.4 * textScore, 6);
    const weighed = { vector: { values }, text: "zebra", vectorWeight: 0.25 };
    const [first] = (await client.search(weighed, tenant)).hits;
    expect(first?.document?.id).toBe("a");
    expect(first?.score).toBeCloseTo(0.25 + 0.75 * textScore, 6);
    const words = await client.search({ text: "zebra" }, tenant);
    expect(words.mode).toBe(SearchMode.TEXT);
    expect(words.hits.map((one) => one.document?.id)).toEqual(["c", "a"]);
    expect(words.hits[0]?.vectorScore).toBeUndefined();
    const near = await client.search(
      { vector: { values }, limit: 1, includeVectors: true, minScore: 0.5, exact: true },
      tenant,
    );
    expect(near.mode).toBe(SearchMode.VECTOR);
    expect(near.hits[0]?.document?.vector?.values).toEqual(new Float32Array(values));
    expect(near.hits[0]?.textScore).toBeUndefined();
    const filter = {
      node: {
        case: "condition",
        value: {
          field: "id",
          test: { case: "equals", value: { kind: { case: "stringValue", value: "c" } } },
        },
      },
    } as const;
    const one = await client.search({ text: "zebra", filter }, tenant);
    expect(one.hits.map((hit) => hit.document?.id)).toEqual(["c"]);
  });

  test("tells every fault of a search at once", async () => {
    const values = [Number.NaN];
    const bad = {
      mode: SearchMode.HYBRID,
      vector: { values },
      limit: 1_001,
      minScore: 2,
      vectorWeight: 1.1,
      filter: { node: { case: "allOf" as const, value: { filters: [] } } },
    };
    expect(await refusal(client.search(bad))).toMatchObject({
      code: Code.InvalidArgument,
      fields: ["vector", "text", "filter.all_of.filters", "limit", "min_score", "vector_weight"],
    });
    expect(await refusal(client.search({}))).toMatchObject({ fields: ["text"] });
    expect(await refusal(client.search({ mode: SearchMode.VECTOR }))).toMatchObject({
      fields: ["vector"],
    });
    expect(await refusal(client.search({ mode: 7 as SearchMode, text: "x" }))).toMatchObject({
      fields: ["mode"],
    });
    expect(await refusal(client.search({ text: "x".repeat(32_769) }))).toMatchObject({
      fields: ["text"],
    });
    expect(await refusal(client.search({ text: "x", limit: -1 }))).toMatchObject({
      fields: ["limit"],
    });
    const documents = [document("x", { vector: { values: vectorOf(1) } })];
    await client.upsertDocuments({ documents, model }, newTenant());
    expect(await refusal(client.search({ vector: { values: [1, 2] } }))).toMatchObject({
      code: Code.FailedPrecondition,
      reason: "DIMENSION_MISMATCH",
    });
    expect(await refusal(client.search({ text: "x", model: "model-b" }))).toMatchObject({
      code: Code.FailedPrecondition,
      reason: "MODEL_MISMATCH",
    });
    expect(await refusal(client.search({ text: "x", collection: "none" }))).toMatchObject({
      code: Code.NotFound,
    });
  });

  test("answers a batch of searches in order, each by its hits or its error", async () => {
    const tenant = newTenant();
    const documents = Array.from({ length: 12 }, (_, i) => document(`word${i} zebra`));
    await client.upsertDocuments({ documents }, tenant);
    const searches = [
      ...documents.map((_, i) => ({ text: `word${i}`, collection: "ignored" })),
      { limit: 5_000 },
      { vector: { values: [1] } },
    ];
    const { results } = await client.batchSearch({ searches }, tenant);
    for (const [i, { result }] of results.slice(0, 12).entries()) {
      if (result.case !== "response") throw new Error(`search ${i} failed`);
      expect(result.value.hits[0]?.document?.content).toBe(`word${i} zebra`);
    }
    expect(results[12]?.result).toMatchObject({
      case: "error",
      value: { code: Code.InvalidArgument, field: "searches[12].text" },
    });
    expect(results[13]?.result).toMatchObject({
      case: "error",
      value: { code: Code.FailedPrecondition, reason: ErrorReason.DIMENSION_MISMATCH },
    });
    expect(await refusal(client.batchSearch({}))).toMatchObject({ fields: ["searches"] });
    const unknown = { collection: "none", searches: [{ text: "x" }] };
    expect(await refusal(client.batchSearch(unknown))).toMatchObject({ code: Code.NotFound });
  });

  test("large documents are found and read in bounds", async () => {
    const tenant = newTenant();
    const ids = Array.from({ length: 18 }, (_, i) => `doc-${i}`);
    for (const id of ids) {
      const content = `zebra ${id} `.padEnd(1_048_576, "x");
      await client.upsertDocuments({ documents: [document(content, { id })] }, tenant);
    }
    const { hits } = await client.search({ text: "zebra", limit: 100 }, tenant);
    expect(hits.length).toBeGreaterThan(5);
    expect(await refusal(client.getDocuments({ ids }, tenant))).toMatchObject({
      code: Code.ResourceExhausted,
      reason: "MESSAGE_TOO_LARGE",
    });
    const search = { text: "zebra", limit: 100 };
    const few = await client.batchSearch({ searches: [search, search, search] }, tenant);
    for (const { result } of few.results) {
      expect(result.case === "response" && result.value.hits.length).toBe(3);
    }
    const nothing = { text: "unicorn" };
    const searches = [...Array(18).fill(search), nothing];
    const { results } = await client.batchSearch({ searches }, tenant);
    const answered = results.filter(({ result }) => result.case === "response");
    expect(answered.length).toBeGreaterThan(10);
    expect(results.at(-1)?.result.case).toBe("response");
    for (const { result } of results) {
      if (result.case === "response") continue;
      expect(result.value).toMatchObject({
        code: Code.ResourceExhausted,
        reason: ErrorReason.MESSAGE_TOO_LARGE,
      });
    }
  });

  test("lists in pages; a token belongs to its question", async () => {
    const tenant = newTenant();
    const ids = Array.from({ length: 7 }, (_, i) => `d${i}`);
    const documents = ids.map((id) => document(`text ${id}`, { id }));
    await client.upsertDocuments({ documents }, tenant);
    const seen: string[] = [];
    let pageToken = "";
    for (let page = 0; page < 5; page++) {
      const answer = await client.listDocuments({ pageSize: 3, pageToken }, tenant);
      seen.push(...answer.documents.map((one) => one.id));
      pageToken = answer.nextPageToken;
      if (page === 0) {
        const other = {
          pageToken,
          filter: {
            node: {
              case: "condition",
              value: { field: "id", test: { case: "exists", value: true } },
            },
          },
        } as const;
        expect(await refusal(client.listDocuments(other, tenant))).toMatchObject({
          fields: ["page_token"],
        });
      }
      if (pageToken === "") break;
    }
    expect(seen).toEqual(ids);
    expect(await refusal(client.listDocuments({ pageToken: "nonsense" }))).toMatchObject({
      code: Code.InvalidArgument,
      fields: ["page_token"],
    });
    expect(await refusal(client.listDocuments({ pageSize: -1 }))).toMatchObject({
      fields: ["page_size"],
    });
  });

  test("reads and deletes by ids that are in bounds", async () => {
    expect(await refusal(client.getDocuments({}))).toMatchObject({ fields: ["ids"] });
    const many = Array.from({ length: 1_001 }, (_, i) => `${i}`);
    expect(await refusal(client.getDocuments({ ids: many }))).toMatchObject({ fields: ["ids"] });
    const bad = ["ok", "", "x".repeat(257), "nul\0"];
    expect(await refusal(client.getDocuments({ ids: bad }))).toMatchObject({
      fields: ["ids[1]", "ids[2]", "ids[3]"],
    });
  });

  test("deletes by exactly one of ids, filter and all", async () => {
    const tenant = newTenant();
    const documents = ["a", "b", "c", "d"].map((id) => document(`text ${id}`, { id, repoId: id }));
    await client.upsertDocuments({ documents }, tenant);
    const remove = (given: object) => client.deleteDocuments(given, tenant);
    const filter = {
      node: {
        case: "condition",
        value: {
          field: "repo_id",
          test: { case: "equals", value: { kind: { case: "stringValue", value: "b" } } },
        },
      },
    };
    const invalid = { code: Code.InvalidArgument, reason: "INVALID_FIELD" };
    expect(await refusal(remove({}))).toMatchObject(invalid);
    expect(await refusal(remove({ filter: {} }))).toMatchObject({ ...invalid, fields: ["filter"] });
    expect(await refusal(remove({ ids: ["a"], all: true }))).toMatchObject(invalid);
    expect(await refusal(remove({ filter, all: true }))).toMatchObject(invalid);
    expect((await client.countDocuments({}, tenant)).count).toBe(4n);
    expect((await client.countDocuments({ filter } as never, tenant)).count).toBe(1n);
    expect((await remove({ ids: ["a", "nobody"] })).deletedCount).toBe(1n);
    expect((await remove({ filter })).deletedCount).toBe(1n);
    expect((await remove({ all: true })).deletedCount).toBe(2n);
    expect((await remove({ all: true })).deletedCount).toBe(0n);
  });

  test("tenants are apart, and a malformed one is refused", async () => {
    const [mine, theirs] = [newTenant(), newTenant()];
    await client.upsertDocuments({ documents: [document("secret", { id: "a" })] }, mine);
    expect((await client.getDocuments({ ids: ["a"] }, theirs)).documents).toEqual([]);
    expect((await client.search({ text: "secret" }, theirs)).hits).toEqual([]);
    expect((await client.deleteDocuments({ all: true }, theirs)).deletedCount).toBe(0n);
    expect((await client.countDocuments({}, mine)).count).toBe(1n);
    const malformed = { headers: { "x-mahavishnu-tenant": "a'; drop table memories" } };
    expect(await refusal(client.countDocuments({}, malformed))).toMatchObject({
      code: Code.InvalidArgument,
    });
  });

  test("a bulk stream is acknowledged to the last request, whatever some of them hold", async () => {
    const tenant = newTenant();
    async function* requests(): AsyncGenerator<BulkUpsertRequest> {
      for (let sequence = 0; sequence < 40; sequence++) {
        const documents = Array.from({ length: 10 }, (_, i) =>
          document(`text ${sequence} ${i}`, { id: `${sequence}-${i}` }),
        );
        if (sequence === 7) documents[3] = { content: "no type" };
        yield create(BulkUpsertRequestSchema, {
          sequence: BigInt(sequence),
          collection: sequence === 20 ? "others" : sequence === 21 ? "memories" : "",
          documents: sequence === 30 ? [] : documents,
        });
      }
    }
    const { items, error } = await drain(client.bulkUpsert(requests(), tenant));
    expect(error).toBeUndefined();
    const refused = items.filter((one) => one.error !== undefined);
    expect(refused.map((one) => one.sequence).sort()).toEqual([20n, 30n]);
    const of = (sequence: number) => items.find((one) => one.sequence === BigInt(sequence));
    expect(items).toHaveLength(40);
    expect(new Set(items.map((one) => one.sequence)).size).toBe(40);
    expect(of(20)).toMatchObject({ results: [], error: { field: "collection" } });
    expect(of(30)).toMatchObject({ results: [], error: { field: "documents" } });
    expect(of(7)?.results.map((one) => one.error === undefined)).toEqual(
      Array.from({ length: 10 }, (_, i) => i !== 3),
    );
    expect((await client.countDocuments({}, tenant)).count).toBe(379n);
    const { items: again } = await drain(client.bulkUpsert(requests(), tenant));
    expect(again).toHaveLength(40);
    expect((await client.countDocuments({}, tenant)).count).toBe(379n);
  });

  test("a cancelled bulk stream ends, and the server goes on", async () => {
    const tenant = newTenant();
    const stop = new AbortController();
    async function* endless(): AsyncGenerator<BulkUpsertRequest> {
      for (let sequence = 0n; ; sequence++) {
        const documents = [document(`text ${sequence}`)];
        yield create(BulkUpsertRequestSchema, { sequence, documents });
      }
    }
    let acknowledged = 0;
    const failed = await rejection(
      (async () => {
        const acks = client.bulkUpsert(endless(), { ...tenant, signal: stop.signal });
        for await (const _ of acks) {
          acknowledged += 1;
          if (acknowledged === 5) stop.abort();
        }
      })(),
    );
    expect(ConnectError.from(failed).code).toBe(Code.Canceled);
    const { count } = await client.countDocuments({}, tenant);
    expect(Number(count)).toBeGreaterThanOrEqual(5);
  });

  test("a deadline that passes is DEADLINE_EXCEEDED", async () => {
    const documents = Array.from({ length: 500 }, (_, i) =>
      document(`text ${i}`, { vector: { values: vectorOf(i) } }),
    );
    const call = client.upsertDocuments({ documents, model }, { ...newTenant(), timeoutMs: 1 });
    expect(await refusal(call)).toMatchObject({ code: Code.DeadlineExceeded });
  });
});

describe("vector-store, as a process", () => {
  test("serves once the schema is there, and not while the database is away", async () => {
    await using stack = new AsyncDisposableStack();
    const database = await testDatabase("pglite", { migrations: null });
    const app = stack.use(await start(database.url));
    const transport = stack.use(createGrpcTransport({ address: app.address }));
    const health = createClient(Health, transport);
    const { NOT_SERVING } = HealthCheckResponse_ServingStatus;
    expect((await health.check({ service: VectorStoreService.typeName })).status).toBe(NOT_SERVING);
    const options = { url: database.url, directory: migrationsDirectory, logger: silentLogger() };
    await migrate(options);
    await until(transport, true);
    await database.close();
    await until(transport, false);
    const client = createClient(VectorStoreService, transport);
    expect(await refusal(client.countDocuments({}))).toMatchObject({
      code: Code.Unavailable,
      reason: "DEPENDENCY_UNAVAILABLE",
    });
  });

  test("asks for the token where one is set", async () => {
    await using stack = new AsyncDisposableStack();
    const app = stack.use(
      await start("postgres://nobody@127.0.0.1:1/none", { MAHAVISHNU_AUTH_TOKEN: "secret" }),
    );
    const transport = stack.use(createGrpcTransport({ address: app.address }));
    const client = createClient(VectorStoreService, transport);
    expect(await refusal(client.countDocuments({}))).toMatchObject({ code: Code.Unauthenticated });
  });

  test("names every setting that is wrong", () => {
    const env = { MAHAVISHNU_VECTOR_STORE_PORT: "x", MAHAVISHNU_VECTOR_STORE_BULK_IN_FLIGHT: "0" };
    expect(() => readConfig({ env, file: {} })).toThrow(/PORT.*BULK_IN_FLIGHT/s);
  });
});
