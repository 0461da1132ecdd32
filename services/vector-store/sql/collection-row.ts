import type {
  Collection,
  CollectionIndex,
  CollectionStatistics,
  DistanceName,
} from "../collection.ts";
import { type DocumentTable, documentTable } from "./document-table.ts";

/** All tenants share the platform's collections. */
export const ofPlatform = "c.tenant = ''";

/** What the index of a table's vectors is called; rebuilding one makes it under another name. */
export const vectorIndex = (table: string) => `${table}_vector`;

/**
 * The index is what the catalogue says, so that one which somebody dropped or made by hand under
 * this name counts as what it is. One that is not valid serves no search.
 */
export const collections = `collections c
  left join pg_class t on t.oid = to_regclass(quote_ident(c.table_name))
  left join lateral (
    select x.oid as index_oid, a.amname, x.reloptions
    from pg_index p
      join pg_class x on x.oid = p.indexrelid
      join pg_am a on a.oid = x.relam
    where p.indrelid = t.oid and p.indisvalid and a.amname in ('hnsw', 'ivfflat')
      and x.relname = c.table_name || '_vector'
  ) i on true`;

export const collectionColumns = `c.name, c.dimension, c.distance, c.embedding_model,
  c.table_name, c.text_language, (extract(epoch from c.created_at) * 1000000)::bigint as created_micros,
  pg_relation_size(t.oid)::float8 / current_setting('block_size')::int
    * case when t.relpages > 0 and t.reltuples > 0 then t.reltuples::float8 / t.relpages else 1 end
    as rows,
  i.amname as index_kind, i.reloptions as index_options`;

/** A row of `collectionColumns` as node-postgres gives it. */
export interface CollectionRow {
  readonly name: string;
  readonly dimension: number;
  readonly distance: DistanceName;
  readonly embedding_model: string | null;
  readonly table_name: string;
  readonly text_language: string;
  readonly created_micros: string;
  readonly rows: number | null;
  readonly index_kind: CollectionIndex["kind"] | null;
  readonly index_options: readonly string[] | null;
}

export const statisticsColumns = `coalesce(pg_relation_size(i.index_oid), 0) as index_bytes,
  pg_total_relation_size(t.oid)
    + coalesce(pg_total_relation_size(to_regclass(quote_ident(c.table_name || '_passages'))), 0)
    as table_bytes,
  greatest(t.reltuples::int8, pg_stat_get_live_tuples(t.oid), 0) as live_rows,
  pg_stat_get_dead_tuples(t.oid) as dead_rows,
  (select extversion from pg_extension where extname = 'vector') as version`;

/** A row of `statisticsColumns`. */
export interface StatisticsRow {
  readonly index_bytes: string;
  readonly table_bytes: string;
  readonly live_rows: string;
  readonly dead_rows: string;
  readonly version: string;
}

/** A collection and where it is. */
export interface StoredCollection extends Collection {
  readonly table: DocumentTable;
  /**
   * Documents of all tenants, about: what a page held on average when the table was last analysed,
   * for the pages that it has now, since an embedded server may never analyse it again.
   */
  readonly rows: number;
}

export function collectionOfRow(row: CollectionRow): StoredCollection {
  return {
    name: row.name,
    dimension: row.dimension,
    distance: row.distance,
    embeddingModel: row.embedding_model ?? undefined,
    index: row.index_kind === null ? undefined : indexOf(row.index_kind, row.index_options ?? []),
    textLanguage: row.text_language,
    createTime: BigInt(row.created_micros),
    table: documentTable(row.table_name, row.dimension, row.distance),
    rows: row.rows ?? 0,
  };
}

export function statisticsOfRow(row: StatisticsRow): CollectionStatistics {
  return {
    indexBytes: BigInt(row.index_bytes),
    tableBytes: BigInt(row.table_bytes),
    rows: BigInt(row.live_rows),
    deadRows: BigInt(row.dead_rows),
    pgvectorVersion: row.version,
  };
}

/** Options are as `m=16`; those that were left to pgvector do not stand there. */
function indexOf(kind: CollectionIndex["kind"], options: readonly string[]): CollectionIndex {
  const given = new Map(options.map((one) => [one.split("=")[0], Number(one.split("=")[1])]));
  const hnsw = kind === "hnsw";
  return {
    kind,
    m: hnsw ? (given.get("m") ?? 16) : undefined,
    efConstruction: hnsw ? (given.get("ef_construction") ?? 64) : undefined,
    lists: hnsw ? undefined : (given.get("lists") ?? 100),
  };
}
