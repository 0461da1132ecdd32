import { encodeTextArray } from "../../../shared/postgres/array-codec.ts";
import type { Queryable } from "../../../shared/postgres/postgres.ts";
import { contentKey, type ExistingDocument, type PlannedDocument } from "../write-plan.ts";
import type { DocumentTable } from "./document-table.ts";
import { givenRows } from "./given-rows.ts";

/**
 * What is stored under the documents' ids, or with their content in their scope. Those of given ids
 * are locked until the end of the transaction.
 */
export async function existingDocuments(
  tx: Queryable,
  table: DocumentTable,
  tenant: string,
  planned: readonly PlannedDocument[],
): Promise<ExistingDocument[]> {
  const ids = planned.filter(({ document }) => document.idGiven).map(({ document }) => document.id);
  const byId = ids.length === 0 ? [] : await lockByIds(tx, table, tenant, ids);
  // No two documents have the same content and scope, so nobody else can have that of a locked one.
  const held = new Set(byId.map((one) => one.key));
  const others = held.size === 0 ? planned : planned.filter((one) => !held.has(one.key));
  if (others.length === 0) return byId;
  const byContent = await findByContent(tx, table, tenant, others);
  if (byContent.length === 0) return byId;
  const given = new Set(ids);
  return [...byId, ...byContent.filter((one) => !given.has(one.id))];
}

/**
 * Writers of the same documents stand in line here, by id, and so neither meet in a circle nor
 * read what another one is about to change.
 */
async function lockByIds(
  tx: Queryable,
  table: DocumentTable,
  tenant: string,
  ids: readonly string[],
): Promise<ExistingDocument[]> {
  const { rows } = await tx.query<ExistingRow>(
    `select ${columns} from ${givenRows("$2::text[]", "id")}
      join ${table.name} m on m.tenant = i.tenant and m.id = i.id
    order by m.id for update of m`,
    [tenant, encodeTextArray(ids)],
  );
  return rows.map(existingOfRow);
}

/**
 * By the hash alone, so that of all indexes only the one that begins with it is of use, whatever
 * the statistics; what is of another type or scope is left out afterwards.
 */
async function findByContent(
  tx: Queryable,
  table: DocumentTable,
  tenant: string,
  planned: readonly PlannedDocument[],
): Promise<ExistingDocument[]> {
  const hashes = new Set(planned.map(({ document }) => document.contentHash));
  const { rows } = await tx.query<ExistingRow>(
    `select ${columns} from ${givenRows("$2::text[]", "content_hash")}
      join ${table.name} m on m.tenant = i.tenant and m.content_hash = i.content_hash`,
    [tenant, encodeTextArray([...hashes])],
  );
  if (rows.length === 0) return [];
  const wanted = new Set(planned.map((one) => one.key));
  return rows.map(existingOfRow).filter((one) => wanted.has(one.key));
}

const columns =
  "m.id, m.memory_type, m.content_hash, m.dedup_scope, m.embedding is not null as has_vector, " +
  "(extract(epoch from m.expires_at) * 1000000)::bigint as expires_micros, " +
  "coalesce(m.expires_at <= now(), false) as expired";

interface ExistingRow {
  readonly id: string;
  readonly memory_type: string;
  readonly content_hash: string;
  readonly dedup_scope: string;
  readonly has_vector: boolean;
  readonly expires_micros: string | null;
  readonly expired: boolean;
}

function existingOfRow(row: ExistingRow): ExistingDocument {
  return {
    id: row.id,
    key: contentKey({
      contentHash: row.content_hash,
      memoryType: row.memory_type,
      dedupScope: row.dedup_scope,
    }),
    hasVector: row.has_vector,
    expireTime: row.expires_micros === null ? undefined : BigInt(row.expires_micros),
    expired: row.expired,
  };
}
