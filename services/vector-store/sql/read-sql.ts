import { maxReadBytes } from "../answer-budget.ts";
import type { Filter } from "../filter.ts";
import type { ListQuery, Selection } from "../store.ts";
import { documentBytes, documentColumns, isLive } from "./document-row.ts";
import type { DocumentTable } from "./document-table.ts";
import { filterSql } from "./filter-sql.ts";
import { givenRows } from "./given-rows.ts";
import { SqlParameters, type Statement } from "./parameters.ts";

/** Bytes of one page. */
const maxPageBytes = 8 * 1024 * 1024;

/**
 * Each row tells `bytes`, what all that was asked for has together. Where that is more than
 * `maxReadBytes`, the rows hold nothing else: no content is read.
 */
export function getStatement(
  table: DocumentTable,
  tenant: string,
  ids: readonly string[],
  includeVectors: boolean,
): Statement {
  const { parameters, inTenant } = begin(tenant);
  const asked = `${parameters.add(ids)}::text[]`;
  const text = `
with found as materialized (
  select m.id, ${documentBytes(table, includeVectors)} as bytes
  from ${table.name} m
  where ${inTenant} and m.id = any(${asked}) and ${isLive}
),
answer as materialized (
  select sum(found.bytes)::float8 as bytes from unnest(${asked}) given(id) join found using (id)
)
select ${documentColumns(table, includeVectors)}, answer.bytes
from found cross join answer
  left join ${table.name} m on ${inTenant} and m.id = found.id and answer.bytes <= ${maxReadBytes}`;
  return { text, parameters };
}

/**
 * A page of at most `limit` documents and as many bytes as fit into a message, but one document
 * at least; `more` is true in every row where others follow the page.
 */
export function listStatement(table: DocumentTable, tenant: string, query: ListQuery): Statement {
  const { parameters, inTenant } = begin(tenant);
  const { after, orderBy } = ordered(query, parameters);
  const filter = filtered(query.filter, parameters);
  const limit = `${parameters.add(query.limit)}::int`;
  const text = `
with found as materialized (
  select m.id, m.created_at, m.updated_at, ${documentBytes(table, query.includeVectors)} as bytes
  from ${table.name} m
  where ${inTenant} and ${isLive}${after}${filter}
  order by ${orderBy("m")}
  limit ${limit} + 1
),
sized as (
  select id, row_number() over in_order as position, sum(bytes) over in_order as bytes
  from found window in_order as (order by ${orderBy("found")})
),
page as materialized (
  select id, position from sized
  where position <= ${limit} and (position = 1 or bytes <= ${maxPageBytes})
)
select ${documentColumns(table, query.includeVectors)},
  (select count(*) from found) > (select count(*) from page) as more
from page join ${table.name} m on ${inTenant} and m.id = page.id
order by page.position`;
  return { text, parameters };
}

const timeColumns = { create_time: "created_at", update_time: "updated_at" } as const;

/** The condition that a place stands for, and the order in which it does. */
function ordered(
  { order = { by: "id", descending: false }, after: last, afterTime }: ListQuery,
  parameters: SqlParameters,
): { readonly after: string; readonly orderBy: (alias: string) => string } {
  const way = order.descending ? " desc" : "";
  const beyond = order.descending ? "<" : ">";
  const id = () => `${parameters.add(last ?? "")}::text`;
  if (order.by === "id") {
    return {
      after: last === undefined ? "" : ` and m.id ${beyond} ${id()}`,
      orderBy: (alias) => `${alias}.id${way}`,
    };
  }
  const column = timeColumns[order.by];
  const time = () =>
    `(to_timestamp(0) + ${parameters.add(String(afterTime ?? 0n))}::int8 * interval '1 microsecond')`;
  return {
    after: last === undefined ? "" : ` and (m.${column}, m.id) ${beyond} (${time()}, ${id()})`,
    orderBy: (alias) => `${alias}.${column}${way}, ${alias}.id${way}`,
  };
}

export function countStatement(
  table: DocumentTable,
  tenant: string,
  filter: Filter | undefined,
): Statement {
  const { parameters, inTenant } = begin(tenant);
  const text = `
select count(*) as count from ${table.name} m
where ${inTenant} and ${isLive}${filtered(filter, parameters)}`;
  return { text, parameters };
}

/** As countStatement, and counts no further than `atMost`. */
export function sizeStatement(
  table: DocumentTable,
  tenant: string,
  filter: Filter | undefined,
  atMost: number,
): Statement {
  const { parameters, inTenant } = begin(tenant);
  const text = `
select count(*) as count from (
  select 1 from ${table.name} m
  where ${inTenant} and ${isLive}${filtered(filter, parameters)}
  limit ${parameters.add(atMost)}::int
) counted`;
  return { text, parameters };
}

/** Expired documents go too; only those that could still be seen are counted. */
export function deleteStatement(
  table: DocumentTable,
  tenant: string,
  selection: Selection,
): Statement {
  const { parameters, inTenant } = begin(tenant);
  const which =
    selection.by === "ids"
      ? `using ${givenRows(`${parameters.add(selection.ids)}::text[]`, "id")}
  where m.tenant = i.tenant and m.id = i.id`
      : `where ${inTenant}${filtered(selection.by === "filter" ? selection.filter : undefined, parameters)}`;
  const text = `
with gone as (
  delete from ${table.name} m ${which} returning ${isLive} as live
)
select count(*) as count from gone where live`;
  return { text, parameters };
}

/** Those that others are just reading for a write are left to the next time: nobody waits. */
export function removeExpiredStatement(table: string, limit: number): Statement {
  const parameters = new SqlParameters();
  const text = `
with expired as materialized (
  select tenant, id from ${table}
  where expires_at <= now()
  order by expires_at limit ${parameters.add(limit)}::int
  for update skip locked
),
gone as (
  delete from ${table} m using expired e where m.tenant = e.tenant and m.id = e.id returning 1
)
select count(*) as count from gone`;
  return { text, parameters };
}

function begin(tenant: string): { parameters: SqlParameters; inTenant: string } {
  const parameters = new SqlParameters();
  return { parameters, inTenant: `m.tenant = ${parameters.add(tenant)}` };
}

function filtered(filter: Filter | undefined, parameters: SqlParameters): string {
  return filter === undefined ? "" : ` and ${filterSql(filter, parameters)}`;
}
