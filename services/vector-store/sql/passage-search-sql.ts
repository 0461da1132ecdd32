import type { DocumentTable } from "./document-table.ts";
import type { Comparison } from "./nearest-sql.ts";
import { SqlParameters, type Statement } from "./parameters.ts";
import { passagesTable } from "./passage-writes.ts";

const anyPassages = (table: DocumentTable, inTenant: string) =>
  `exists (select from ${passagesTable(table)} m where ${inTenant})`;

/** A further column, `has_passages`: whether the tenant has any. It is a look into an index. */
export function hasPassagesColumn(table: DocumentTable, inTenant: string): string {
  return `, (select ${anyPassages(table, inTenant)}) as has_passages`;
}

/** Whether the tenant has any: column `has_passages` of the only row. */
export function hasPassagesStatement(table: DocumentTable, tenant: string): Statement {
  const parameters = new SqlParameters();
  const inTenant = `m.tenant = ${parameters.add(tenant)}`;
  return { text: `select ${anyPassages(table, inTenant)} as has_passages`, parameters };
}

/**
 * A CTE `best_passages (id, closeness)`: the nearest passage of each document of the tenant. Every
 * passage is compared. `inTenant` is a condition on the alias `m`.
 */
export function bestPassagesSql(
  table: DocumentTable,
  comparison: Comparison,
  inTenant: string,
): string {
  return `best_passages as materialized (
  select m.document_id as id, max(${comparison.closeness()}) as closeness
  from ${passagesTable(table)} m where ${inTenant} group by m.document_id
)`;
}

/** Of these the nearest that are in the scope, a condition on the alias `m`: `(id, closeness)`. */
export function nearestPassagesSql({ name }: DocumentTable, scope: string, wanted: string): string {
  return `
      select b.id, b.closeness
      from best_passages b cross join lateral (
        select from ${name} m where ${scope} and m.id = b.id offset 0
      ) m
      order by b.closeness desc, b.id limit ${wanted}`;
}

/**
 * A CTE `nearest (id, closeness)` of `nearest_documents`, which knows the documents' own vectors
 * only, and `best_passages`: a document is as near as the nearest of its vectors. Among the nearest
 * by one kind of vector and those by the other are the nearest by both, so that the answer is as
 * exact as that of the documents.
 */
export function withPassagesSql(table: DocumentTable, scope: string, wanted: string): string {
  return `nearest as materialized (
  select id, max(closeness) as closeness
  from (
    select id, closeness from nearest_documents
    union all
    (${nearestPassagesSql(table, scope, wanted)}
    )
  ) either
  group by id order by closeness desc, id limit ${wanted}
)`;
}

/** The closeness of the document `m` by its best vector; `b` is its row of `best_passages`, if any. */
export function bestCloseness(comparison: Comparison): string {
  return `greatest(${comparison.closeness()}, b.closeness)`;
}

/**
 * A CTE `matched (id, closeness, range_start, range_end)`: the best passage of each of `hits` that
 * has any.
 */
export function matchedSql(table: DocumentTable, comparison: Comparison, inTenant: string): string {
  return `matched as materialized (
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
