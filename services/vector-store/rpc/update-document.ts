import { Violations } from "../../../shared/errors.ts";
import type { Document } from "../../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import type { UpdateDocumentRequest } from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { contentHash } from "../../../shared/hash.ts";
import { requireModel } from "../collection.ts";
import { documentMessage } from "../convert.ts";
import type { DocumentChange } from "../document-change.ts";
import {
  DimensionMismatchError,
  DocumentChangedError,
  DocumentNotFoundError,
  DuplicateContentError,
} from "../errors.ts";
import type { DocumentStore } from "../store.ts";
import { boundedTextProblem } from "../text-checks.ts";
import { vectorProblem } from "../vector-checks.ts";
import { requireCollectionName } from "./names.ts";
import { documentBounds, parseMetadata, parseTime } from "./parse-document.ts";
import { parsePassages, requirePassageDimension } from "./parse-passages.ts";

const changeable = ["content", "vector", "metadata", "expire_time"] as const;
const maxModelBytes = 256;

/** Changes fields of one document. */
export async function updateDocument(
  store: DocumentStore,
  tenant: string,
  request: UpdateDocumentRequest,
  signal: AbortSignal,
) {
  const violations = new Violations();
  const name = requireCollectionName(request.collection, "collection", violations);
  const change = parseChange(request, violations);
  const problem = boundedTextProblem(
    request.model,
    change.vector === undefined ? 0 : 1,
    maxModelBytes,
  );
  if (problem !== undefined) violations.add("model", problem);
  violations.throwIfAny();

  const collection = await store.collection(name, signal);
  const model = request.model || undefined;
  requireModel(collection, model);
  if (change.vector !== undefined && change.vector.length !== collection.dimension) {
    throw new DimensionMismatchError("document.vector", collection.dimension, change.vector.length);
  }
  requirePassageDimension(change.passages ?? [], "document", collection.dimension);
  const result = await store.change(tenant, { collection: name, model, change }, signal);
  switch (result.outcome) {
    case "updated":
      return { document: documentMessage(result.document), hasVector: result.hasVector };
    case "not_found":
      throw new DocumentNotFoundError(change.id);
    case "changed_meanwhile":
      throw new DocumentChangedError(change.id);
    case "duplicate_content":
      throw new DuplicateContentError("document.content", result.id);
  }
}

function parseChange(
  { document, updateMask, ifUpdateTime }: UpdateDocumentRequest,
  violations: Violations,
): DocumentChange {
  if (document === undefined) violations.add("document", "is required");
  const paths = new Set(updateMask?.paths ?? []);
  const known = changeable.filter((path) => paths.has(path));
  violations.require(
    known.length > 0 && known.length === paths.size,
    "update_mask",
    `must name one or more of ${changeable.join(", ")}, and nothing else`,
  );
  const id = document?.id ?? "";
  const fault = boundedTextProblem(id, 1, documentBounds.id);
  if (fault !== undefined) violations.add("document.id", fault);
  const after = parseTime(ifUpdateTime, "if_update_time", violations);
  return {
    id,
    ...(paths.has("content") ? { content: parseContent(document, violations) } : {}),
    ...(paths.has("vector")
      ? {
          vector: parseVector(document, violations),
          passages: document === undefined ? [] : parsePassages(document, "document", violations),
        }
      : {}),
    ...(paths.has("metadata")
      ? { metadata: parseMetadata(document?.metadata ?? {}, "document.metadata", violations) }
      : {}),
    ...(paths.has("expire_time")
      ? {
          expireTime: parseTime(document?.expireTime, "document.expire_time", violations) ?? null,
        }
      : {}),
    ...(after === undefined ? {} : { ifUpdateTime: after }),
  };
}

function parseContent(document: Document | undefined, violations: Violations) {
  const text = document?.content ?? "";
  const problem = boundedTextProblem(text, 1, documentBounds.content);
  if (problem !== undefined) violations.add("document.content", problem);
  return { text, hash: contentHash(text) };
}

function parseVector(document: Document | undefined, violations: Violations): ArrayLike<number> {
  const values = document?.vector?.values;
  const problem = values === undefined ? "is required" : vectorProblem(values);
  if (problem !== undefined) violations.add("document.vector", problem);
  return values ?? [];
}
