import type { Breathe } from "./event-loop.ts";

const blockRows = 1_024;

/**
 * Vectors of one dimension in memory, each scaled to length 1, so that comparing is multiplying.
 * Rows keep their place; a removed one is overwritten by the next that comes.
 */
export class VectorMatrix {
  readonly dimension: number;
  readonly #blocks: Float32Array[] = [];
  readonly #hashes: (string | undefined)[] = [];
  readonly #rows = new Map<string, number>();
  readonly #free: number[] = [];

  constructor(dimension: number) {
    this.dimension = dimension;
  }

  get hashes(): ReadonlyMap<string, unknown> {
    return this.#rows;
  }

  set(hash: string, vector: ArrayLike<number>): void {
    const row = this.#rows.get(hash) ?? this.#free.pop() ?? this.#hashes.length;
    if (row >= this.#blocks.length * blockRows) {
      this.#blocks.push(new Float32Array(blockRows * this.dimension));
    }
    const block = this.#blocks[Math.floor(row / blockRows)] ?? new Float32Array(0);
    block.set(scaled(vector), (row % blockRows) * this.dimension);
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

  /** Cosine similarity, clipped to 0..1, of every vector, by hash; pauses between blocks. */
  async similarities(vector: ArrayLike<number>, breathe: Breathe): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    const query = scaled(vector);
    const { dimension } = this;
    for (let at = 0; at < this.#blocks.length; at++) {
      const block = this.#blocks[at] ?? query;
      const rows = Math.min(blockRows, this.#hashes.length - at * blockRows);
      for (let row = 0; row < rows; row++) {
        const hash = this.#hashes[at * blockRows + row];
        if (hash === undefined) continue;
        found.set(hash, Math.min(Math.max(dot(block, row * dimension, query), 0), 1));
      }
      await breathe();
    }
    return found;
  }
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
