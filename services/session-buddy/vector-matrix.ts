import type { Breathe } from "./event-loop.ts";
import { SignSketch } from "./sign-sketch.ts";

const blockRows = 1_024;

/** How contents compare with one query's vector. */
export interface Similarities {
  /** How many contents have a vector. */
  readonly size: number;
  /** Cosine similarity, clipped to 0..1; undefined where the content has no vector. */
  get(hash: string): number | undefined;
  /**
   * About so many of the most similar contents, found by their sketches: some of the least similar
   * among them may be missed. Pauses between blocks.
   */
  nearest(count: number, breathe: Breathe): Promise<string[]>;
}

export const noSimilarities: Similarities = {
  size: 0,
  get: () => undefined,
  nearest: async () => [],
};

/**
 * Vectors of one dimension in memory, each scaled to length 1, so that comparing is multiplying.
 * Rows keep their place; a removed one is overwritten by the next that comes.
 */
export class VectorMatrix {
  readonly dimension: number;
  readonly #sketch: SignSketch;
  readonly #blocks: Float32Array[] = [];
  readonly #sketches: Uint32Array[] = [];
  readonly #hashes: (string | undefined)[] = [];
  readonly #rows = new Map<string, number>();
  readonly #free: number[] = [];

  constructor(dimension: number) {
    this.dimension = dimension;
    this.#sketch = new SignSketch(dimension);
  }

  get hashes(): ReadonlyMap<string, unknown> {
    return this.#rows;
  }

  set(hash: string, vector: ArrayLike<number>): void {
    const row = this.#rows.get(hash) ?? this.#free.pop() ?? this.#hashes.length;
    const { words } = this.#sketch;
    if (row >= this.#blocks.length * blockRows) {
      this.#blocks.push(new Float32Array(blockRows * this.dimension));
      this.#sketches.push(new Uint32Array(blockRows * words));
    }
    const block = Math.floor(row / blockRows);
    const values = scaled(vector);
    this.#blocks[block]?.set(values, (row % blockRows) * this.dimension);
    const sketches = this.#sketches[block];
    if (sketches !== undefined) this.#sketch.write(values, sketches, (row % blockRows) * words);
    this.#hashes[row] = hash;
    this.#rows.set(hash, row);
  }

  delete(hash: string): void {
    const row = this.#rows.get(hash);
    if (row === undefined) return;
    this.#rows.delete(hash);
    this.#hashes[row] = undefined;
    this.#free.push(row);
  }

  similarities(vector: ArrayLike<number>): Similarities {
    const query = scaled(vector);
    return {
      size: this.#rows.size,
      get: (hash) => {
        const row = this.#rows.get(hash);
        return row === undefined ? undefined : this.#similarity(row, query);
      },
      nearest: (count, breathe) => this.#nearest(query, count, breathe),
    };
  }

  #similarity(row: number, query: Float32Array): number {
    const block = this.#blocks[Math.floor(row / blockRows)] ?? query;
    return Math.min(Math.max(dot(block, (row % blockRows) * this.dimension, query), 0), 1);
  }

  async #nearest(query: Float32Array, count: number, breathe: Breathe): Promise<string[]> {
    const { words } = this.#sketch;
    const own = new Uint32Array(words);
    this.#sketch.write(query, own, 0);
    const distances = new Uint16Array(this.#hashes.length);
    const rowsAt = new Uint32Array(words * 32 + 1);
    for (let row = 0; row < distances.length; row++) {
      if (row % blockRows === 0) await breathe();
      const sketches = this.#sketches[Math.floor(row / blockRows)] ?? own;
      const distance = this.#sketch.distance(sketches, (row % blockRows) * words, own);
      distances[row] = distance;
      if (this.#hashes[row] !== undefined) rowsAt[distance] = (rowsAt[distance] ?? 0) + 1;
    }
    const farthest = distanceOf(rowsAt, count);
    const found: string[] = [];
    distances.forEach((distance, row) => {
      const hash = this.#hashes[row];
      if (distance <= farthest && hash !== undefined) found.push(hash);
    });
    return found;
  }
}

/** Within which distance there are so many rows. */
function distanceOf(rowsAt: Uint32Array, count: number): number {
  let rows = 0;
  for (let distance = 0; distance < rowsAt.length; distance++) {
    rows += rowsAt[distance] ?? 0;
    if (rows >= count) return distance;
  }
  return rowsAt.length;
}

function scaled(vector: ArrayLike<number>): Float32Array {
  const copy = Float32Array.from(vector);
  const length = Math.sqrt(dot(copy, 0, copy));
  return length === 0 ? copy : copy.map((value) => value / length);
}

/** Four sums side by side, because each addition waits for the one before it. */
function dot(block: Float32Array, offset: number, query: Float32Array): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let at = 0;
  for (; at + 3 < query.length; at += 4) {
    a += (block[offset + at] as number) * (query[at] as number);
    b += (block[offset + at + 1] as number) * (query[at + 1] as number);
    c += (block[offset + at + 2] as number) * (query[at + 2] as number);
    d += (block[offset + at + 3] as number) * (query[at + 3] as number);
  }
  for (; at < query.length; at++) a += (block[offset + at] as number) * (query[at] as number);
  return a + b + c + d;
}
