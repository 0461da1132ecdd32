import type { Violations } from "../../../shared/errors.ts";
import type { Document } from "../../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import { DimensionMismatchError } from "../errors.ts";
import { mostPassages, type NewPassage } from "../passage.ts";
import { vectorProblem } from "../vector-checks.ts";

/** The passages of a document that brings its vector; `path` is that of the document. */
export function parsePassages(
  { content, vector, passages }: Pick<Document, "content" | "vector" | "passages">,
  path: string,
  violations: Violations,
): readonly NewPassage[] {
  if (passages.length === 0) return [];
  const field = `${path}.passages`;
  violations.require(passages.length <= mostPassages, field, `must be at most ${mostPassages}`);
  violations.require(vector !== undefined, field, "need a vector of the document beside them");
  if (passages.length > mostPassages) return [];
  const characters = characterCount(content);
  return passages.map(({ vector: own, range }, i) => {
    const values = own?.values ?? [];
    const fault = own === undefined ? "is required" : vectorProblem(values);
    if (fault !== undefined) violations.add(`${field}[${i}].vector`, fault);
    const { start = 0, end = 0 } = range ?? {};
    violations.require(
      start >= 0 && start < end && end <= characters,
      `${field}[${i}].range`,
      `must hold at least one of the content's ${characters} characters, and nothing beyond them`,
    );
    return { vector: values, range: { start, end } };
  });
}

/** Each of them by itself, as the document's own vector is. */
export function requirePassageDimension(
  passages: readonly NewPassage[],
  path: string,
  dimension: number,
): void {
  for (const [i, { vector }] of passages.entries()) {
    if (vector.length === dimension) continue;
    throw new DimensionMismatchError(`${path}.passages[${i}].vector`, dimension, vector.length);
  }
}

function characterCount(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
