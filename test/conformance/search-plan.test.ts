import { beforeAll, describe, expect, test } from "vitest";
import type { DistanceName, IndexOrder } from "../../services/vector-store/collection.ts";
import type { NewDocument } from "../../services/vector-store/document.ts";
import type { Filter } from "../../services/vector-store/filter.ts";
import { instantNow } from "../../services/vector-store/instant.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import type { SearchQuery } from "../../services/vector-store/search.ts";
import type { NearestPlan } from "../../services/vector-store/search-plan.ts";
import {
  type DocumentTable,
  documentTable,
} from "../../services/vector-store/sql/document-table.ts";
import { searchStatement } from "../../services/vector-store/sql/search-sql.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { drain } from "../../shared/rpc/testing/conditions.ts";
import { ClusteredVectors } from "../bench/clustered-vectors.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { model, newDocument, searchOf } from "./document-store-samples.ts";

const hnsw: IndexOrder = { kind: "hnsw", m: undefined, efConstruction: undefined };
const ivfflat: IndexOrder = { kind: "ivfflat", lists: 20 };

/** How many documents each tenant has; the middle one is right at the threshold. */
const sizes = { large: 2_000, edge: 200, small: 20 } as const;
const threshold = 200;

const kinds: readonly { dimension: number; distance: DistanceName; order: IndexOrder }[] = [
  { dimension: 32, distance: "cosine", order: hnsw },
  { dimension: 32, distance: "euclidean", order: hnsw },
  { dimension: 32, distance: "dot_product", order: hnsw },
  { dimension: 2_100, distance: "cosine", order: hnsw },
  { dimension: 32, distance: "cosine", order: ivfflat },
  { dimension: 32, distance: "dot_product", order: ivfflat },
];

const ofRepo = (...values: string[]): Filter => ({
  node: "condition",
  condition: { on: "text", field: "repo_id", test: { kind: "one_of", values } },
});

/** Whether a statement asks the index. */
const asksIndex = (text: string) => text.includes("approximate as materialized");

