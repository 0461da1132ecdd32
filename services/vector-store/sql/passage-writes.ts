import { encodeTextArray } from "../../../shared/postgres/array-codec.ts";
import type { Queryable } from "../../../shared/postgres/postgres.ts";
import { encodeVectorArray } from "../../../shared/postgres/vector-codec.ts";
import type { NewPassage } from "../passage.ts";
import { asStored, type DocumentTable } from "./document-table.ts";
import { givenRows } from "./given-rows.ts";

/** What was written, and which passages belong to it. */
export interface PassagesOf {
  readonly id: string;
  readonly contentHash: string;
  readonly passages?: readonly NewPassage[] | undefined;
}

export const passagesTable = ({ name }: DocumentTable) => `${name}_passages`;

/**
 * A CTE for the statement that changes documents: removes the passages of those that take another
 * vector or lose theirs. It costs a look into an index for each, and no statement of its own.
 * `given` is a source of rows `i(tenant, id, content_hash, embedding)`.
 */
export function withoutPassages(table: DocumentTable, given: string): string {
  return `without_passages as (
      delete from ${passagesTable(table)} p
      using ${given}, ${table.name} m
      where p.tenant = i.tenant and p.document_id = i.id and m.tenant = i.tenant and m.id = i.id
        and (i.embedding is not null or m.content_hash <> i.content_hash)
    )`;
}

/** Removes the passages of one document. */
export async function removePassages(
  tx: Queryable,
  table: DocumentTable,
  tenant: string,
  id: string,
): Promise<void> {
  await tx.query(`delete from ${passagesTable(table)} where tenant = $1 and document_id = $2`, [
    tenant,
    id,
  ]);
}

/**
 * Writes the passages of documents that this transaction has given their vector. One that has
 * passages by now has them of another writer of the same content, and keeps them.
 */
export async function insertPassages(
  tx: Queryable,
  table: DocumentTable,
  tenant: string,
  documents: readonly PassagesOf[],
  vectorOid: number,
): Promise<void> {
  const rows = documents.flatMap(({ id, contentHash, passages = [] }) =>
    passages.map((passage, n) => ({ id, contentHash, n, ...passage })),
  );
  if (rows.length === 0) return;
  await tx.query(
    `insert into ${passagesTable(table)}
      (tenant, document_id, n, range_start, range_end, embedding)
    select i.tenant, i.id, i.n, i.range_start, i.range_end, ${asStored(table, "i.embedding")}
    from ${passagesGiven}
      join ${table.name} m
        on m.tenant = i.tenant and m.id = i.id and m.content_hash = i.content_hash
    where m.embedding is not null
      and not exists (
        select from ${passagesTable(table)} p where p.tenant = i.tenant and p.document_id = i.id
      )`,
    [
      tenant,
      encodeTextArray(rows.map((one) => one.id)),
      encodeTextArray(rows.map((one) => one.contentHash)),
      rows.map((one) => one.n),
      rows.map((one) => one.range.start),
      rows.map((one) => one.range.end),
      encodeVectorArray(
        rows.map((one) => one.vector),
        vectorOid,
      ),
    ],
  );
}

const passagesGiven = givenRows(
  "$2::text[], $3::text[], $4::smallint[], $5::int[], $6::int[], $7::vector[]",
  "id, content_hash, n, range_start, range_end, embedding",
);
