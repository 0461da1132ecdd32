import { encodeTextArray } from "../../../shared/postgres/array-codec.ts";
import type { Queryable } from "../../../shared/postgres/postgres.ts";
import { encodeVectorArray } from "../../../shared/postgres/vector-codec.ts";
import type { NewVector, VectorOutcome } from "../document.ts";
import { isLive } from "./document-row.ts";
import { asStored, type DocumentTable } from "./document-table.ts";
import { givenRows } from "./given-rows.ts";
import { insertPassages, passagesTable } from "./passage-writes.ts";

/**
 * Writes vectors into documents whose content is still the one that they were made from; one
 * outcome a vector, in their order. `vectorOid` is the object id of the type vector.
 *
 * The rows are locked by id, as other writers of ids do. The lock reads each row as it is by then,
 * while the update's own look at it is as old as the statement: so the hash is that of the lock.
 */
export async function writeVectors(
  tx: Queryable,
  table: DocumentTable,
  tenant: string,
  vectors: readonly NewVector[],
  vectorOid: number,
): Promise<VectorOutcome[]> {
  const { rows } = await tx.query<{ id: string; written: boolean }>(
    `with given as materialized (
      select i.* from ${givenRows("$2::text[], $3::text[], $4::vector[]", "id, content_hash, embedding")}
    ),
    locked as materialized (
      select m.id, m.content_hash
      from given i join ${table.name} m on m.tenant = i.tenant and m.id = i.id
      where ${isLive}
      order by m.id for update of m
    ),
    without_passages as (
      delete from ${passagesTable(table)} p
      using given i join locked on locked.id = i.id and locked.content_hash = i.content_hash
      where p.tenant = i.tenant and p.document_id = i.id
    ),
    written as (
      update ${table.name} m set embedding = ${asStored(table, "i.embedding")}, updated_at = now()
      from given i join locked on locked.id = i.id and locked.content_hash = i.content_hash
      where m.tenant = i.tenant and m.id = i.id
      returning m.id
    )
    select locked.id, written.id is not null as written
    from locked left join written on written.id = locked.id`,
    [
      tenant,
      encodeTextArray(vectors.map((one) => one.id)),
      encodeTextArray(vectors.map((one) => one.contentHash)),
      encodeVectorArray(
        vectors.map((one) => one.vector),
        vectorOid,
      ),
    ],
  );
  const outcomes = new Map(
    rows.map(({ id, written }) => [
      id,
      written ? ("updated" as const) : ("content_changed" as const),
    ]),
  );
  const written = vectors.filter(({ id }) => outcomes.get(id) === "updated");
  await insertPassages(tx, table, tenant, written, vectorOid);
  return vectors.map(({ id }) => outcomes.get(id) ?? "not_found");
}
