import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { SearchMode } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { vectorOf } from "../../test/conformance/document-store-samples.ts";
import { document, model, refusal, ServiceSuite } from "./testing/service-suite.ts";

describe("vector-store", () => {
  const suite = new ServiceSuite();
  const { newTenant } = suite;

  test("searches by vector, words and both; the mode follows from what is given", async () => {
    const tenant = newTenant();
    const values = vectorOf(1);
    const documents = [
      document("zebra and lion", { id: "a", vector: { values } }),
      document("tiger", { id: "b", vector: { values: vectorOf(2) } }),
      document("zebra", { id: "c" }),
    ];
    await suite.client.upsertDocuments({ documents, model }, tenant);
    const both = await suite.client.search({ vector: { values }, text: "zebra" }, tenant);
    expect(both.mode).toBe(SearchMode.HYBRID);
    expect(both.hits[0]).toMatchObject({ document: { id: "a" }, vectorScore: 1 });
    const { score = -1, textScore = -1 } = both.hits[0] ?? {};
    expect(score).toBeCloseTo(0.6 + 0.4 * textScore, 6);
    const weighed = { vector: { values }, text: "zebra", vectorWeight: 0.25 };
    const [first] = (await suite.client.search(weighed, tenant)).hits;
    expect(first?.document?.id).toBe("a");
    expect(first?.score).toBeCloseTo(0.25 + 0.75 * textScore, 6);
    const words = await suite.client.search({ text: "zebra" }, tenant);
    expect(words.mode).toBe(SearchMode.TEXT);
    expect(words.hits.map((one) => one.document?.id)).toEqual(["c", "a"]);
    expect(words.hits[0]?.vectorScore).toBeUndefined();
    const near = await suite.client.search(
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
    const one = await suite.client.search({ text: "zebra", filter }, tenant);
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
    expect(await refusal(suite.client.search(bad))).toMatchObject({
      code: Code.InvalidArgument,
      fields: ["vector", "text", "filter.all_of.filters", "limit", "min_score", "vector_weight"],
    });
    expect(await refusal(suite.client.search({}))).toMatchObject({ fields: ["text"] });
    expect(await refusal(suite.client.search({ mode: SearchMode.VECTOR }))).toMatchObject({
      fields: ["vector"],
    });
    expect(await refusal(suite.client.search({ mode: 7 as SearchMode, text: "x" }))).toMatchObject({
      fields: ["mode"],
    });
    expect(await refusal(suite.client.search({ text: "x".repeat(32_769) }))).toMatchObject({
      fields: ["text"],
    });
    expect(await refusal(suite.client.search({ text: "x", limit: -1 }))).toMatchObject({
      fields: ["limit"],
    });
    const documents = [document("x", { vector: { values: vectorOf(1) } })];
    await suite.client.upsertDocuments({ documents, model }, newTenant());
    expect(await refusal(suite.client.search({ vector: { values: [1, 2] } }))).toMatchObject({
      code: Code.FailedPrecondition,
      reason: "DIMENSION_MISMATCH",
    });
    expect(await refusal(suite.client.search({ text: "x", model: "model-b" }))).toMatchObject({
      code: Code.FailedPrecondition,
      reason: "MODEL_MISMATCH",
    });
    expect(await refusal(suite.client.search({ text: "x", collection: "none" }))).toMatchObject({
      code: Code.NotFound,
    });
  });

  test("answers a batch of searches in order, each by its hits or its error", async () => {
    const tenant = newTenant();
    const documents = Array.from({ length: 12 }, (_, i) => document(`word${i} zebra`));
    await suite.client.upsertDocuments({ documents }, tenant);
    const searches = [
      ...documents.map((_, i) => ({ text: `word${i}`, collection: "ignored" })),
      { limit: 5_000 },
      { vector: { values: [1] } },
    ];
    const { results } = await suite.client.batchSearch({ searches }, tenant);
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
    expect(await refusal(suite.client.batchSearch({}))).toMatchObject({ fields: ["searches"] });
    const unknown = { collection: "none", searches: [{ text: "x" }] };
    expect(await refusal(suite.client.batchSearch(unknown))).toMatchObject({ code: Code.NotFound });
  });

  test("large documents are found and read in bounds", async () => {
    const tenant = newTenant();
    const ids = Array.from({ length: 18 }, (_, i) => `doc-${i}`);
    for (const id of ids) {
      const content = `zebra ${id} `.padEnd(1_048_576, "x");
      await suite.client.upsertDocuments({ documents: [document(content, { id })] }, tenant);
    }
    const { hits } = await suite.client.search({ text: "zebra", limit: 100 }, tenant);
    expect(hits.length).toBeGreaterThan(5);
    expect(await refusal(suite.client.getDocuments({ ids }, tenant))).toMatchObject({
      code: Code.ResourceExhausted,
      reason: "MESSAGE_TOO_LARGE",
    });
    const search = { text: "zebra", limit: 100 };
    const few = await suite.client.batchSearch({ searches: [search, search, search] }, tenant);
    for (const { result } of few.results) {
      expect(result.case === "response" && result.value.hits.length).toBe(3);
    }
    const nothing = { text: "unicorn" };
    const searches = [...Array(18).fill(search), nothing];
    const { results } = await suite.client.batchSearch({ searches }, tenant);
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
});
