import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import type { StoredDocument } from "../../services/vector-store/document.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { filterSql } from "../../services/vector-store/sql/filter-sql.ts";
import { SqlParameters } from "../../services/vector-store/sql/parameters.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { matches } from "./document-store-filter-oracle.ts";
import { documentArbitrary, filterArbitrary } from "./document-store-filter-samples.ts";
import { collection, searchOf, vectorOf, writeOf } from "./document-store-samples.ts";

/** Each set of documents is a tenant's. */
const sets = 40;
const documentCount = 60;
const tenantOf = (set: number) => `filters-${set}`;
const someSet = fc.nat({ max: sets - 1 });
/** Random trees a run; more by hand, to look for what is rare. */
const runs = Number(process.env["MAHAVISHNU_TEST_FILTER_RUNS"] ?? 3_000);
/** Trees that are asked in one statement. */
const treesAtOnce = 50;

describeEachStore("filters", (_, database) => {
  let postgres: Postgres;
  let store: PostgresDocumentStore;
  const stored: (readonly StoredDocument[])[] = [];

  beforeAll(async () => {
    postgres = database().open();
    store = new PostgresDocumentStore(postgres);
    for (let set = 0; set < sets; set++) {
      const makers = fc.sample(documentArbitrary, { numRuns: documentCount, seed: 42 + set });
      const documents = makers.map((make, position) => make(position));
      const results = await store.write(tenantOf(set), writeOf(...documents));
      expect(results.map((one) => one.outcome)).toEqual(documents.map(() => "created"));
      const query = { filter: undefined, after: undefined, limit: 1_000, includeVectors: true };
      const listed = (await store.list(tenantOf(set), collection, query)).documents;
      expect(listed).toHaveLength(documentCount);
      stored.push(listed);
    }
  }, 120_000);

  const selectedOf = (set: number, filter: Parameters<typeof matches>[0]) =>
    (stored[set] ?? []).filter((one) => matches(filter, one));

  test(`${runs} random trees select what their plain reading selects`, {
    timeout: 120_000,
  }, async () => {
    let selective = 0;
    const trees = fc.array(filterArbitrary, { minLength: treesAtOnce, maxLength: treesAtOnce });
    await fc.assert(
      fc.asyncProperty(someSet, trees, async (set, filters) => {
        const parameters = new SqlParameters();
        const inTenant = `m.tenant = ${parameters.add(tenantOf(set))}`;
        const selected = filters.map(
          (filter) =>
            `array(select m.id from memories m
              where ${inTenant} and ${filterSql(filter, parameters)} order by m.id)`,
        );
        const text = `select json_build_array(${selected.join(", ")}) as selected`;
        const { rows } = await postgres.query<{ selected: string[][] }>(text, parameters.values);
        for (const [i, filter] of filters.entries()) {
          const expected = selectedOf(set, filter).map((one) => one.id);
          if (expected.length > 0 && expected.length < documentCount) selective += 1;
          if (JSON.stringify(rows[0]?.selected[i]) !== JSON.stringify(expected)) {
            expect({ filter, ids: rows[0]?.selected[i] }).toEqual({ filter, ids: expected });
          }
        }
      }),
      { numRuns: Math.ceil(runs / treesAtOnce) },
    );
    // Filters that select all or nothing would prove little.
    expect(selective).toBeGreaterThan(runs / 5);
  });

  test("a filter narrows lists and counts by what its plain reading selects", async () => {
    await fc.assert(
      fc.asyncProperty(someSet, filterArbitrary, async (set, filter) => {
        const expected = selectedOf(set, filter).map((one) => one.id);
        const query = { filter, after: undefined, limit: 1_000, includeVectors: false };
        const { documents } = await store.list(tenantOf(set), collection, query);
        expect(documents.map((one) => one.id)).toEqual(expected);
        const count = await store.count(tenantOf(set), collection, filter);
        expect(count).toBe(BigInt(expected.length));
      }),
      { numRuns: Math.ceil(runs / 30) },
    );
  });

  test("a filter of every shape narrows a search of every mode", async () => {
    const vector = vectorOf(3);
    await fc.assert(
      fc.asyncProperty(someSet, filterArbitrary, async (set, filter) => {
        const expected = selectedOf(set, filter);
        const found = async (query: Parameters<typeof searchOf>[0]) => {
          const given = searchOf(query, { filter, limit: 1_000 });
          const hits = await store.search(tenantOf(set), collection, given);
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
      { numRuns: Math.ceil(runs / 60) },
    );
  });
});
