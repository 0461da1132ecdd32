import type { DocumentTable } from "./document-table.ts";
import type { Comparison } from "./nearest-sql.ts";
import { passagesTable } from "./passage-writes.ts";

/** Conditions on the alias `m`; `inTenant` is true of passages as well as of documents. */
interface Bounds {
  readonly scope: string;
  readonly inTenant: string;
}

/**
 * CTEs that make `nearest (id, closeness)` of `nearest_documents`, which knows the documents' own
 * vectors only: a document is as near as the nearest of its vectors. Among the nearest by either
 * kind of vector are the nearest by both, so that the answer is as exact as that of the documents.
 *
 * Every passage of the tenant is compared. Where there is none, that is a look into an index, and
 * nothing of the rest is begun.
 */
export function withPassagesSql(
  table: DocumentTable,
  comparison: Comparison,
  { scope, inTenant }: Bounds,
  wanted: string,
): string {
  return `
best_passages as materialized (
  select m.document_id as id, max(${comparison.closeness()}) as closeness
  from ${passagesTable(table)} m where ${inTenant} group by m.document_id
),
nearest as materialized (
  select id, max(closeness) as closeness
  from (
    select id, closeness from nearest_documents
    union all
    (
      select b.id, b.closeness
      from best_passages b cross join lateral (
        select from ${table.name} m where ${scope} and m.id = b.id offset 0
      ) m
      order by b.closeness desc, b.id limit ${wanted}
    )
  ) either
  group by id order by closeness desc, id limit ${wanted}
)`;
}

/** The document's closeness by its best vector, where `m` is joined with `bestPassageJoin`. */
export function bestCloseness(comparison: Comparison): string {
  return `greatest(${comparison.closeness()}, b.closeness)`;
}

export const bestPassageJoin = "left join best_passages b on b.id = m.id";

/** A CTE `matched (id, closeness, range_start, range_end)`: the best passage of each hit. */
export function matchedSql(table: DocumentTable, comparison: Comparison, inTenant: string): string {
  return `,
matched as materialized (
  select b.id, b.closeness, p.range_start, p.range_end
  from hits h join best_passages b on b.id = h.id cross join lateral (
    select m.range_start, m.range_end from ${passagesTable(table)} m
    where ${inTenant} and m.document_id = b.id
    order by ${comparison.closeness()} desc, m.n limit 1
  ) p
)`;
}

/** Of those hits `m` only whose passage is nearer than the document's own vector. */
export function matchedJoin(comparison: Comparison): string {
  return `left join matched on matched.id = m.id and matched.closeness > ${comparison.closeness()}`;
}

export const matchedColumns = ", matched.range_start, matched.range_end";
