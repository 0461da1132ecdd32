import { encodeTextArray } from "../../../shared/postgres/array-codec.ts";
import type { Ranking } from "../ranking.ts";
import type { SearchQuery } from "../search.ts";
import { documentBytes, documentColumns, isLive } from "./document-row.ts";
import type { DocumentTable } from "./document-table.ts";
import { changesSql } from "./known-scope-sql.ts";
import { SqlParameters, type Statement } from "./parameters.ts";
import { hasPassagesColumn } from "./passage-search-sql.ts";

/** What stands in every row of `unchangedStatement`; where there is no document, in the only one. */
export interface UnchangedVerdict {
  /** Documents of the tenant that have changed since the snapshot. */
  readonly changed: number;
  /** They were too many to be looked at. */
  readonly too_many: boolean;
  /** Of the ranking's hits, how many are there; null for none. */
  readonly found: number | null;
  /** Of the others. */
  readonly others_found: number;
}

/**
 * The documents of a ranking, in its order, as far as they fit into the answer, and whether it is
 * true: nothing has changed since the snapshot, and all whom it names are there and live. Column `n`
 * is a hit's place, from 1.
 *
 * Documents are looked up one by one, fenced by `offset 0`: whatever the planner makes of their
 * number, it never reads the whole table for them.
 */
export function unchangedStatement(
  table: DocumentTable,
  tenant: string,
  query: SearchQuery,
  snapshot: string,
  { hits, others }: Ranking,
): Statement {
  const parameters = new SqlParameters();
  const inTenant = `m.tenant = ${parameters.add(tenant)}`;
  const lookedUp = `${table.name} m where ${inTenant} and ${isLive} and m.id = given.id offset 0`;
  const given = (ids: readonly string[]) =>
    `unnest(${parameters.add(encodeTextArray(ids))}::text[])`;
  const changes = changesSql(table, inTenant, `${parameters.add(snapshot)}::pg_snapshot`);
  const maxBytes = `${parameters.add(query.maxBytes)}::int8`;
  const told = query.mode === "text" ? "" : hasPassagesColumn(table, inTenant);
  const there =
    others.length === 0
      ? "0"
      : `(
    select count(*) from ${given(others)} given(id) cross join lateral (select from ${lookedUp}) m
  )::int`;
  const text = `
with told as materialized (
  select changes.changed, changes.too_many, ${there} as others_found${told}
  from (${changes}) changes
)
select ${documentColumns(table, query.includeVectors)}, m.bytes, m.n, m.found, told.*
from told left join (
  select m.*, (count(*) over ())::int as found,
    sum(m.bytes) over (order by m.n rows unbounded preceding) as bytes_so_far
  from (
    select m.*, given.n::int as n, ${documentBytes(table, query.includeVectors)} as bytes
    from ${given(hits.map(({ id }) => id))} with ordinality given(id, n)
      cross join lateral (select * from ${lookedUp}) m
  ) m
) m on m.n = 1 or m.bytes_so_far <= ${maxBytes}
order by m.n`;
  return { text, parameters };
}
