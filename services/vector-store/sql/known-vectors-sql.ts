import { isLive } from "./document-row.ts";
import { type DocumentTable, vectorBytes } from "./document-table.ts";
import { SqlParameters, type Statement } from "./parameters.ts";

/** No transaction has a larger number. */
const lastTransaction = "18446744073709551615";

/**
 * What a snapshot does not show, of the table alias `m`. The upper bound changes nothing but the
 * planner's estimate, which otherwise is a third of the table.
 */
export function unseen(snapshot: string): string {
  return `m.vector_xid >= pg_snapshot_xmin(${snapshot})
      and m.vector_xid <= '${lastTransaction}'::xid8
      and not pg_visible_in_snapshot(m.vector_xid, ${snapshot})`;
}

/** What the database shows now: column `snapshot`. */
export function snapshotStatement(): Statement {
  return {
    text: "select pg_current_snapshot()::text as snapshot",
    parameters: new SqlParameters(),
  };
}

/** How many documents of the tenant have a vector, counted up to `atMost`: column `count`. */
export function vectorCountStatement(
  { name }: DocumentTable,
  tenant: string,
  atMost: number,
): Statement {
  const parameters = new SqlParameters();
  const text = `
select count(*) as count from (
  select from ${name} m
  where m.tenant = ${parameters.add(tenant)} and m.embedding is not null and ${isLive}
  limit ${parameters.add(atMost)}::int
) counted`;
  return { text, parameters };
}

/** Rows of `id` and `embedding`; null where a document that has changed has no vector. */
export function vectorPageStatement(
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
  const columns = `m.id, ${vectorBytes(table, "m.embedding")} as embedding`;
  if (since === undefined) {
    const text = `
select ${columns} from ${table.name} m
where ${inTenant} and ${from} and m.embedding is not null ${most}`;
    return { text, parameters };
  }
  // What has changed is few, and is found first: no order makes the planner read the tenant for it.
  const text = `
with changed as materialized (
  select m.id from ${table.name} m
  where ${inTenant} and ${unseen(`${parameters.add(since)}::pg_snapshot`)}
)
select ${columns} from changed join ${table.name} m on ${inTenant} and m.id = changed.id
where ${from} ${most}`;
  return { text, parameters };
}
