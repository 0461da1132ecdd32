import type { DistanceName } from "../../services/vector-store/collection.ts";
import { randomOf } from "../bench/clustered-vectors.ts";

/** A vector with components of -1 to 1 times `scale`, the same for the same seed. */
export function randomVector(dimension: number, seed: number, scale = 1): number[] {
  const random = randomOf(seed + 1);
  return Array.from({ length: dimension }, () => Math.fround((random() * 2 - 1) * scale));
}

/** How near two vectors are, higher is nearer, and the score that the contract gives to it. */
export function compared(
  distance: DistanceName,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
): { readonly closeness: number; readonly score: number } {
  let dot = 0;
  let squares = 0;
  let ofA = 0;
  let ofB = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i] ?? 0;
    const y = b[i] ?? 0;
    dot += x * y;
    squares += (x - y) ** 2;
    ofA += x * x;
    ofB += y * y;
  }
  switch (distance) {
    case "cosine": {
      const closeness = dot / Math.sqrt(ofA * ofB);
      return { closeness, score: Math.min(1, Math.max(0, closeness)) };
    }
    case "euclidean": {
      const closeness = -Math.sqrt(squares);
      return { closeness, score: 1 / (1 - closeness) };
    }
    case "dot_product":
      return { closeness: dot, score: 0.5 + dot / (2 + 2 * Math.abs(dot)) };
  }
}
