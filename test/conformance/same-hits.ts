import { expect } from "vitest";
import type { Hit } from "../../services/vector-store/search.ts";

/** More than sums of single precision and in another order differ. */
const tolerance = 1e-6;

/**
 * The same hits with the same scores, whichever way each was computed. Two whose scores do not
 * differ by more than that may have changed places.
 */
export function expectSameHits(found: readonly Hit[], truth: readonly Hit[]): void {
  expect(found).toHaveLength(truth.length);
  for (const [i, hit] of found.entries()) {
    const there = truth[i];
    if (there === undefined) throw new Error("as many, and yet fewer");
    for (const score of ["score", "vectorScore", "textScore"] as const) {
      if (score !== "score" && hit.document.id !== there.document.id) continue;
      const [one, other] = [hit[score], there[score]];
      expect(one === undefined).toBe(other === undefined);
      expect(Math.abs((one ?? 0) - (other ?? 0)), `${score} at ${i}`).toBeLessThan(tolerance);
    }
    if (hit.document.id === there.document.id) expect(hit.document).toEqual(there.document);
  }
  // At the end either of two may be told.
  const last = truth.at(-1)?.score ?? 0;
  const clear = (hits: readonly Hit[]) =>
    hits.filter(({ score }) => score > last + tolerance).map(({ document }) => document.id);
  expect(clear(found).toSorted()).toEqual(clear(truth).toSorted());
}
