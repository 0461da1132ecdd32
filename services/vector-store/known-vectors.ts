import { wasmPageBytes } from "../../shared/web-assembly.ts";
import { type DotProduct, dotProduct } from "./dot-product.ts";
import { kthLargest } from "./kth-largest.ts";

/** Rows that are compared by one call, and that room is made for at once. */
const blockRows = 1_024;

/** Steps of a component that is rounded to 8 bits, on each side of 0. */
const mostSteps = 127;

/** What the nearest are among. */
export interface NearestCandidates {
  readonly ids: readonly string[];
  /** Of each of them: its cosine similarity, of single precision, as scores travel. */
  readonly closeness: readonly number[];
  /** No vector that is not among them has a closeness above this. */
  readonly beyond: number;
}

/** Below every similarity. */
export const nothingBeyond = -2;

/**
 * By how much a similarity that PostgreSQL computes may differ from the true one: it adds in single
 * precision, three sums, one of them over and one under a root.
 */
export const comparedError = (dimension: number) => dimension * 2 ** -23 + 1e-6;

/**
 * Vectors of one dimension in memory, for cosine similarity: each as it is, and beside it, scaled to
 * length 1, with components of 8 bits. Comparing by these is quick, and how far it can be from the
 * truth is known, vector by vector: the length of what the rounding took away bounds what it can make
 * of any product (Cauchy-Schwarz), and so does the largest error of a component, where the query has
 * few of them. What may be among the nearest is then compared in full, in double precision.
 */
export class KnownVectors {
  readonly dimension: number;
  /** Of a row, in components. */
  readonly #length: number;
  readonly #kernel: DotProduct;
  /** Where the query in full stands, where products go, and where the rows begin. */
  readonly #query: number;
  readonly #out: number;
  readonly #blocks: number;
  /** Of each row; a vector that goes leaves its place to the last one. */
  readonly #ids: string[] = [];
  readonly #rows = new Map<string, number>();
  #lengths = new Float64Array(0);
  /** What one step of 8 bits is. */
  #steps = new Float64Array(0);
  /** How far those are from the vector. */
  #errors = new Float64Array(0);
  /** The least and the most that each row's similarity can be; of the last query. */
  #lower = new Float64Array(0);
  #upper = new Float64Array(0);

  constructor(dimension: number) {
    this.dimension = dimension;
    this.#length = Math.ceil(dimension / 16) * 16;
    this.#kernel = dotProduct();
    this.#query = 2 * this.#length;
    this.#out = this.#query + 8 * this.#length;
    this.#blocks = this.#out + 4 * blockRows;
  }

  get size(): number {
    return this.#ids.length;
  }

  /** Memory that they take, about. */
  get bytes(): number {
    return this.#kernel.memory.buffer.byteLength + this.size * bytesBesideRow;
  }

  /** What so many vectors take. */
  static bytesOf(rows: number, dimension: number): number {
    return rows * (bytesPerComponent * dimension + bytesBesideRow);
  }

