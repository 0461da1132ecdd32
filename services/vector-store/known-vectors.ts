import { wasmPageBytes } from "../../shared/web-assembly.ts";
import { type DotProduct, dotProduct } from "./dot-product.ts";
import { kthLargest } from "./kth-largest.ts";
import { lengthOf, type RoundedQuery, roundedQuery } from "./rounded-query.ts";
import { Threshold } from "./threshold.ts";

/** Rows that are compared by one call, and that room is made for at once. */
const blockRows = 1_024;

/**
 * Vectors of one model lie to one side more often than not: what they have in common is told apart,
 * and what is left takes smaller steps. So many rows tell what that is.
 */
const rowsOfCentre = 512;

/** Steps of a component that is rounded to 8 bits, on each side of 0. */
const mostSteps = 127;

/** Of what is no number but 0: there is no step of 0. */
const leastStep = 1e-300;

/** Queries that are compared by one pass over all rows. */
export const queriesAtOnce = 4;

export interface NearestQuestion {
  readonly vector: ArrayLike<number>;
  /** How many are wanted at least. */
  readonly most: number;
}

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
 * length 1, how far it is from the mean of the first ones, with components of 8 bits. Comparing by these is quick, and how far it can be from the
 * truth is known, vector by vector: the length of what the rounding took away bounds what it can make
 * of any product (Cauchy-Schwarz), and so does the largest error of a component, where the query has
 * few of them. What may be among the nearest is then compared in full, in double precision.
 */
export class KnownVectors {
  readonly dimension: number;
  /** Of a row, in components. */
  readonly #length: number;
  readonly #kernel: DotProduct;
  /** Where a query in full stands, where products go, and where the rows begin. */
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
  /** What rows are rounded beside: nothing, and once there are enough of them their mean. */
  #centre: Float64Array;
  #isCentred = false;
  /** The least and the most that each row's closeness can be; of the queries of one pass. */
  #bounds: readonly Bounds[] = boundsOf(0);

  constructor(dimension: number) {
    this.dimension = dimension;
    this.#centre = new Float64Array(dimension);
    this.#length = Math.ceil(dimension / 16) * 16;
    this.#kernel = dotProduct();
    this.#query = queriesAtOnce * 2 * this.#length;
    this.#out = this.#query + 8 * this.#length;
    this.#blocks = this.#out + queriesAtOnce * 4 * blockRows;
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
    this.#planes(row).full.set(values);
    this.#lengths[row] = length;
    this.#round(row);
    this.#ids[row] = id;
    this.#rows.set(id, row);
    if (!this.#isCentred && this.size === rowsOfCentre) this.#findCentre();
  }

  /** Makes the 8 bits of a row: of what it is, at length 1, beside the centre. */
  #round(row: number): void {
    const { full, coarse } = this.#planes(row);
    const centre = this.#centre;
    const length = this.#lengths[row] as number;
    let largest = 0;
    for (let i = 0; i < this.dimension; i++) {
      const value = (full[i] as number) / length - (centre[i] as number);
      largest = Math.max(largest, Math.abs(value));
    }
    const step = Math.max(largest / mostSteps, leastStep);
    let error = 0;
    for (let i = 0; i < this.dimension; i++) {
      const value = (full[i] as number) / length - (centre[i] as number);
      const steps = Math.round(value / step);
      coarse[i] = steps;
      error += (value - step * steps) ** 2;
    }
    this.#steps[row] = step;
    this.#errors[row] = Math.sqrt(error);
  }

  /** Takes the mean of the rows that there are for the centre, and makes their 8 bits anew. */
  #findCentre(): void {
    const centre = new Float64Array(this.dimension);
    for (let row = 0; row < this.size; row++) {
      const { full } = this.#planes(row);
      const length = this.#lengths[row] as number;
      for (let i = 0; i < centre.length; i++) {
        centre[i] = (centre[i] as number) + (full[i] as number) / length / this.size;
      }
    }
    this.#centre = centre;
    this.#isCentred = true;
    for (let row = 0; row < this.size; row++) this.#round(row);
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

