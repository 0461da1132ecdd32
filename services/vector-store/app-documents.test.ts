import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { UpsertOutcome } from "../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import { vectorOf } from "../../test/conformance/document-store-samples.ts";
import { document, model, refusal, ServiceSuite } from "./testing/service-suite.ts";

describe("vector-store", () => {
  const suite = new ServiceSuite();
  const { newTenant } = suite;

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
    await suite.client.upsertDocuments({ documents: [given], model }, tenant);
    const { documents } = await suite.client.getDocuments(
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
    const second = await suite.client.upsertDocuments({ documents: [again] }, tenant);
    expect(second.results).toMatchObject([{ id: "a", outcome: UpsertOutcome.DEDUPLICATED }]);
    const other = document("b text", { id: "b", agentId: "agent" });
    await suite.client.upsertDocuments({ documents: [other] }, tenant);
    const clash = await suite.client.upsertDocuments(
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
    await suite.client.upsertDocuments({ documents: [early] }, tenant);
    const read = await suite.client.getDocuments({ ids: ["f"] }, tenant);
    expect(Number(read.documents[0]?.createTime?.seconds)).toBeLessThan(Date.now() / 1_000 + 5);
  });

  test("lists in pages; a token belongs to its question", async () => {
    const tenant = newTenant();
    const ids = Array.from({ length: 7 }, (_, i) => `d${i}`);
    const documents = ids.map((id) => document(`text ${id}`, { id }));
    await suite.client.upsertDocuments({ documents }, tenant);
    const seen: string[] = [];
    let pageToken = "";
    for (let page = 0; page < 5; page++) {
      const answer = await suite.client.listDocuments({ pageSize: 3, pageToken }, tenant);
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
        expect(await refusal(suite.client.listDocuments(other, tenant))).toMatchObject({
          fields: ["page_token"],
        });
      }
      if (pageToken === "") break;
    }
    expect(seen).toEqual(ids);
    expect(await refusal(suite.client.listDocuments({ pageToken: "nonsense" }))).toMatchObject({
      code: Code.InvalidArgument,
      fields: ["page_token"],
    });
    expect(await refusal(suite.client.listDocuments({ pageSize: -1 }))).toMatchObject({
      fields: ["page_size"],
    });
  });

  test("reads and deletes by ids that are in bounds", async () => {
    expect(await refusal(suite.client.getDocuments({}))).toMatchObject({ fields: ["ids"] });
    const many = Array.from({ length: 1_001 }, (_, i) => `${i}`);
    expect(await refusal(suite.client.getDocuments({ ids: many }))).toMatchObject({
      fields: ["ids"],
    });
    const bad = ["ok", "", "x".repeat(257), "nul\0"];
    expect(await refusal(suite.client.getDocuments({ ids: bad }))).toMatchObject({
      fields: ["ids[1]", "ids[2]", "ids[3]"],
    });
  });

  test("deletes by exactly one of ids, filter and all", async () => {
    const tenant = newTenant();
    const documents = ["a", "b", "c", "d"].map((id) => document(`text ${id}`, { id, repoId: id }));
    await suite.client.upsertDocuments({ documents }, tenant);
    const remove = (given: object) => suite.client.deleteDocuments(given, tenant);
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
    expect((await suite.client.countDocuments({}, tenant)).count).toBe(4n);
    expect((await suite.client.countDocuments({ filter } as never, tenant)).count).toBe(1n);
    expect((await remove({ ids: ["a", "nobody"] })).deletedCount).toBe(1n);
    expect((await remove({ filter })).deletedCount).toBe(1n);
    expect((await remove({ all: true })).deletedCount).toBe(2n);
    expect((await remove({ all: true })).deletedCount).toBe(0n);
  });
});
