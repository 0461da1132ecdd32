import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { UpsertOutcome } from "../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import { vectorOf } from "../../test/conformance/document-store-samples.ts";
import {
  type DocumentInit,
  document,
  model,
  refusal,
  ServiceSuite,
} from "./testing/service-suite.ts";

describe("vector-store", () => {
  const suite = new ServiceSuite();
  const { newTenant } = suite;

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
      [document("deeper", { metadata: deep(300) as never }), "metadata"],
      [document("time", { createTime: { seconds: 253_402_300_800n, nanos: 0 } }), "create_time"],
      [document("time", { expireTime: { seconds: 0n, nanos: -1 } }), "expire_time"],
    ];
    const good = document("good", { id: "good" });
    const documents = [good, ...cases.map(([one]) => one), document("good too")];
    const { results } = await suite.client.upsertDocuments({ documents, model }, tenant);
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
    expect((await suite.client.countDocuments({}, tenant)).count).toBe(2n);
    const most = document("at the bounds", {
      id: "i".repeat(256),
      agentId: "a".repeat(256),
      dedupScope: "s".repeat(512),
      metadata: deep(31) as never,
      createTime: { seconds: -62_135_596_800n, nanos: 0 },
    });
    const bounds = await suite.client.upsertDocuments({ documents: [most] }, tenant);
    expect(bounds.results).toMatchObject([{ outcome: UpsertOutcome.CREATED }]);
  });

  test("every fault of one document is told, and the same id twice is one", async () => {
    const tenant = newTenant();
    const { results } = await suite.client.upsertDocuments(
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

  test("replaces documents whole or not at all", async () => {
    const tenant = newTenant();
    const ids = ["old", "new"];
    const contents = async () =>
      (await suite.client.getDocuments({ ids }, tenant)).documents.map(({ content }) => content);
    await suite.client.upsertDocuments({ documents: [document("before", { id: "old" })] }, tenant);
    const documents = [document("after", { id: "new" })];
    const broken = [...documents, document("", { id: "empty" })];
    const refused = await suite.client.upsertDocuments(
      { documents: broken, deleteIds: ["old"] },
      tenant,
    );
    expect(refused).toMatchObject({
      deletedCount: 0n,
      results: [
        { id: "new", error: { code: Code.Aborted, reason: ErrorReason.CONFLICT } },
        { id: "empty", error: { code: Code.InvalidArgument } },
      ],
    });
    expect(await contents()).toEqual(["before"]);
    const written = await suite.client.upsertDocuments({ documents, deleteIds: ["old"] }, tenant);
    expect(written).toMatchObject({
      deletedCount: 1n,
      results: [{ id: "new", outcome: UpsertOutcome.CREATED }],
    });
    expect(await contents()).toEqual(["after"]);
    const wrong = { documents, deleteIds: ["new", ""], vectorsOnly: true };
    expect(await refusal(suite.client.upsertDocuments(wrong, tenant))).toMatchObject({
      code: Code.InvalidArgument,
      fields: ["vectors_only", "delete_ids[1]", "delete_ids[0]"],
    });
  });

  test("refuses the whole write where it has no size, no model, or another one", async () => {
    const tenant = newTenant();
    const documents = [document("a", { vector: { values: vectorOf(1) } })];
    const upsert = (given: object) => suite.client.upsertDocuments(given, tenant);
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
    expect((await suite.client.countDocuments({}, tenant)).count).toBe(1n);
  });
});
