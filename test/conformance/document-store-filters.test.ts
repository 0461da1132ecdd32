import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import type { StoredDocument } from "../../services/vector-store/document.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { matches } from "./document-store-filter-oracle.ts";
import { documentArbitrary, filterArbitrary } from "./document-store-filter-samples.ts";
import { collection, searchOf, vectorOf, writeOf } from "./document-store-samples.ts";

const tenant = "filters";
const documentCount = 60;
/** Random trees a run; more by hand, to look for what is rare. */
const runs = Number(process.env["MAHAVISHNU_TEST_FILTER_RUNS"] ?? 300);

describeEachStore("filters", (_, database) => {
  let store: PostgresDocumentStore;
  let stored: readonly StoredDocument[];

  beforeAll(async () => {
    store = new PostgresDocumentStore(database().open());
    const makers = fc.sample(documentArbitrary, { numRuns: documentCount, seed: 42 });
    const documents = makers.map((make, position) => make(position));
    const results = await store.write(tenant, writeOf(...documents));
    expect(results.map((one) => one.outcome)).toEqual(documents.map(() => "created"));
    const query = { filter: undefined, after: undefined, limit: 1_000, includeVectors: true };
    stored = (await store.list(tenant, collection, query)).documents;
    expect(stored).toHaveLength(documentCount);
  });

  test(`${runs} random trees select what their plain reading selects`, async () => {
    let selective = 0;
    await fc.assert(
      fc.asyncProperty(filterArbitrary, async (filter) => {
        const expected = stored.filter((one) => matches(filter, one)).map((one) => one.id);
        if (expected.length > 0 && expected.length < stored.length) selective += 1;
        const query = { filter, after: undefined, limit: 1_000, includeVectors: false };
        const { documents } = await store.list(tenant, collection, query);
        expect(documents.map((one) => one.id)).toEqual(expected);
        const count = await store.count(tenant, collection, filter);
        expect(count).toBe(BigInt(expected.length));
      }),
      { numRuns: runs },
    );
    // Filters that select all or nothing would prove little.
    expect(selective).toBeGreaterThan(runs / 5);
  });

  test("a filter of every shape narrows a search of every mode", async () => {
    const vector = vectorOf(3);
    await fc.assert(
      fc.asyncProperty(filterArbitrary, async (filter) => {
        const expected = stored.filter((one) => matches(filter, one));
        const found = async (query: Parameters<typeof searchOf>[0]) => {
          const given = searchOf(query, { filter, limit: 1_000 });
          const hits = await store.search(tenant, collection, given);
          return hits.map((one) => one.document.id).sort();
        };
        const withVector = expected.filter((one) => one.vector !== undefined);
        expect(await found({ mode: "vector", vector })).toEqual(
          withVector.map((one) => one.id).sort(),
        );
        const all = expected.map((one) => one.id).sort();
        expect(await found({ mode: "text", text: "content" })).toEqual(all);
        expect(await found({ mode: "hybrid", vector, text: "content" })).toEqual(all);
      }),
      { numRuns: Math.ceil(runs / 6) },
    );
  });
});
