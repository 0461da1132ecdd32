import { encodeTextArray, encodeTidArray } from "../../../shared/postgres/array-codec.ts";
import type { PlacedDocument, Ranking } from "../ranking.ts";
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
  /** Whether all of the others are. */
  readonly others_there: boolean;
}

/**
 * The documents of a ranking, in its order, as far as they fit into the answer, and whether it is
 * true: nothing has changed since the snapshot, and all whom it names are there and live. Column `n`
 * is a hit's place in it, from 1.
 *
 * Rows are looked for where they were when they were remembered, which takes a third of the time of
 * an index. One that was written anew is elsewhere, and one that was deleted may have left its place
 * to another: so ids are compared too. Rows come in the order of their places; in any other, which
 * the database does not promise, they would not count as there.
 *
 * `offset 0` keeps the planner from any other way: whatever it makes of the number of places, it
 * never reads the whole tenant for them.
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
  const changes = changesSql(table, inTenant, `${parameters.add(snapshot)}::pg_snapshot`);
  const maxBytes = `${parameters.add(query.maxBytes)}::int8`;
  const told = query.mode === "text" ? "" : hasPassagesColumn(table, inTenant);
  const ids = (documents: readonly PlacedDocument[]) =>
    `${parameters.add(encodeTextArray(documents.map(({ id }) => id)))}::text[]`;
  const places = (documents: readonly PlacedDocument[]) =>
    `${parameters.add(encodeTidArray(documents.map(({ place }) => place)))}::tid[]`;
  const inOrder = others.toSorted((a, b) => a.place - b.place);
  const there =
    others.length === 0
      ? "true"
      : `coalesce((
    select array_agg(m.id) from (
      select m.tenant, m.id, m.expires_at from ${table.name} m
      where m.ctid = any(${places(inOrder)}) offset 0
    ) m where ${inTenant} and ${isLive}
  ) = ${ids(inOrder)}, false)`;
  const text = `
with told as materialized (
  select changes.changed, changes.too_many, ${there} as others_there${told}
  from (${changes}) changes
)
select ${documentColumns(table, query.includeVectors)}, m.bytes, m.n, m.found, told.*
from told left join (
  select m.*, (count(*) over ())::int as found,
    sum(m.bytes) over (order by m.n rows unbounded preceding) as bytes_so_far
  from (
    select m.*, given.n::int as n, ${documentBytes(table, query.includeVectors)} as bytes
    from unnest(${ids(hits)}, ${places(hits)}) with ordinality given(id, place, n)
      cross join lateral (
        select * from ${table.name} m where m.ctid = given.place offset 0
      ) m
    where ${inTenant} and m.id = given.id and ${isLive}
  ) m
) m on m.n = 1 or m.bytes_so_far <= ${maxBytes}
order by m.n`;
  return { text, parameters };
}
