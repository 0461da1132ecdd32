import { itemError } from "../../../shared/rpc/item-error.ts";
import { outcomeMessage } from "../convert.ts";
import type { NewVector, VectorOutcome } from "../document.ts";
import { ContentChangedError, DocumentNotFoundError } from "../errors.ts";
import type { DocumentStore } from "../store.ts";
import { parseVectors } from "./parse-document.ts";
import { checkUpsert, type UpsertRequest, type UpsertResult } from "./upsert.ts";

/** Writes nothing but vectors, in one transaction; one result a document, in their order. */
export async function upsertVectors(
  store: DocumentStore,
  tenant: string,
  request: UpsertRequest,
  signal: AbortSignal,
): Promise<UpsertResult[]> {
  const { collection, model = "" } = await checkUpsert(store, request, true, signal);
  const parsed = parseVectors(request.documents, collection.dimension);
  const vectors = parsed.filter((one) => "vector" in one).map((one) => one.vector);
  const outcomes =
    vectors.length === 0
      ? []
      : await store.writeVectors(tenant, { collection: collection.name, model, vectors }, signal);
  const outcomeOf = new Map(vectors.map((vector, i) => [vector, outcomes[i]]));
  return parsed.map((one, i) => {
    if ("error" in one) return { id: one.id, error: itemError(one.error) };
    return resultMessage(one.vector, outcomeOf.get(one.vector), `documents[${i}]`);
  });
}

function resultMessage(
  { id }: NewVector,
  outcome: VectorOutcome | undefined,
  path: string,
): UpsertResult {
  switch (outcome) {
    case "updated":
      return { id, outcome: outcomeMessage(outcome) };
    case "content_changed":
      return { id, error: itemError(new ContentChangedError(id), `${path}.content`) };
    case "not_found":
      return { id, error: itemError(new DocumentNotFoundError(id), `${path}.id`) };
    case undefined:
      throw new Error("the store left a vector without an outcome");
  }
}