  set(id: string, vector: ArrayLike<number>): void {
    const values = Float32Array.from(vector);
    const length = lengthOf(values);
    if (!(length > 0)) {
      this.delete(id);
      return;
    }
    const row = this.#rows.get(id) ?? this.size;
    if (row >= this.#steps.length) this.#grow();
    const { full, coarse } = this.#planes(row);
    full.set(values);
    let largest = 0;
    for (const value of values) largest = Math.max(largest, Math.abs(value));
    const step = largest / length / mostSteps;
    let error = 0;
    for (let i = 0; i < values.length; i++) {
      const value = (values[i] as number) / length;
      const steps = Math.round(value / step);
      coarse[i] = steps;
      error += (value - step * steps) ** 2;
    }
    this.#lengths[row] = length;
    this.#steps[row] = step;
    this.#errors[row] = Math.sqrt(error);
    this.#ids[row] = id;
    this.#rows.set(id, row);
  }

  delete(id: string): void {
    const row = this.#rows.get(id);
    if (row === undefined) return;
    this.#rows.delete(id);
    const last = this.size - 1;
    const moved = this.#ids.pop() as string;
    if (row === last) return;
    const from = this.#planes(last);
    const to = this.#planes(row);
    to.full.set(from.full);
    to.coarse.set(from.coarse);
    for (const numbers of [this.#lengths, this.#steps, this.#errors]) {
      numbers[row] = numbers[last] as number;
    }
    this.#ids[row] = moved;
    this.#rows.set(moved, row);
  }

  /** The `most` nearest, and those that are as near as the last of them. */
  nearest(vector: ArrayLike<number>, most: number): NearestCandidates {
    const query = this.#place(vector);
    const { rows, beyond } = this.#candidates(query, most);
    const all = rows.map((row) => this.#closeness(row, query));
    if (all.length <= most) {
      return { ids: rows.map((row) => this.#ids[row] as string), closeness: all, beyond };
    }
    const least = kthLargest(Float64Array.from(all), most);
    const ids: string[] = [];
    const closeness: number[] = [];
    let missed = beyond;
    for (const [i, row] of rows.entries()) {
      const one = all[i] as number;
      if (one >= least) {
        ids.push(this.#ids[row] as string);
        closeness.push(one);
      } else if (one > missed) missed = one;
    }
    return { ids, closeness, beyond: missed };
  }

  /** Of each of these; undefined where there is no such vector. */
  closeness(vector: ArrayLike<number>, ids: readonly string[]): (number | undefined)[] {
    const query = this.#place(vector);
    return ids.map((id) => {
      const row = this.#rows.get(id);
      return row === undefined ? undefined : this.#closeness(row, query);
    });
  }

  /** Rows that may be among the nearest, and what no other one is above. */
  #candidates(query: Query, most: number): { readonly rows: number[]; readonly beyond: number } {
    const count = this.size;
    if (count <= most) return { rows: [...this.#ids.keys()], beyond: nothingBeyond };
    this.#bounds(query);
    const upper = this.#upper;
    const least = kthLargest(this.#lower.subarray(0, count), most);
    const rows: number[] = [];
    let beyond = nothingBeyond;
    for (let row = 0; row < count; row++) {
      const best = upper[row] as number;
      if (best >= least) rows.push(row);
      else if (best > beyond) beyond = best;
    }
    return { rows, beyond };
  }

  /** The least and the most that the closeness of each row can be. */
  #bounds(query: Query): void {
    const { memory, dots } = this.#kernel;
    const out = new Int32Array(memory.buffer, this.#out, blockRows);
    const steps = this.#steps;
    const errors = this.#errors;
    // Half a step is the largest error of a component.
    const ofStep = query.sum / 2;
    for (let from = 0; from < this.size; from += blockRows) {
      const count = Math.min(blockRows, this.size - from);
      dots(this.#coarseAt(from), count, 0, this.#length, this.#out);
      for (let i = 0; i < count; i++) {
        const row = from + i;
        const step = steps[row] as number;
        const error = errors[row] as number;
        const similarity = (out[i] as number) * step * query.step;
        const bound = Math.min(error, step * ofStep) + query.error * (1 + error) + singlePrecision;
        this.#lower[row] = similarity - bound;
        this.#upper[row] = similarity + bound;
      }
    }
  }

  #closeness(row: number, { length }: Query): number {
    const product = this.#kernel.product(this.#fullAt(row), this.#query, this.#length);
    const similarity = product / ((this.#lengths[row] as number) * length);
    return Math.fround(Math.max(-1, Math.min(1, similarity)));
  }

  /** Puts the query where rows are compared with it: in full, and with components of 16 bits. */
  #place(vector: ArrayLike<number>): Query {
    const values = Float32Array.from(vector);
    const length = lengthOf(values);
    const { buffer } = this.#kernel.memory;
    new Float64Array(buffer, this.#query, this.#length).set(values);
    const placed = new Int16Array(buffer, 0, this.#length);
    let largest = 0;
    for (const value of values) largest = Math.max(largest, Math.abs(value));
    // So that no sum of products with 8 bits passes 32 bits.
    const step = largest / length / Math.min(32_767, Math.floor((2 ** 24 - 1) / this.#length));
    let error = 0;
    let sum = 0;
    for (let i = 0; i < values.length; i++) {
      const value = (values[i] as number) / length;
      sum += Math.abs(value);
      const steps = Math.round(value / step);
      placed[i] = steps;
      error += (value - step * steps) ** 2;
    }
    return { length, step, sum, error: Math.sqrt(error) };
  }

  #coarseAt(row: number): number {
    const within = row % blockRows;
    const block = (row - within) / blockRows;
    return this.#blocks + (bytesPerComponent * block * blockRows + within) * this.#length;
  }

  #fullAt(row: number): number {
    const within = row % blockRows;
    return this.#coarseAt(row - within) + (blockRows + 4 * within) * this.#length;
  }

  #planes(row: number): { readonly coarse: Int8Array; readonly full: Float32Array } {
    const { buffer } = this.#kernel.memory;
    return {
      coarse: new Int8Array(buffer, this.#coarseAt(row), this.#length),
      full: new Float32Array(buffer, this.#fullAt(row), this.#length),
    };
  }

  #grow(): void {
    const rows = this.#steps.length + blockRows;
    const missing = this.#coarseAt(rows) - this.#kernel.memory.buffer.byteLength;
    if (missing > 0) this.#kernel.memory.grow(Math.ceil(missing / wasmPageBytes));
    this.#lengths = longer(this.#lengths, rows);
    this.#steps = longer(this.#steps, rows);
    this.#errors = longer(this.#errors, rows);
    this.#lower = new Float64Array(rows);
    this.#upper = new Float64Array(rows);
  }
}

/** 8 bits and 32. */
const bytesPerComponent = 5;

/** An id as a string and in a map, and what is known of its row. */
const bytesBesideRow = 200;

/** More than rounding a similarity to single precision changes it by. */
const singlePrecision = 2 ** -23;

interface Query {
  readonly length: number;
  /** What one step of 16 bits is. */
  readonly step: number;
  /** Of its components, scaled to length 1, without their signs. */
  readonly sum: number;
  /** How long what the rounding took away is. */
  readonly error: number;
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
