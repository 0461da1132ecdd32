import type { Queryable } from "../../../shared/postgres/postgres.ts";
import { encodeVectorArray } from "../../../shared/postgres/vector-codec.ts";
import type { ChangeResult, DocumentChange } from "../document-change.ts";
import { type DocumentRow, documentColumns, documentOfRow, isLive } from "./document-row.ts";
import { asStored, type DocumentTable } from "./document-table.ts";
import { SqlParameters, type SqlValue } from "./parameters.ts";
import { insertPassages, removePassages } from "./passage-writes.ts";

/** Microseconds as text, as a timestamptz, exactly. */
const timeAt = (parameter: string) =>
  `(to_timestamp(0) + ${parameter}::int8 * interval '1 microsecond')`;

/**
 * Changes fields of one document, inside of a transaction. The row is locked first, as other
 * writers of ids do, so that what is decided here holds until the end. `vectorOid` is the object
 * id of the type vector.
 */
export async function changeDocument(
  tx: Queryable,
  table: DocumentTable,
  tenant: string,
  change: DocumentChange,
  vectorOid: number,
): Promise<ChangeResult> {
  const { rows: found } = await tx.query<{ current: boolean; content_hash: string }>(
    `select m.content_hash, $3::int8 is null or m.updated_at = ${timeAt("$3")} as current
    from ${table.name} m where m.tenant = $1 and m.id = $2 and ${isLive} for update`,
    [tenant, change.id, change.ifUpdateTime?.toString() ?? null],
  );
  const [locked] = found;
  if (locked === undefined) return { outcome: "not_found" };
  if (!locked.current) return { outcome: "changed_meanwhile" };
  if (change.content !== undefined) {
    const holder = await contentHolder(tx, table, tenant, change.id, change.content.hash);
    if (holder !== undefined) return { outcome: "duplicate_content", id: holder };
  }
  const { text, values } = updateStatement(table, tenant, change, vectorOid);
  const { rows } = await tx.query<DocumentRow & { has_vector: boolean }>(text, values);
  const [row] = rows;
  if (row === undefined) throw new Error("a locked document is updated");
  const { content, vector } = change;
  if (vector !== undefined || (content !== undefined && content.hash !== locked.content_hash)) {
    await removePassages(tx, table, tenant, change.id);
    await insertPassages(
      tx,
      table,
      tenant,
      [{ ...change, contentHash: row.content_hash }],
      vectorOid,
    );
  }
  return { outcome: "updated", document: documentOfRow(row), hasVector: row.has_vector };
}

/** Who has this content in the document's scope already; an expired one makes way. */
async function contentHolder(
  tx: Queryable,
  table: DocumentTable,
  tenant: string,
  id: string,
  hash: string,
): Promise<string | undefined> {
  const { rows } = await tx.query<{ id: string; expired: boolean }>(
    `select m.id, not ${isLive} as expired
    from ${table.name} m join ${table.name} own on own.tenant = $1 and own.id = $2
    where m.tenant = $1 and m.content_hash = $3 and m.memory_type = own.memory_type
      and m.dedup_scope = own.dedup_scope and m.id <> $2`,
    [tenant, id, hash],
  );
  const [holder] = rows;
  if (holder === undefined || !holder.expired) return holder?.id;
  await tx.query(
    `delete from ${table.name} m where m.tenant = $1 and m.id = $2 and m.expires_at <= now()`,
    [tenant, holder.id],
  );
  return undefined;
}

/** Sets nothing but what changes: naming the content alone would make its lexemes anew. */
function updateStatement(
  table: DocumentTable,
  tenant: string,
  { id, content, vector, metadata, expireTime }: DocumentChange,
  vectorOid: number,
): { readonly text: string; readonly values: readonly unknown[] } {
  const parameters = new SqlParameters();
  const given = (value: SqlValue) => parameters.add(value);
  const sets = [
    // Rising even where the clock stands still, since `if_update_time` tells writes apart by it.
    "updated_at = greatest(now(), m.updated_at + interval '1 microsecond')",
  ];
  if (content !== undefined) {
    const hash = `${given(content.hash)}::text`;
    sets.push(`content = ${given(content.text)}`, `content_hash = ${hash}`);
    if (vector === undefined) {
      sets.push(`embedding = case when m.content_hash = ${hash} then m.embedding end`);
    }
  }
  if (vector !== undefined) {
    const vectors = `(${given(encodeVectorArray([vector], vectorOid))}::vector[])[1]`;
    sets.push(`embedding = ${asStored(table, vectors)}`);
  }
  if (metadata !== undefined) sets.push(`metadata = ${given(metadata)}::jsonb`);
  if (expireTime !== undefined) {
    sets.push(
      `expires_at = ${expireTime === null ? "null" : timeAt(given(expireTime.toString()))}`,
    );
  }
  const text = `
    update ${table.name} m set ${sets.join(", ")}
    where m.tenant = ${given(tenant)} and m.id = ${given(id)}
    returning ${documentColumns(table, false)}, m.embedding is not null as has_vector`;
  return { text, values: parameters.values };
}
