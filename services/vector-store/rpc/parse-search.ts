import { Violations } from "../../../shared/errors.ts";
import {
  SearchMode,
  type SearchRequest,
} from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { maxAnswerBytes } from "../answer-budget.ts";
import type { SearchBy, SearchQuery } from "../search.ts";
import { vectorProblem } from "../vector-checks.ts";
import { parseFilter } from "./parse-filter.ts";

/** Bounds of a search; sizes in bytes of UTF-8. */
export const searchBounds = {
  text: 32_768,
  limit: 1_000,
  defaultLimit: 10,
  searchesInBatch: 100,
} as const;

/**
 * Throws InvalidRequestError with every violation; `path` is empty or ends in a dot. `maxBytes` is
 * how large the answer may be.
 */
export function parseSearch(
  request: SearchRequest,
  maxBytes: number = maxAnswerBytes,
  path = "",
): SearchQuery {
  const violations = new Violations();
  const by = parseBy(request, path, violations);
  const filter = parseFilter(request.filter, `${path}filter`, violations);
  const limit = request.limit === 0 ? searchBounds.defaultLimit : request.limit;
  violations.require(
    limit >= 1 && limit <= searchBounds.limit,
    `${path}limit`,
    `must be 1 to ${searchBounds.limit}, or 0 for ${searchBounds.defaultLimit}`,
  );
  const { minScore } = request;
  violations.require(minScore >= 0 && minScore <= 1, `${path}min_score`, "must be 0 to 1");
  const { vectorWeight } = request;
  violations.require(
    vectorWeight === undefined || (vectorWeight >= 0 && vectorWeight <= 1),
    `${path}vector_weight`,
    "must be 0 to 1",
  );
  violations.throwIfAny();
  return {
    ...by,
    filter,
    limit,
    minScore,
    model: request.model || undefined,
    includeVectors: request.includeVectors,
    maxBytes,
    exact: request.exact,
  };
}

function parseBy(request: SearchRequest, path: string, violations: Violations): SearchBy {
  const vector = request.vector?.values;
  const { text } = request;
  if (vector !== undefined) {
    const problem = vectorProblem(vector);
    if (problem !== undefined) violations.add(`${path}vector`, problem);
  }
  violations.require(
    Buffer.byteLength(text) <= searchBounds.text,
    `${path}text`,
    `must have at most ${searchBounds.text} bytes`,
  );
  const { vectorWeight } = request;
  const needsVector = () => {
    violations.require(vector !== undefined, `${path}vector`, "is required in this mode");
    return vector ?? [];
  };
  const needsText = () => {
    violations.require(text !== "", `${path}text`, "is required in this mode");
    return text;
  };
  switch (request.mode) {
    case SearchMode.VECTOR:
      return { mode: "vector", vector: needsVector() };
    case SearchMode.TEXT:
      return { mode: "text", text: needsText() };
    case SearchMode.HYBRID:
      return { mode: "hybrid", vector: needsVector(), text: needsText(), vectorWeight };
    case SearchMode.UNSPECIFIED:
      if (vector !== undefined && text !== "")
        return { mode: "hybrid", vector, text, vectorWeight };
      if (vector !== undefined) return { mode: "vector", vector };
      violations.require(text !== "", `${path}text`, "is required where there is no vector");
      return { mode: "text", text };
    default:
      violations.add(`${path}mode`, "must be VECTOR, TEXT or HYBRID");
      return { mode: "text", text };
  }
}
