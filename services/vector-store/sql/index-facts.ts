import type { Queryable } from "../../../shared/postgres/postgres.ts";
import { isVersionBefore } from "../../../shared/postgres/readiness.ts";
import type { CollectionIndex, DistanceName, IndexOrder } from "../collection.ts";
import { TooFewRowsError } from "../errors.ts";
import { proposedLists, rowsNeeded } from "../search-plan.ts";
import { vectorIndex } from "./collection-row.ts";
import { type DocumentTable, documentTable } from "./document-table.ts";
import type { IndexSpec } from "./index-statements.ts";

/** pgvector's own defaults; what they reach stands in docs/decisions/0005-search-planner.md. */
const hnswDefaults = { m: 16, efConstruction: 64 } as const;

/** Completes an order. Throws TooFewRowsError where there are too few vectors for it. */
export async function specOf(
  session: Queryable,
  table: DocumentTable,
  order: IndexOrder,
  signal: AbortSignal,
): Promise<IndexSpec> {
  if (order.kind === "hnsw") {
    const m = order.m ?? hnswDefaults.m;
    const efConstruction = order.efConstruction ?? Math.max(hnswDefaults.efConstruction, 2 * m);
    return { kind: "hnsw", m, efConstruction };
  }
  const { rows } = await session.query<{ count: string }>(
    `select count(*) as count from ${table.name} where embedding is not null`,
    [],
    signal,
  );
  const count = Number(rows[0]?.count ?? 0);
  const lists = order.lists ?? proposedLists(count);
  const needed = rowsNeeded(lists);
  if (count < needed) throw new TooFewRowsError(count, needed);
  return { kind: "ivfflat", lists };
}

/** Whether an index of the table's vectors is in use. */
export async function isIndexed(
  session: Queryable,
  { name }: DocumentTable,
  signal: AbortSignal,
): Promise<boolean> {
  const { rows } = await session.query(
    `select from pg_index p join pg_class x on x.oid = p.indexrelid
    where p.indrelid = $1::text::regclass and p.indisvalid and x.relname = $2`,
    [name, vectorIndex(name)],
    signal,
  );
  return rows.length > 0;
}

/** The index as it is in use now. */
export async function builtIndex(
  session: Queryable,
  table: DocumentTable,
  spec: IndexSpec,
  signal: AbortSignal,
): Promise<CollectionIndex & { readonly bytes: bigint }> {
  const { rows } = await session.query<{ bytes: string }>(
    "select pg_relation_size($1::text::regclass) as bytes",
    [vectorIndex(table.name)],
    signal,
  );
  const bytes = BigInt(rows[0]?.bytes ?? 0);
  return spec.kind === "hnsw"
    ? { kind: "hnsw", m: spec.m, efConstruction: spec.efConstruction, lists: undefined, bytes }
    : { kind: "ivfflat", m: undefined, efConstruction: undefined, lists: spec.lists, bytes };
}

/** Tables with an index that a build has left half-way. */
export async function tablesWithLeftovers(
  database: Queryable,
  signal: AbortSignal,
): Promise<DocumentTable[]> {
  const { rows } = await database.query<{
    table_name: string;
    dimension: number;
    distance: DistanceName;
  }>(
    `select c.table_name, c.dimension, c.distance from collections c
    where to_regclass(quote_ident(c.table_name || '_vector_new')) is not null
      or to_regclass(quote_ident(c.table_name || '_vector_old')) is not null`,
    [],
    signal,
  );
  return rows.map((row) => documentTable(row.table_name, row.dimension, row.distance));
}

/**
 * Settings of the session that builds. The graph of an HNSW index is built in memory as far as it
 * fits; past that the build is many times slower. A process that dies takes its build with it.
 */
export async function sessionSettings(
  session: Queryable,
  table: DocumentTable,
  spec: IndexSpec,
  { memoryMb }: { readonly memoryMb: number },
  signal: AbortSignal,
): Promise<string[]> {
  const { rows } = await session.query<{ rows: number; version: string }>(
    `select (pg_relation_size($1::text::regclass) / current_setting('block_size')::int)::float8
      * greatest(reltuples / nullif(relpages, 0), 1) as rows,
      (select extversion from pg_extension where extname = 'vector') as version
    from pg_class where oid = $1::text::regclass`,
    [table.name],
    signal,
  );
  const { rows: count = 0, version = "" } = rows[0] ?? {};
  const vector = table.dimension * (table.vectorType === "vector" ? 4 : 2);
  const links = spec.kind === "hnsw" ? 32 * spec.m + 300 : 100;
  const wanted = Math.ceil((1.2 * count * (vector + links)) / 2 ** 20);
  const megabytes = Math.min(memoryMb, Math.max(64, wanted));
  return [
    `set maintenance_work_mem = '${megabytes}MB'`,
    // Before pgvector 0.8.2 a parallel build can write past its memory (CVE-2026-3172).
    ...(isVersionBefore(version, [0, 8, 2]) ? ["set max_parallel_maintenance_workers = 0"] : []),
    "set client_connection_check_interval = '2s'",
    "set lock_timeout = 0",
  ];
}
