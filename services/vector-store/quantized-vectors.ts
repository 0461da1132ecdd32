import { wasmPageBytes } from "../../shared/web-assembly.ts";
import { type DotProduct, dotProduct } from "./dot-product.ts";
import { kthLargest } from "./kth-largest.ts";

/** Rows that are compared by one call, and that room is made for at once. */
const blockRows = 1_024;

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
 * upper ones is quick, and how far it can be from the truth is known, vector by vector: the length of
 * what the rounding took away bounds what it can make of any product (Cauchy-Schwarz), and so does
 * the largest error of a component, where the query has few of them.
 * So nothing is among the nearest but what is told; which of those are, whoever has the vectors
 * themselves must say.
 */
export class QuantizedVectors {
  readonly dimension: number;
  /** Of a row, in bytes. */
  readonly #length: number;
  readonly #kernel: DotProduct;
  /** Where products go, which rows they are of, and where the rows begin. */
  readonly #out: number;
  readonly #list: number;
  readonly #blocks: number;
  readonly #ids: (string | undefined)[] = [];
  readonly #rows = new Map<string, number>();
  readonly #free: number[] = [];
  /** What one step is. */
  #steps = new Float64Array(0);
  /** How far the upper bits alone are from the vector. */
  #coarseErrors = new Float64Array(0);
  /** How far both are: the most of all. */
  #fineError = 0;

  constructor(dimension: number) {
    this.dimension = dimension;
    this.#length = Math.ceil(dimension / 16) * 16;
    this.#kernel = dotProduct();
    this.#out = 2 * this.#length;
    this.#list = this.#out + 4 * blockRows;
    this.#blocks = this.#list + 4 * blockRows;
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
    if (this.#rows.size <= most) return { ids: [...this.#rows.keys()], beyond: nothing };
    const query = this.#place(vector);
    const products = this.#products();
    const lower = new Float64Array(products.length);
    const upper = new Float64Array(products.length);
    for (let row = 0; row < products.length; row++) {
      const similarity = (products[row] as number) * fineSteps * query.step;
      const bound = boundOf(query, this.#coarseErrorOf(row, query));
      lower[row] = similarity - bound;
      upper[row] = similarity + bound;
    }
    const least = kthLargest(lower, most);
    const left: number[] = [];
    let below = Number.NEGATIVE_INFINITY;
    for (let row = 0; row < products.length; row++) {
      const best = upper[row] as number;
      if (best >= least) left.push(row);
      else if (best > below) below = best;
    }
    const similarities = this.#similarities(left, products, query.step);
    const last = kthLargest(similarities, most);
    const ids: string[] = [];
    let missed = Number.NEGATIVE_INFINITY;
    for (const [i, row] of left.entries()) {
      const similarity = similarities[i] as number;
      if (similarity >= last) ids.push(this.#ids[row] as string);
      else missed = Math.max(missed, similarity);
    }
    return { ids, beyond: Math.max(missed + boundOf(query, this.#fineError), below) };
  }

  /** How far the upper bits of a row can be off in a product with the query. */
  #coarseErrorOf(row: number, query: Query): number {
    const ofComponent = ((fineSteps + 1) / 2) * (this.#steps[row] as number);
    return Math.min(this.#coarseErrors[row] as number, ofComponent * query.sum);
  }

  /** Of the upper bits of all rows with the query that is placed, in its steps. */
  #products(): Float64Array {
    const products = new Float64Array(this.#ids.length);
    for (let from = 0; from < products.length; from += blockRows) {
      const count = Math.min(blockRows, products.length - from);
      const out = this.#multiply(count, (i) => this.#coarseAt(from + i));
      for (let i = 0; i < count; i++) {
        const row = from + i;
        products[row] =
          this.#ids[row] === undefined
            ? Number.NEGATIVE_INFINITY
            : (out[i] as number) * (this.#steps[row] as number);
      }
    }
    return products;
  }

  /** In full, of some rows. */
  #similarities(rows: readonly number[], products: Float64Array, step: number): Float64Array {
    const similarities = new Float64Array(rows.length);
    for (let from = 0; from < rows.length; from += blockRows) {
      const count = Math.min(blockRows, rows.length - from);
      const fine = blockRows * this.#length;
      const out = this.#multiply(count, (i) => this.#coarseAt(rows[from + i] as number) + fine);
      for (let i = 0; i < count; i++) {
        const row = rows[from + i] as number;
        const upper = fineSteps * (products[row] as number);
        similarities[from + i] = (upper + (out[i] as number) * (this.#steps[row] as number)) * step;
      }
    }
    return similarities;
  }

  /** The rows at these addresses with the query that is placed; not for longer than until next. */
  #multiply(count: number, addressOf: (i: number) => number): Int32Array {
    const { memory, dots } = this.#kernel;
    const list = new Int32Array(memory.buffer, this.#list, count);
    for (let i = 0; i < count; i++) list[i] = addressOf(i);
    dots(this.#list, count, 0, this.#length, this.#out);
    return new Int32Array(memory.buffer, this.#out, count);
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
    let sum = 0;
    for (const [i, one] of values.entries()) {
      const value = one / length;
      sum += Math.abs(value);
      const steps = Math.round(value / step);
      placed[i] = steps;
      error += (value - step * steps) ** 2;
    }
    return {
      step,
      sum,
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
    if (missing > 0) this.#kernel.memory.grow(Math.ceil(missing / wasmPageBytes));
    this.#steps = longer(this.#steps, rows);
    this.#coarseErrors = longer(this.#coarseErrors, rows);
  }
}

/** An id as a string and in a map, and what is known of its row. */
const bytesBesideRow = 200;

/** Below every similarity. */
const nothing = -2;

interface Query {
  readonly step: number;
  /** Of its components, without their signs. */
  readonly sum: number;
  /** How long what the rounding took away is. */
  readonly error: number;
  /** By how much PostgreSQL's similarity may differ from the true one. */
  readonly rounding: number;
}

/** How far a product of a query with a vector can be from what PostgreSQL makes of the two. */
function boundOf(query: Query, error: number): number {
  return error + query.error * (1 + error) + query.rounding;
}

function longer(values: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const copy = new Float64Array(length);
  copy.set(values);
  return copy;
}

function lengthOf(vector: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < vector.length; i++) sum += (vector[i] as number) ** 2;
  return Math.sqrt(sum);
}
