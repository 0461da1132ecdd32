import type { MessageInitShape } from "@bufbuild/protobuf";
import { Violations } from "../../../shared/errors.ts";
import type { Document } from "../../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import type { UpsertResultSchema } from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { itemError } from "../../../shared/rpc/item-error.ts";
import { type Collection, requireModel } from "../collection.ts";
import { outcomeMessage } from "../convert.ts";
import type { NewDocument, WriteResult } from "../document.ts";
import { DuplicateContentError } from "../errors.ts";
import type { DocumentStore } from "../store.ts";
import { boundedTextProblem } from "../text-checks.ts";
import { maxModelBytes, requireCollectionName } from "./names.ts";
import { parseDocuments } from "./parse-document.ts";

/** Most documents in one request. */
export const maxDocuments = 1_000;

/** What UpsertDocuments and each request of BulkUpsert bring. */
export interface UpsertRequest {
  /** Empty: the default collection. */
  readonly collection: string;
  readonly documents: readonly Document[];
  readonly model: string;
  readonly idsAreNew?: boolean;
}

export type UpsertResult = MessageInitShape<typeof UpsertResultSchema>;

/** Writes what is valid in one transaction; one result a document, in their order. */
export async function upsert(
  store: DocumentStore,
  tenant: string,
  request: UpsertRequest,
  signal: AbortSignal,
): Promise<UpsertResult[]> {
  const needsModel = request.documents.some((one) => one.vector !== undefined);
  const { collection, model } = await checkUpsert(store, request, needsModel, signal);
  const parsed = parseDocuments(request.documents, collection.dimension);
  const valid = parsed.filter((one) => "document" in one).map((one) => one.document);
  const written =
    valid.length === 0
      ? []
      : await store.write(
          tenant,
          {
            collection: collection.name,
            model,
            documents: valid,
            idsAreNew: request.idsAreNew ?? false,
          },
          signal,
        );
  const resultOf = new Map<NewDocument, WriteResult | undefined>(
    valid.map((document, i) => [document, written[i]]),
  );
  return parsed.map((one, i) => {
    if ("error" in one) return { id: one.id, error: itemError(one.error) };
    return resultMessage(one.document, resultOf.get(one.document), `documents[${i}].content`);
  });
}

/** Checks what a write is as a whole: its size, its collection, and that the model is that one's. */
export async function checkUpsert(
  store: DocumentStore,
  request: UpsertRequest,
  needsModel: boolean,
  signal: AbortSignal,
): Promise<{ readonly collection: Collection; readonly model: string | undefined }> {
  const violations = new Violations();
  const name = requireCollectionName(request.collection, "collection", violations);
  const { documents } = request;
  violations.require(
    documents.length >= 1 && documents.length <= maxDocuments,
    "documents",
    `must hold 1 to ${maxDocuments} documents`,
  );
  const problem = boundedTextProblem(request.model, needsModel ? 1 : 0, maxModelBytes);
  if (problem !== undefined) violations.add("model", problem);
  violations.throwIfAny();

  const collection = await store.collection(name, signal);
  const model = request.model || undefined;
  requireModel(collection, model);
  return { collection, model };
}

export function resultMessage(
  document: NewDocument,
  result: WriteResult | undefined,
  contentField: string,
): UpsertResult {
  if (result === undefined) throw new Error("the store left a document without a result");
  if (result.outcome === "duplicate_content") {
    const error = new DuplicateContentError(contentField, result.id);
    return { id: document.id, error: itemError(error, contentField) };
  }
  return { id: result.id, outcome: outcomeMessage(result.outcome) };
}
