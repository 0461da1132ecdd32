import { DomainError, InvalidRequestError, Violations } from "../../../shared/errors.ts";
import { itemError } from "../../../shared/rpc/item-error.ts";
import type { DocumentStore, ReplacementResult } from "../store.ts";
import { requireIds } from "./names.ts";
import { parseDocuments } from "./parse-document.ts";
import { checkUpsert, resultMessage, type UpsertRequest, type UpsertResult } from "./upsert.ts";

const maxIdsDeleted = 10_000;

export interface ReplaceRequest extends UpsertRequest {
  readonly deleteIds: readonly string[];
  readonly vectorsOnly: boolean;
}

export interface ReplaceAnswer {
  readonly results: UpsertResult[];
  readonly deletedCount: bigint;
}

/** Deletes and writes in one transaction: all of it, or nothing where a document is refused. */
export async function replace(
  store: DocumentStore,
  tenant: string,
  request: ReplaceRequest,
  signal: AbortSignal,
): Promise<ReplaceAnswer> {
  checkReplacement(request);
  const { documents, deleteIds } = request;
  const needsModel = documents.some((one) => one.vector !== undefined);
  const { collection, model } = await checkUpsert(store, request, needsModel, signal);
  const parsed = parseDocuments(documents, collection.dimension);
  const valid = parsed.filter((one) => "document" in one).map((one) => one.document);
  const nothing: ReplacementResult = { committed: false, results: [], deleted: 0 };
  const { committed, results, deleted } =
    valid.length < parsed.length
      ? nothing
      : await store.replace(
          tenant,
          { collection: collection.name, model, documents: valid, deleteIds },
          signal,
        );
  return {
    deletedCount: BigInt(deleted),
    results: parsed.map((one, i) => {
      if ("error" in one) return { id: one.id, error: itemError(one.error) };
      const result = results[i];
      const isWritten = committed || result?.outcome === "duplicate_content";
      if (!isWritten) return { id: one.document.id, error: itemError(new NotWrittenError()) };
      return resultMessage(one.document, result, `documents[${i}].content`);
    }),
  };
}

function checkReplacement({ documents, deleteIds, vectorsOnly }: ReplaceRequest): void {
  const violations = new Violations();
  violations.require(!vectorsOnly, "vectors_only", "not with delete_ids or all_or_nothing");
  if (deleteIds.length > 0) requireIds(deleteIds, maxIdsDeleted, violations, "delete_ids");
  const written = new Set(documents.map(({ id }) => id));
  const both = deleteIds.findIndex((id) => written.has(id));
  violations.require(both === -1, `delete_ids[${both}]`, "stands among documents too");
  if (violations.list.length > 0) throw new InvalidRequestError(violations.list);
}

/** A document that is as good as any, but another one of its request was refused. */
class NotWrittenError extends DomainError {
  override readonly name = "NotWrittenError";

  constructor() {
    super("aborted", "CONFLICT", "not written: another document of the request was refused");
  }
}
