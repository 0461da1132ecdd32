import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { UpsertOutcome } from "../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import { vectorOf } from "../../test/conformance/document-store-samples.ts";
import { document, model, refusal, ServiceSuite } from "./testing/service-suite.ts";

describe("vector-store", () => {
  const suite = new ServiceSuite();
  const { newTenant } = suite;

  test("writes vectors alone, each refusal in its place", async () => {
    const tenant = newTenant();
    const vector = { values: vectorOf(1) };
    const stored = document("text", { id: "a", agentId: "agent", metadata: { n: 1 } });
    const others = [document("other", { id: "b" }), document("third", { id: "c" })];
    await suite.client.upsertDocuments({ documents: [stored, ...others] }, tenant);
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
    const { results } = await suite.client.upsertDocuments(write, tenant);
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
    const read = await suite.client.getDocuments({ ids: ["a", "b"], includeVectors: true }, tenant);
    expect(read.documents[0]).toMatchObject({
      agentId: "agent",
      metadata: { n: 1 },
      vector: { values: new Float32Array(vector.values) },
    });
    expect(read.documents[1]).toMatchObject({ content: "other" });
    expect(read.documents[1]?.vector).toBeUndefined();
    expect(
      await refusal(suite.client.upsertDocuments({ ...write, model: "" }, tenant)),
    ).toMatchObject({
      fields: ["model"],
    });
    expect(
      await refusal(suite.client.upsertDocuments({ ...write, model: "model-b" }, tenant)),
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
    const { results } = await suite.client.upsertDocuments(request, tenant);
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
    const { hits } = await suite.client.search({ vector: query }, tenant);
    expect(results[4]?.error?.message).toContain("documents[4].passages[0].vector");
    expect(hits).toMatchObject([
      { document: { id: "a", passages: [] }, score: 1, passage: { start: 2, end: 10 } },
    ]);
    const batch = await suite.client.batchSearch({ searches: [{ vector: query }] }, tenant);
    expect(batch.results[0]?.result.value).toMatchObject({ hits: [{ passage: { start: 2 } }] });

    const refused = await refusal(
      suite.client.updateDocument(
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
    await suite.client.updateDocument(changed, tenant);
    const again = await suite.client.search({ vector: { values: vectorOf(3) } }, tenant);
    expect(again.hits).toMatchObject([{ score: 1, passage: { start: 0, end: 5 } }]);
  });
});
