import { decodeTid, encodeTextArray } from "../../../shared/postgres/array-codec.ts";
import { decodeVector } from "../../../shared/postgres/vector-codec.ts";
import type { ReadDocument } from "../remembered-scope.ts";
import { isLive } from "./document-row.ts";
import { type DocumentTable, vectorBytes } from "./document-table.ts";
import { SqlParameters, type Statement } from "./parameters.ts";
import { decodeLexemeCounts } from "./tsvector-codec.ts";

/** No transaction has a larger number. */
const lastTransaction = "18446744073709551615";

/**
 * Of the table alias `m`: what was written by transactions that a snapshot cannot have shown, or may
 * have. The upper bound changes nothing but the planner's estimate, which otherwise is a third of
 * the table.
 */
function recent(snapshot: string): string {
  return `m.changed_xid >= pg_snapshot_xmin(${snapshot})
    and m.changed_xid <= '${lastTransaction}'::xid8`;
}

/** Of any row with a `changed_xid`: what a snapshot does not show. */
function unseen(snapshot: string): string {
  return `not pg_visible_in_snapshot(changed_xid, ${snapshot})`;
}

/**
 * More rows than this are not looked at one by one: those that have changed, and, while a long
 * transaction is open, those that were written since it began.
 */
const mostRecent = 4_000;

/**
 * Columns `changed`: how many documents a snapshot does not show, and `too_many`: they were not all
 * looked at. The index alone is read, as far as it knows what everybody sees.
 */
export function changesSql({ name }: DocumentTable, inTenant: string, snapshot: string): string {
  return `select (count(*) filter (where ${unseen(snapshot)}))::int as changed,
    count(*) > ${mostRecent} as too_many
  from (
    select m.changed_xid from ${name} m where ${inTenant} and ${recent(snapshot)}
    limit ${mostRecent + 1}
  ) recent`;
}

/**
 * A CTE `recent (id, changed_xid)` of what may have changed since a snapshot, and one `changed (id)`
 * of what has. As far as they are not too many: see `changesSql`.
 */
export function changedSql({ name }: DocumentTable, inTenant: string, snapshot: string): string {
  return `recent as materialized (
  select m.id, m.changed_xid from ${name} m
  where ${inTenant} and ${recent(snapshot)}
  limit ${mostRecent + 1}
),
changed as materialized (
  select id from recent where ${unseen(snapshot)}
),
changes as materialized (
  select (select count(*) from changed)::int as count,
    (select count(*) from recent) > ${mostRecent} as too_many
)`;
}

/** What the database shows now: column `snapshot`. */
export function snapshotStatement(): Statement {
  return {
    text: "select pg_current_snapshot()::text as snapshot",
    parameters: new SqlParameters(),
  };
}

/** How many documents of the tenant there are, counted up to `atMost`: column `count`. */
export function scopeRowsStatement(
  { name }: DocumentTable,
  tenant: string,
  atMost: number,
): Statement {
  const parameters = new SqlParameters();
  const text = `
select count(*) as count from (
  select from ${name} m
  where m.tenant = ${parameters.add(tenant)} and ${isLive}
  limit ${parameters.add(atMost)}::int
) counted`;
  return { text, parameters };
}

/**
 * Gives so many rows of a tenant a number of this server whose numbers are another's: no row that is
 * there can be of a transaction to come. Column `count`.
 */
export function adoptStatement({ name }: DocumentTable, tenant: string, most: number): Statement {
  const parameters = new SqlParameters();
  const inTenant = `m.tenant = ${parameters.add(tenant)}`;
  const text = `
with foreign_rows as materialized (
  select m.id from ${name} m
  where ${inTenant} and m.changed_xid >= pg_snapshot_xmax(pg_current_snapshot())
    and m.changed_xid <= '${lastTransaction}'::xid8
  limit ${parameters.add(most)}::int
),
adopted as (
  update ${name} m set changed_xid = '0' from foreign_rows f
  where ${inTenant} and m.id = f.id returning 1
)
select count(*) as count from adopted`;
  return { text, parameters };
}

/** Where these documents are, as far as the tenant has them: rows of `id` and `place`. */
export function placesStatement(
  { name }: DocumentTable,
  tenant: string,
  ids: readonly string[],
): Statement {
  const parameters = new SqlParameters();
  const text = `
select m.id, m.place from unnest(${parameters.add(encodeTextArray(ids))}::text[]) given(id)
  cross join lateral (
    select m.id, m.ctid as place from ${name} m
    where m.tenant = ${parameters.add(tenant)} and m.id = given.id offset 0
  ) m`;
  return { text, parameters };
}

/** A row of `scopePageStatement`. */
export interface ScopeRow {
  readonly id: string;
  readonly place: string;
  readonly embedding: Buffer | null;
  readonly lexemes: Buffer;
  readonly lexeme_count: number;
}

export function readDocumentOfRow(row: ScopeRow): ReadDocument {
  return {
    id: row.id,
    place: decodeTid(row.place),
    vector: row.embedding === null ? undefined : decodeVector(row.embedding),
    length: row.lexeme_count,
    lexemes: decodeLexemeCounts(row.lexemes),
  };
}

/** Documents of a tenant by id, as `ScopeRow`; with `since` those that this snapshot did not show. */
export function scopePageStatement(
  table: DocumentTable,
  tenant: string,
  after: string,
  since: string | undefined,
  limit: number,
): Statement {
  const parameters = new SqlParameters();
  const inTenant = `m.tenant = ${parameters.add(tenant)}`;
  const from = `m.id > ${parameters.add(after)}`;
  const most = `order by m.id limit ${parameters.add(limit)}::int`;
  const embedding = remembersVectors(table) ? vectorBytes(table, "m.embedding") : "null::bytea";
  const columns = `m.id, m.ctid as place, ${embedding} as embedding, tsvectorsend(m.lexemes) as lexemes, m.lexeme_count`;
  if (since === undefined) {
    const text = `
select ${columns} from ${table.name} m
where ${inTenant} and ${from} ${most}`;
    return { text, parameters };
  }
  // What has changed is found first, in no order, and then read where it is: no estimate of how many
  // there are, or of how large the tenant is, makes the planner read the tenant for them.
  const snapshot = `${parameters.add(since)}::pg_snapshot`;
  const text = `
with changed as materialized (
  select m.id, m.ctid as place from ${table.name} m
  where ${inTenant} and ${recent(snapshot)} and ${unseen(snapshot)}
),
next as materialized (
  select m.place from changed m where ${from} ${most}
)
select ${columns} from next cross join lateral (
  select m.ctid, m.id, m.embedding, m.lexemes, m.lexeme_count from ${table.name} m
  where m.ctid = next.place offset 0
) m
order by m.id`;
  return { text, parameters };
}

/** Cosine similarity is all that the memory knows, and vectors as they are sent. */
export function remembersVectors({ distance, vectorType }: DocumentTable): boolean {
  return distance === "cosine" && vectorType === "vector";
}
