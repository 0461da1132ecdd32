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

const tenant = "filters";
const documentCount = 60;
/** Random trees a run; more by hand, to look for what is rare. */
const runs = Number(process.env["MAHAVISHNU_TEST_FILTER_RUNS"] ?? 3_000);
/** Trees that are asked in one statement. */
const treesAtOnce = 50;

describeEachStore("filters", (_, database) => {
  let postgres: Postgres;
  let store: PostgresDocumentStore;
  let stored: readonly StoredDocument[];

  beforeAll(async () => {
    postgres = database().open();
    store = new PostgresDocumentStore(postgres);
    const makers = fc.sample(documentArbitrary, { numRuns: documentCount, seed: 42 });
    const documents = makers.map((make, position) => make(position));
    const results = await store.write(tenant, writeOf(...documents));
    expect(results.map((one) => one.outcome)).toEqual(documents.map(() => "created"));
    const query = { filter: undefined, after: undefined, limit: 1_000, includeVectors: true };
    stored = (await store.list(tenant, collection, query)).documents;
    expect(stored).toHaveLength(documentCount);
  });

  test(`${runs} random trees select what their plain reading selects`, {
    timeout: 120_000,
  }, async () => {
    let selective = 0;
    const trees = fc.array(filterArbitrary, { minLength: treesAtOnce, maxLength: treesAtOnce });
    await fc.assert(
      fc.asyncProperty(trees, async (filters) => {
        const parameters = new SqlParameters();
        const inTenant = `m.tenant = ${parameters.add(tenant)}`;
        const selected = filters.map(
          (filter) =>
            `array(select m.id from memories m
              where ${inTenant} and ${filterSql(filter, parameters)} order by m.id)`,
        );
        const text = `select json_build_array(${selected.join(", ")}) as selected`;
        const { rows } = await postgres.query<{ selected: string[][] }>(text, parameters.values);
        for (const [i, filter] of filters.entries()) {
          const expected = stored.filter((one) => matches(filter, one)).map((one) => one.id);
          if (expected.length > 0 && expected.length < stored.length) selective += 1;
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
      fc.asyncProperty(filterArbitrary, async (filter) => {
        const expected = stored.filter((one) => matches(filter, one)).map((one) => one.id);
        const query = { filter, after: undefined, limit: 1_000, includeVectors: false };
        const { documents } = await store.list(tenant, collection, query);
        expect(documents.map((one) => one.id)).toEqual(expected);
        const count = await store.count(tenant, collection, filter);
        expect(count).toBe(BigInt(expected.length));
      }),
      { numRuns: Math.ceil(runs / 30) },
    );
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
      { numRuns: Math.ceil(runs / 60) },
    );
  });
});
