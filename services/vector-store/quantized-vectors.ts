import { type DotProduct, dotProduct } from "./dot-product.ts";

/** Rows that are compared by one call, and that room is made for at once. */
const blockRows = 1_024;
const pageBytes = 65_536;

/** A component is `256 * coarse + fine` steps, both of 8 bits. */
const fineSteps = 256;
const mostSteps = 127 * fineSteps;

/** What the nearest may be among. */
export interface NearestCandidates {
  readonly ids: readonly string[];
  /** No vector that is not among them has a cosine similarity above this. */
  readonly beyond: number;
}

/**
 * Vectors of one dimension in memory, for cosine similarity: each scaled to length 1, and its
 * components rounded to 16 bits, the upper and the lower 8 of which stand apart. Comparing by the
 * upper ones is quick, and how far it can be from the truth is known, vector by vector, since the
 * length of what the rounding took away bounds what it can make of any product (Cauchy-Schwarz).
 * So nothing is among the nearest but what is told; which of those are, whoever has the vectors
 * themselves must say.
 */
export class QuantizedVectors {
  readonly dimension: number;
  /** Of a row, in bytes. */
  readonly #length: number;
  readonly #kernel: DotProduct;
  readonly #out: number;
  readonly #blocks: number;
  readonly #ids: (string | undefined)[] = [];
  readonly #rows = new Map<string, number>();
  readonly #free: number[] = [];
  /** What one step is, and how far the upper bits alone are from the vector. */
  #steps = new Float64Array(0);
  #coarseErrors = new Float64Array(0);
  /** The largest of all. */
  #fineError = 0;

