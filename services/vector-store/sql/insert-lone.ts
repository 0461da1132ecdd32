import type { Postgres } from "../../../shared/postgres/postgres.ts";
import { withRetry } from "../../../shared/postgres/retry.ts";
import { requireModel } from "../collection.ts";
import type { WriteResult } from "../document.ts";
import type { DocumentWrite } from "../store.ts";
import type { StoredCollection } from "./collection-row.ts";
import { DocumentWrites } from "./document-writes.ts";

/**
 * Writes a lone document that is said to be new, in one statement instead of five. Undefined where
 * that is not enough: it is there after all, has passages, or gives the collection its model.
 */
export async function insertLone(
  database: Postgres,
  tenant: string,
  collection: StoredCollection,
  { model, documents, idsAreNew }: DocumentWrite,
  signal: AbortSignal | undefined,
): Promise<WriteResult | undefined> {
  const { table, embeddingModel } = collection;
  const [document] = documents;
  if (!idsAreNew || document === undefined || documents.length > 1) return undefined;
  const { id, vector, passages = [] } = document;
  if (passages.length > 0 || (vector !== undefined && embeddingModel === undefined))
    return undefined;
  requireModel(collection, model);
  const writes = new DocumentWrites(database, table, tenant, await database.vectorOid(signal));
  const isCreated = await withRetry(() => writes.insertLone(document, signal), { signal });
  return isCreated ? { outcome: "created", id } : undefined;
}
