import type { Client } from "@connectrpc/connect";
import type pg from "pg";
import type { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { median, quantile, timed } from "./timing.ts";
import { load, queryVectors } from "./vector-search-data.ts";

const dimension = 256;
const documentsEach = 10;
const searches = 500;

/**
 * How long a search of one tenant takes while others come: a hundredth of all tenants, a tenth, all
 * of them, and all of them under an index.
 */
export async function tenantsFigures(
  client: Client<typeof VectorStoreService>,
  raw: pg.Client,
  tenants: number,
) {
  const name = "tenants";
  await client.createCollection({ collection: { name, dimension, embeddingModel: "bench" } });
  const { rows } = await raw.query("select table_name from collections where name = $1", [name]);
  const table = String(rows[0]?.table_name);
  const queries = queryVectors(100, dimension);
  const figures: { what: string; value: number; unit: string; goal?: string }[] = [];
  const measure = async (what: string, count: number) => {
    const search = (i: number) =>
      client.search(
        { collection: name, vector: { values: queries[i % queries.length] ?? [] }, limit: 20 },
        { headers: { "x-mahavishnu-tenant": `tenant-${(i * 7) % count}` } },
      );
    await timed(search, { count: 200, callers: 8 });
    const { times } = await timed(search, { count: searches, callers: 1 });
    figures.push(
      { what: `${what}, p50`, value: median(times), unit: "ms", goal: "flat" },
      { what: `${what}, p99`, value: quantile(times, 0.99), unit: "ms" },
    );
  };
  let loaded = 0;
  for (const count of [tenants / 100, tenants / 10, tenants].map(Math.ceil)) {
    const fresh = (count - loaded) * documentsEach;
    const firstId = loaded * documentsEach;
    const tenantOf = (i: number) => `tenant-${Math.floor(i / documentsEach)}`;
    await load(raw, { table, rows: fresh, dimension, tenantOf, firstId });
    loaded = count;
    await raw.query(`analyze ${table}`);
    await measure(`${count} tenants of ${documentsEach} documents`, count);
  }
  for await (const { done } of client.buildIndex({ collection: name })) if (done) break;
  await measure(`${tenants} tenants, with an index`, tenants);
  return figures;
}
