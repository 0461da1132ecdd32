/** Most components that a vector may have. */
export const maxDimension = 4_000;

/**
 * Lengths between which squares and products of components stay within single precision, in
 * which vectors are compared. Embeddings are about 1 long.
 */
const shortest = 1e-18;
const longest = 1e18;

/**
 * Above this many components a vector is kept in half precision, which has no larger component
 * and, below this length, hardly any at all.
 */
const largestOfFullPrecision = 2_000;
const largestHalf = 65_504;
const shortestHalf = 1e-3;

/** What keeps a vector from being compared with others; undefined if nothing. */
export function vectorProblem(values: ArrayLike<number>): string | undefined {
  if (values.length === 0) return "must not be empty";
  if (values.length > maxDimension) return `must have at most ${maxDimension} components`;
  let sum = 0;
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? Number.NaN;
    sum += value * value;
    if (Math.abs(value) > largest) largest = Math.abs(value);
  }
  if (!Number.isFinite(sum)) return "every component must be a finite number";
  if (sum === 0) return "must not be all zero";
  const length = Math.sqrt(sum);
  const half = values.length > largestOfFullPrecision;
  const least = half ? shortestHalf : shortest;
  if (length < least || length > longest) {
    return `must be ${least} to ${longest} long to be compared`;
  }
  if (half && largest > largestHalf) {
    return `must have no component above ${largestHalf}`;
  }
  return undefined;
}
