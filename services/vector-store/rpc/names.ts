import { Violations } from "../../../shared/errors.ts";
import { defaultCollection } from "../collection.ts";
import { boundedTextProblem } from "../text-checks.ts";
import { documentBounds } from "./parse-document.ts";

const collectionName = /^[a-z][a-z0-9_]{0,62}$/;

/** Bytes of a model's name. */
export const maxModelBytes = 256;

/** The collection that is meant: the default one where none is named. */
export function requireCollectionName(
  given: string,
  field: string,
  violations: Violations,
): string {
  if (given === "") return defaultCollection;
  violations.require(
    collectionName.test(given),
    field,
    "must be 1 to 63 of a-z, 0-9 and _, beginning with a letter",
  );
  return given;
}

/** As requireCollectionName, and throws at once. */
export function parseCollectionName(given: string, field = "collection"): string {
  const violations = new Violations();
  const name = requireCollectionName(given, field, violations);
  violations.throwIfAny();
  return name;
}

/** Checks the ids of a request, `most` at the most. */
export function requireIds(
  ids: readonly string[],
  most: number,
  violations: Violations,
  field = "ids",
): void {
  violations.require(
    ids.length >= 1 && ids.length <= most,
    field,
    `must hold 1 to ${most.toLocaleString("en")} ids`,
  );
  if (ids.length > most) return;
  for (const [i, id] of ids.entries()) {
    const problem = boundedTextProblem(id, 1, documentBounds.id);
    if (problem !== undefined) violations.add(`${field}[${i}]`, problem);
  }
}

/** A page's size, where 0 stands for the default. */
export function requirePageSize(given: number, violations: Violations): number {
  const size = given === 0 ? defaultPageSize : given;
  violations.require(
    size >= 1 && size <= maxPageSize,
    "page_size",
    `must be 1 to ${maxPageSize}, or 0 for ${defaultPageSize}`,
  );
  return size;
}

const defaultPageSize = 100;
const maxPageSize = 1_000;
