import { InvalidRequestError, Violations } from "../../../shared/errors.ts";
import type { DeleteDocumentsRequest } from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import type { Selection } from "../store.ts";
import { requireIds } from "./names.ts";
import { parseFilter } from "./parse-filter.ts";

const maxIdsDeleted = 10_000;

/**
 * What to delete. Exactly one way of saying so is taken: a request that came out empty by mistake
 * must not delete everything.
 */
export function parseSelection({ ids, filter, all }: DeleteDocumentsRequest): Selection {
  const ways = [ids.length > 0, filter !== undefined, all].filter(Boolean).length;
  if (ways !== 1) throw refusal("", "exactly one of ids, filter and all must be given");
  if (all) return { by: "all" };
  const violations = new Violations();
  if (filter === undefined) {
    requireIds(ids, maxIdsDeleted, violations);
    violations.throwIfAny();
    return { by: "ids", ids };
  }
  const parsed = parseFilter(filter, "filter", violations);
  violations.throwIfAny();
  if (parsed === undefined) throw refusal("filter", "must have a node; for everything, set all");
  return { by: "filter", filter: parsed };
}

function refusal(field: string, description: string): InvalidRequestError {
  return new InvalidRequestError([{ field, description }]);
}