  constructor(dimension: number) {
    this.dimension = dimension;
    this.#length = Math.ceil(dimension / 16) * 16;
    this.#kernel = dotProduct();
    this.#out = 2 * this.#length;
    this.#blocks = this.#out + 4 * blockRows;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** Memory that they take, about. */
  get bytes(): number {
    return this.#kernel.memory.buffer.byteLength + this.#ids.length * bytesBesideRow;
  }

  /** What so many vectors take. */
  static bytesOf(rows: number, dimension: number): number {
    return rows * (2 * dimension + bytesBesideRow);
  }

  set(id: string, vector: ArrayLike<number>): void {
    const row = this.#rows.get(id) ?? this.#free.pop() ?? this.#ids.length;
    if (row >= this.#steps.length) this.#grow();
    const length = lengthOf(vector);
    if (!(length > 0)) {
      this.delete(id);
      return;
    }
    let largest = 0;
    for (let i = 0; i < vector.length; i++) {
      largest = Math.max(largest, Math.abs(vector[i] as number) / length);
    }
    const step = largest / mostSteps;
    const { coarse, fine } = this.#planes(row);
    let coarseError = 0;
    let fineError = 0;
    for (let i = 0; i < vector.length; i++) {
      const value = (vector[i] as number) / length;
      const steps = Math.round(value / step);
      const upper = Math.round(steps / fineSteps);
      coarse[i] = upper;
      fine[i] = steps - upper * fineSteps;
      coarseError += (value - step * fineSteps * upper) ** 2;
      fineError += (value - step * steps) ** 2;
    }
    this.#steps[row] = step;
    this.#coarseErrors[row] = Math.sqrt(coarseError);
    this.#fineError = Math.max(this.#fineError, Math.sqrt(fineError));
    this.#ids[row] = id;
    this.#rows.set(id, row);
  }

  delete(id: string): void {
    const row = this.#rows.get(id);
    if (row === undefined) return;
    this.#rows.delete(id);
    this.#ids[row] = undefined;
    this.#free.push(row);
  }

  /** At least the `most` nearest, a few more where it cannot be told. */
  nearest(vector: ArrayLike<number>, most: number): NearestCandidates {
    const query = this.#place(vector);
    const rows = this.#ids.length;
    const lower = new Float64Array(rows);
    const upper = new Float64Array(rows);
    const out = new Int32Array(this.#kernel.memory.buffer, this.#out, blockRows);
    for (let from = 0; from < rows; from += blockRows) {
      const count = Math.min(blockRows, rows - from);
      this.#kernel.dots(this.#coarseAt(from), count, 0, this.#length, this.#out);
      for (let i = 0; i < count; i++) {
        const row = from + i;
        const error = this.#coarseErrors[row] as number;
        const bound = error + query.error * (1 + error) + query.rounding;
        const product = (out[i] as number) * (this.#steps[row] as number) * fineSteps * query.step;
        const known = this.#ids[row] !== undefined;
        lower[row] = known ? product - bound : Number.NEGATIVE_INFINITY;
        upper[row] = known ? product + bound : Number.NEGATIVE_INFINITY;
      }
    }
    if (this.#rows.size <= most) return { ids: [...this.#rows.keys()], beyond: nothing };
    const least = kthLargest(lower, most);
    const left: number[] = [];
    for (let row = 0; row < rows; row++) if ((upper[row] as number) >= least) left.push(row);
    const similarities = Float64Array.from(left, (row) => this.#similarity(row, query.step));
    const last = kthLargest(similarities, most);
    const ids: string[] = [];
    for (const [i, row] of left.entries()) {
      const id = this.#ids[row];
      if (id !== undefined && (similarities[i] as number) >= last) ids.push(id);
    }
    const bound = this.#fineError + query.error * (1 + this.#fineError) + query.rounding;
    return { ids, beyond: last + bound };
  }

  #similarity(row: number, step: number): number {
    const coarse = this.#coarseAt(row);
    const fine = coarse + blockRows * this.#length;
    const steps =
      fineSteps * this.#kernel.dot(coarse, 0, this.#length) +
      this.#kernel.dot(fine, 0, this.#length);
    return steps * (this.#steps[row] as number) * step;
  }

  /** Puts the query where rows are compared with it. */
  #place(vector: ArrayLike<number>): Query {
    const values = Float32Array.from(vector);
    const length = lengthOf(values);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / length;
    // So that no sum of products with 8 bits passes 32 bits.
    const step = largest / Math.min(32_767, Math.floor((2 ** 24 - 1) / this.#length));
    const placed = new Int16Array(this.#kernel.memory.buffer, 0, this.#length);
    let error = 0;
    for (const [i, one] of values.entries()) {
      const value = one / length;
      const steps = Math.round(value / step);
      placed[i] = steps;
      error += (value - step * steps) ** 2;
    }
    return {
      step,
      error: Math.sqrt(error),
      // PostgreSQL adds in single precision: three sums, one of them over and one under a root.
      rounding: this.dimension * 2 ** -23 + 1e-6,
    };
  }

  #coarseAt(row: number): number {
    const within = row % blockRows;
    const block = (row - within) / blockRows;
    return this.#blocks + (2 * block * blockRows + within) * this.#length;
  }

  #planes(row: number): { readonly coarse: Int8Array; readonly fine: Int8Array } {
    const { buffer } = this.#kernel.memory;
    const at = this.#coarseAt(row);
    return {
      coarse: new Int8Array(buffer, at, this.#length),
      fine: new Int8Array(buffer, at + blockRows * this.#length, this.#length),
    };
  }

  #grow(): void {
    const rows = this.#steps.length + blockRows;
    const missing = this.#coarseAt(rows) - this.#kernel.memory.buffer.byteLength;
    if (missing > 0) this.#kernel.memory.grow(Math.ceil(missing / pageBytes));
    const longer = (values: Float64Array) => {
      const copy = new Float64Array(rows);
      copy.set(values);
      return copy;
    };
    this.#steps = longer(this.#steps);
    this.#coarseErrors = longer(this.#coarseErrors);
  }
}

/** An id as a string and in a map, and what is known of its row. */
const bytesBesideRow = 200;

/** Below every similarity. */
const nothing = -2;

interface Query {
  readonly step: number;
  /** How long what the rounding took away is. */
  readonly error: number;
  /** By how much PostgreSQL's similarity may differ from the true one. */
  readonly rounding: number;
}

function lengthOf(vector: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < vector.length; i++) sum += (vector[i] as number) ** 2;
  return Math.sqrt(sum);
}

/** There are at least `k`. A heap holds the largest ones, the least of them on top. */
export function kthLargest(values: Float64Array, k: number): number {
  const heap = values.slice(0, k).sort();
  for (let i = k; i < values.length; i++) {
    const value = values[i] as number;
    if (value <= (heap[0] as number)) continue;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= k) break;
      if (child + 1 < k && (heap[child + 1] as number) < (heap[child] as number)) child += 1;
      if ((heap[child] as number) >= value) break;
      heap[at] = heap[child] as number;
      at = child;
    }
    heap[at] = value;
  }
  return heap[0] as number;
}
