/** Most components that a vector may have. */
export const maxDimension = 4_000;

/**
 * Lengths between which squares and products of components stay within single precision, in
 * which vectors are compared. Embeddings are about 1 long.
 */
const shortest = 1e-18;
const longest = 1e18;

/** What keeps a vector from being compared with others; undefined if nothing. */
export function vectorProblem(values: readonly number[]): string | undefined {
  if (values.length === 0) return "must not be empty";
  if (values.length > maxDimension) return `must have at most ${maxDimension} components`;
  let sum = 0;
  for (const value of values) sum += value * value;
  if (!Number.isFinite(sum)) return "every component must be a finite number";
  if (sum === 0) return "must not be all zero";
  const length = Math.sqrt(sum);
  if (length < shortest || length > longest) {
    return `must be ${shortest} to ${longest} long to be compared`;
  }
  return undefined;
}