describeEachStore("search planner", (_, database) => {
  let postgres: Postgres;
  let store: PostgresDocumentStore;
  /** Texts of the searches since it was emptied. */
  const searches: string[] = [];

  beforeAll(() => {
    postgres = database().open();
    const query = postgres.query.bind(postgres);
    postgres.query = (statement, params, signal) => {
      const text = typeof statement === "string" ? statement : statement.text;
      if (text.includes("hits as materialized")) searches.push(text);
      return query(statement, params, signal);
    };
    store = new PostgresDocumentStore(postgres, {
      maxCollections: 100,
      exactScope: threshold,
      scopeLifetimeMs: 1,
    });
  });

  describe.each(kinds)("of $dimension components, $distance, $order.kind", (of) => {
    const { dimension, distance, order } = of;
    const name = `planned_${dimension}_${distance}_${order.kind}`;
    const options = { clusters: 20, latent: 8 };
    let table: DocumentTable;
    let queries: number[][];

    beforeAll(async () => {
      await store.createCollection({
        name,
        dimension,
        distance,
        embeddingModel: model,
        textLanguage: "english",
      });
      const vectors = new ClusteredVectors(dimension, { ...options, seed: 1 });
      for (const [tenant, size] of Object.entries(sizes)) {
        const documents = Array.from({ length: size }, (_, i) =>
          newDocument(`${tenant} number${i} word${i % 7}`, {
            id: `${tenant}-${i}`,
            vector: [...vectors.next()],
            // Half of them, about; one in fifty; the others.
            repoId: i % 50 === 0 ? "rare" : i % 2 === 0 ? "half" : "rest",
          }),
        );
        for (let from = 0; from < size; from += 500) {
          const part = documents.slice(from, from + 500);
          await store.write(tenant, { collection: name, model, documents: part });
        }
      }
      expect((await drain(store.buildIndex(name, order))).error).toBeUndefined();
      const { rows } = await postgres.query<{ table_name: string }>(
        "select table_name from collections where name = $1",
        [name],
      );
      table = documentTable(rows[0]?.table_name ?? "", dimension, distance);
      await postgres.query(`analyze ${table.name}`);
      const asked = new ClusteredVectors(dimension, { ...options, seed: 2 });
      queries = Array.from({ length: 10 }, () => [...asked.next()]);
    }, 120_000);

    const search = (tenant: string, vector: readonly number[], given: Partial<SearchQuery> = {}) =>
      store.search(tenant, name, searchOf({ mode: "vector", vector }, { limit: 20, ...given }));
    const forced: NearestPlan = {
      by: "index",
      kind: order.kind,
      candidates: 32,
      effort: order.kind === "hnsw" ? 40 : 3,
    };
    /** Runs a search by a plan of ours. */
    const planned = async (
      tenant: string,
      plan: NearestPlan,
      query: SearchQuery,
    ): Promise<string[]> => {
      const { text, parameters } = searchStatement(table, tenant, query, plan, undefined);
      const { rows } = await postgres.query<{ id: string }>(text, parameters.values);
      return rows.map((row) => row.id);
    };
    const explained = async (plan: NearestPlan, tenant = "large") => {
      const query = searchOf({ mode: "vector", vector: queries[0] ?? [] }, { limit: 20 });
      const { text, parameters } = searchStatement(table, tenant, query, plan, undefined);
      const { rows } = await postgres.query<{ "QUERY PLAN": string }>(
        `explain (costs off) ${text}`,
        parameters.values,
      );
      return rows.map((row) => row["QUERY PLAN"]).join("\n");
    };

    test("a scope up to the threshold is searched exactly, a larger one by the index", async () => {
      const vector = queries[0] ?? [];
      const asked = async (tenant: string, given: Partial<SearchQuery> = {}) => {
        searches.length = 0;
        expect((await search(tenant, vector, given)).length).toBeGreaterThan(0);
        expect(searches).toHaveLength(1);
        return asksIndex(searches[0] ?? "");
      };
      expect(await asked("large")).toBe(true);
      expect(await asked("large", { exact: true })).toBe(false);
      expect(await asked("edge")).toBe(false);
      expect(await asked("small")).toBe(false);
      expect(await asked("large", { filter: ofRepo("half") })).toBe(true);
      expect(await asked("large", { filter: ofRepo("rare") })).toBe(false);
      const more = newDocument("one more", { id: "edge-more", vector });
      await store.write("edge", { collection: name, model, documents: [more] });
      const overThreshold = async () => await asked("edge", { limit: 1 });
      await expect.poll(overThreshold, { timeout: 10_000 }).toBe(true);
      await store.delete("edge", name, { by: "ids", ids: ["edge-more"] });
    });

    test("finds by the index nearly all that comparing every vector finds", async () => {
      for (const filter of [undefined, ofRepo("half"), ofRepo("half", "rest")]) {
        let found = 0;
        for (const vector of queries) {
          const truth = await search("large", vector, { filter, exact: true });
          searches.length = 0;
          const hits = await search("large", vector, { filter });
          expect(asksIndex(searches[0] ?? "")).toBe(true);
          expect(hits).toHaveLength(20);
          const scores = hits.map((one) => one.score);
          expect(scores).toEqual([...scores].sort((a, b) => b - a));
          const own = new Map(hits.map((one) => [one.document.id, one.score]));
          found += truth.filter((one) => own.get(one.document.id) === one.score).length;
        }
        expect(found / (20 * queries.length)).toBeGreaterThanOrEqual(0.97);
      }
    });

    test("the index is really used, and really not used", async () => {
      const byIndex = await explained(forced);
      expect(byIndex).toContain(`Index Scan using ${table.name}_vector`);
      const byScan = await explained({ by: "scan" });
      expect(byScan).not.toContain(`${table.name}_vector`);
      // A tenant that is a small part of the table is found by a btree, not by reading all of it.
      const ofFew = await explained({ by: "scan" }, "small");
      expect(ofFew).toMatch(/Index (Only )?Scan (using|on) /);
      expect(ofFew).not.toContain("Seq Scan");
    });

    test("never finds fewer than there are, however far from the query they lie", async () => {
      for (const vector of queries.slice(0, 5)) {
        const by = { mode: "vector", vector } as const;
        const rare = searchOf(by, { limit: 20, filter: ofRepo("rare") });
        const truth = await planned("large", { by: "scan" }, rare);
        expect(truth).toHaveLength(20);
        expect(await planned("large", forced, rare)).toEqual(truth);
        const small = searchOf(by, { limit: 30 });
        const all = await planned("small", { by: "scan" }, small);
        expect(all).toHaveLength(20);
        expect(await planned("small", forced, small)).toEqual(all);
      }
    });

    test("does not find what has expired, nor what another tenant has", async () => {
      const vector = queries[0] ?? [];
      const gone = newDocument("gone", { id: "gone", vector, expireTime: instantNow() });
      const write = (tenant: string, documents: NewDocument[]) =>
        store.write(tenant, { collection: name, model, documents });
      await write("large", [gone]);
      await write("small", [newDocument("theirs", { id: "theirs", vector })]);
      for (const plan of [forced, { by: "scan" } as const]) {
        const by = searchOf({ mode: "vector", vector }, { limit: 20 });
        const ids = await planned("large", plan, by);
        expect(ids).toHaveLength(20);
        expect(ids.every((id) => id.startsWith("large-"))).toBe(true);
        expect((await planned("small", plan, by))[0]).toBe("theirs");
      }
      await store.delete("small", name, { by: "ids", ids: ["theirs"] });
    });

    test("a search by vector and words is planned too, and scores as it does exactly", async () => {
      for (const vector of queries.slice(0, 3)) {
        const by = { mode: "hybrid", vector, text: "number40 word3" } as const;
        const truth = await store.search("large", name, searchOf(by, { exact: true }));
        searches.length = 0;
        const hits = await store.search("large", name, searchOf(by));
        expect(asksIndex(searches[0] ?? "")).toBe(true);
        expect(hits.map((one) => one.score)).toEqual(truth.map((one) => one.score));
      }
    });
  });
});