  /**
   * Of each question the `most` nearest, and those that are as near as the last of them. Several are
   * answered in less time than one after the other.
   */
  nearest(questions: readonly NearestQuestion[]): NearestCandidates[] {
    const queries = questions.map(({ vector }) => roundedQuery(vector, this.#length, this.#centre));
    const answers: NearestCandidates[] = [];
    for (let from = 0; from < queries.length; from += queriesAtOnce) {
      const group = queries.slice(from, from + queriesAtOnce);
      this.#compare(group);
      for (const [i, query] of group.entries()) {
        const { most } = questions[from + i] as NearestQuestion;
        answers.push(this.#best(query, most, this.#bounds[i] as Bounds));
      }
    }
    return answers;
  }

  /** Of each of these; undefined where there is no such vector. */
  closeness(vector: ArrayLike<number>, ids: readonly string[]): (number | undefined)[] {
    const query = roundedQuery(vector, this.#length, this.#centre);
    this.#place(query);
    return ids.map((id) => {
      const row = this.#rows.get(id);
      return row === undefined ? undefined : this.#closeness(row, query);
    });
  }

  #best(query: RoundedQuery, most: number, bounds: Bounds): NearestCandidates {
    const { rows, closeness, beyond } = this.#candidates(query, most, bounds);
    const least = rows.length > most ? kthLargest(closeness, most) : nothingBeyond;
    const ids: string[] = [];
    const best: number[] = [];
    let missed = beyond;
    for (const [i, row] of rows.entries()) {
      const one = closeness[i] as number;
      if (one >= least) {
        ids.push(this.#ids[row] as string);
        best.push(one);
      } else if (one > missed) missed = one;
    }
    return { ids, closeness: best, beyond: missed };
  }

  /** Rows that may be among the nearest, how near they are, and what no other one is above. */
  #candidates(query: RoundedQuery, most: number, { lower, upper }: Bounds): RowCandidates {
    this.#place(query);
    const least = this.size > most ? lower.reachedBy(most) : nothingBeyond;
    const first = this.#reaching(least, upper);
    if (first.rows.length <= most) return { ...first, closeness: this.#all(first.rows, query) };
    // Those that may be the nearest tell how near the others have to be.
    const high = kthLargest(
      Float64Array.from(first.rows, (row) => upper[row] as number),
      most,
    );
    const likely = new Map<number, number>();
    for (const row of first.rows) {
      if ((upper[row] as number) >= high) likely.set(row, this.#closeness(row, query));
    }
    const left = this.#reaching(kthLargest(Float64Array.from(likely.values()), most), upper);
    const closeness = Float64Array.from(
      left.rows,
      (row) => likely.get(row) ?? this.#closeness(row, query),
    );
    return { ...left, closeness };
  }

  /** Rows whose bound is at least so high, and the highest bound of the others. */
  #reaching(
    least: number,
    upper: Float32Array,
  ): { readonly rows: number[]; readonly beyond: number } {
    const rows: number[] = [];
    let beyond = nothingBeyond;
    for (let row = 0; row < this.size; row++) {
      const best = upper[row] as number;
      if (best >= least) rows.push(row);
      else if (best > beyond) beyond = best;
    }
    return { rows, beyond };
  }

  /** How near each of these is to the query that is placed. */
  #all(rows: readonly number[], query: RoundedQuery): Float64Array {
    return Float64Array.from(rows, (row) => this.#closeness(row, query));
  }

  /** Bounds of the closeness of every row to each of so many queries. */
  #compare(queries: readonly RoundedQuery[]): void {
    // Four take as long as two and a half one by one.
    if (queries.length < 3) {
      for (const [i, query] of queries.entries()) this.#pass([query], this.#bounds.slice(i));
    } else this.#pass(queries, this.#bounds);
  }

  #pass(queries: readonly RoundedQuery[], bounds: readonly Bounds[]): void {
    const { memory, dots, dotsOfFour } = this.#kernel;
    const places = queries.length === 1 ? 1 : queriesAtOnce;
    const multiply = places === 1 ? dots : dotsOfFour;
    const placed = new Int16Array(memory.buffer, 0, places * this.#length);
    for (const [n, { steps }] of queries.entries()) {
      for (let i = 0; i < this.#length; i += 16) {
        placed.set(steps.subarray(i, i + 16), places * i + 16 * n);
      }
    }
    const out = new Int32Array(memory.buffer, this.#out, places * blockRows);
    for (let from = 0; from < this.size; from += blockRows) {
      const count = Math.min(blockRows, this.size - from);
      multiply(this.#coarseAt(from), count, 0, this.#length, this.#out);
      for (const [n, query] of queries.entries()) {
        this.#bound(query, out, n, places, from, count, bounds[n] as Bounds);
      }
    }
  }

  #bound(
    { step: queryStep, sum, error: queryError, ofCentre }: RoundedQuery,
    products: Int32Array,
    at: number,
    places: number,
    from: number,
    count: number,
    { lower, upper }: Bounds,
  ): void {
    const steps = this.#steps;
    const errors = this.#errors;
    // Half a step is the largest error of a component.
    const ofStep = sum / 2;
    if (from === 0) lower.clear();
    for (let i = 0; i < count; i++) {
      const row = from + i;
      const step = steps[row] as number;
      const error = errors[row] as number;
      const similarity = ofCentre + (products[places * i + at] as number) * step * queryStep;
      // What is rounded is at most 2 long: a vector of length 1 from a mean of such.
      const bound = Math.min(error, step * ofStep) + queryError * (2 + error) + singlePrecision;
      lower.add(Math.max(-1, similarity - bound));
      upper[row] = similarity + bound;
    }
  }

  #closeness(row: number, { length }: RoundedQuery): number {
    const product = this.#kernel.product(this.#fullAt(row), this.#query, this.#length);
    const similarity = product / ((this.#lengths[row] as number) * length);
    return Math.fround(Math.max(-1, Math.min(1, similarity)));
  }

  /** Puts a query where rows are compared with it in full. */
  #place({ values }: RoundedQuery): void {
    new Float64Array(this.#kernel.memory.buffer, this.#query, this.#length).set(values);
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
    this.#bounds = boundsOf(rows);
  }
}

/** 8 bits and 32. */
const bytesPerComponent = 5;

/** An id as a string and in a map, and what is known of its row. */
const bytesBesideRow = 200;

/** More than rounding to single precision changes a similarity and a bound of it by. */
const singlePrecision = 2 ** -22;

interface RowCandidates {
  readonly rows: readonly number[];
  readonly closeness: Float64Array;
  readonly beyond: number;
}

interface Bounds {
  /** Of all rows together. */
  readonly lower: Threshold;
  /** Of each row. */
  readonly upper: Float32Array;
}

function boundsOf(rows: number): readonly Bounds[] {
  return Array.from({ length: queriesAtOnce }, () => ({
    lower: new Threshold(-1, 1),
    upper: new Float32Array(rows),
  }));
}

function longer(values: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const copy = new Float64Array(length);
  copy.set(values);
  return copy;
}
