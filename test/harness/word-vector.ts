import { createHash } from "node:crypto";

/**
 * The sum of one pseudo-random direction for each word, of length 1: texts that share words are near
 * each other, on every run. Other weights make other directions.
 */
export function wordVector(text: string, dimension: number, weights = ""): number[] {
  const sum = new Float64Array(dimension);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [""]) {
    let state =
      createHash("sha256")
        .update(weights + word)
        .digest()
        .readUInt32LE(0) | 1;
    for (let i = 0; i < dimension; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      sum[i] = (sum[i] ?? 0) + state / 2 ** 31;
    }
  }
  const length = Math.hypot(...sum);
  return Array.from(sum, (value) => value / length);
}

/** What a broken model makes of a vector; other kinds leave it as it is. */
export function spoiled(vector: readonly number[], kind: string): readonly (number | null)[] {
  switch (kind) {
    case "null":
      return vector.map(() => null);
    case "zero":
      return vector.map(() => 0);
    case "wrong_dimension":
      return vector.slice(1);
    default:
      return vector;
  }
}
