import type { Matryoshka } from "./model-table.ts";
import { unitVector } from "./unit-vector.ts";

/**
 * The beginning of a vector as a vector of length 1. Only for models that were trained for it. The
 * vector must be finite and not all zero; undefined where its beginning has no direction.
 */
export function cutVector(
  vector: ArrayLike<number>,
  dimension: number,
  { normalizeFirst = false }: Matryoshka,
): Float32Array | undefined {
  const whole = Float64Array.from(vector);
  // Bringing the variance to 1 only scales, which the length of 1 undoes; the mean is what counts.
  const mean = normalizeFirst ? whole.reduce((sum, value) => sum + value, 0) / whole.length : 0;
  return unitVector(whole.subarray(0, dimension).map((value) => value - mean));
}
