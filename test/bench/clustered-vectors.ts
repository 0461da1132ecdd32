/**
 * Vectors in clusters, the same for the same seed. As embeddings do, they lie near a space of far
 * fewer dimensions than they have components: independent components alone would make all
 * neighbours equally far, and no index could tell them apart.
 */
export class ClusteredVectors {
  readonly #random: () => number;
  readonly #dimension: number;
  /** One row a latent dimension. */
  readonly #basis: Float32Array[];
  readonly #centers: Float32Array[];

  constructor(dimension: number, { seed = 1, clusters = 300, latent = 48 } = {}) {
    this.#dimension = dimension;
    // What is alike for every seed: a query of another seed is of the same distribution.
    const shape = gaussians(randomOf(42));
    this.#basis = Array.from({ length: latent }, () => filled(dimension, shape));
    this.#centers = Array.from({ length: clusters }, () => filled(latent, shape));
    this.#random = randomOf(seed);
  }

  next(): Float32Array {
    const normal = gaussians(this.#random);
    const center = this.#centers[Math.floor(this.#random() * this.#centers.length)] ?? [];
    const vector = new Float32Array(this.#dimension);
    for (const [i, row] of this.#basis.entries()) {
      const weight = (center[i] ?? 0) + 0.6 * normal();
      for (let j = 0; j < vector.length; j++) {
        vector[j] = (vector[j] ?? 0) + weight * (row[j] ?? 0);
      }
    }
    let squares = 0;
    for (let j = 0; j < vector.length; j++) {
      const value = (vector[j] ?? 0) + 0.5 * (this.#random() - 0.5);
      vector[j] = value;
      squares += value * value;
    }
    const length = Math.sqrt(squares);
    for (let j = 0; j < vector.length; j++) vector[j] = (vector[j] ?? 0) / length;
    return vector;
  }
}

/** Numbers of 0 to 1, by mulberry32. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Normally distributed numbers, by Box and Muller. */
function gaussians(random: () => number): () => number {
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

function filled(length: number, next: () => number): Float32Array {
  return Float32Array.from({ length }, next);
}
