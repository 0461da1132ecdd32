import type { Comparison } from "./rounded-query.ts";
import { parts, rangeOf, reachedBy } from "./threshold.ts";
import { blockRows, columnBytes, queriesAtOnce, type VectorRows } from "./vector-rows.ts";

/** Bounds are between these, or count as if they were. */
const range = rangeOf(-1, 1.5);

/** They are counted in single precision, which may take one for a little higher. */
const margin = 0.01;

/** Below every similarity. */
export const nothingBeyond = -2;

/** What one query of a pass is compared by: along the axes where rows are known so, else as a whole. */
export interface ScannedQuery {
  readonly lead?: Comparison;
  readonly coarse: Comparison;
}

/** How near the rows of a memory can be at most to the queries of one pass, by what they are rounded to. */
export class BoundScan {
  readonly #memory: VectorRows;
  /** Rows that were compared. */
  #size = 0;

  constructor(memory: VectorRows) {
    this.#memory = memory;
  }

  /**
   * Compares all rows with up to four queries, the first `leadRows` of them along the axes; 0 where
   * queries have none.
   */
  compare(queries: readonly ScannedQuery[], size: number, leadRows: number): void {
    this.#size = size;
    // Four take as long as two and a half one by one.
    if (queries.length < 3) {
      for (const [n, query] of queries.entries()) this.#pass([query], n, leadRows);
    } else this.#pass(queries, 0, leadRows);
  }

  #pass(queries: readonly ScannedQuery[], first: number, leadRows: number): void {
    const memory = this.#memory;
    const end = Math.min(leadRows, this.#size);
    const lead = queries.flatMap(({ lead }) => lead ?? []);
    this.#passOver(lead, first, 0, end, memory.leadLength, (row) => ({
      rows: memory.leadAt(row),
      facts: memory.leadFactsAt(row),
    }));
    const coarse = queries.map((query) => query.coarse);
    this.#passOver(coarse, first, end, this.#size, memory.length, (row) => ({
      rows: memory.coarseAt(row),
      facts: memory.coarseFactsAt(row),
    }));
  }

  #passOver(
    comparisons: readonly Comparison[],
    first: number,
    begin: number,
    end: number,
    length: number,
    addresses: (row: number) => { readonly rows: number; readonly facts: number },
  ): void {
    if (begin >= end) return;
    const { at, buffer, dots, bounds } = this.#memory;
    const places = comparisons.length === 1 ? 1 : queriesAtOnce;
    const placed = new Int16Array(buffer, at.queries, places * length);
    for (const [n, { steps }] of comparisons.entries()) {
      for (let i = 0; i < length; i += 16) {
        placed.set(steps.subarray(i, i + 16), places * i + 16 * n);
      }
    }
    for (let from = begin; from < end; from += blockRows) {
      const count = Math.min(blockRows, end - from);
      const { rows, facts } = addresses(from);
      if (places === 1) dots.dots(rows, count, at.queries, length, at.products);
      else dots.dotsOfFour(rows, count, at.queries, length, at.products, columnBytes);
      for (const [n, one] of comparisons.entries()) {
        const out = this.#memory.boundAt(first + n, from);
        bounds.bounds(
          at.products + n * columnBytes,
          inFours(count),
          facts,
          columnBytes,
          out,
          one.base,
          one.scale,
          one.ofError,
          one.ofStep,
          one.ofBoth,
          one.ofRest,
        );
        // What stands between the last row and the next four is no row.
        new Float32Array(buffer, out + 4 * count, inFours(count) - count).fill(-Infinity);
      }
    }
  }

  /** How near each of these can be by all of its components. */
  coarseBounds(rows: readonly number[], by: Comparison): Float64Array {
    const { at, buffer, dots, length } = this.#memory;
    new Int16Array(buffer, at.query, length).set(by.steps);
    const numbers = new Float32Array(buffer);
    return Float64Array.from(rows, (row) => {
      const facts = this.#memory.coarseFactsAt(row) / 4;
      const step = numbers[facts] as number;
      const error = numbers[facts + columnBytes / 4] as number;
      const product = dots.dot(this.#memory.coarseAt(row), at.query, length);
      const similarity = by.base + step * product * by.scale;
      return similarity + Math.min(error * by.ofError, step * by.ofStep) + error * by.ofBoth;
    });
  }

  /** So high that the bounds of `most` rows or a few more reach it, of query `n` of the pass. */
  reachedBy(n: number, most: number): number {
    const { at, bounds, buffer } = this.#memory;
    const counts = new Uint32Array(buffer, at.counts, parts).fill(0);
    let floor = Number.NEGATIVE_INFINITY;
    this.#eachBlock((from, rows) => {
      const values = this.#memory.boundAt(n, from);
      bounds.count(values, inFours(rows), floor, at.counts, parts, range.least, range.scale);
      // What is below what so many rows of the first ones reach need not be counted among the others.
      if (from === 0 && rows > most) floor = reachedBy(counts, most, range, margin);
    });
    return reachedBy(counts, most, range, margin);
  }

  /** Rows whose bound is at least so high, and the highest bound of the others. */
  gathered(n: number, least: number): { readonly rows: number[]; readonly beyond: number } {
    const { at, bounds, buffer } = this.#memory;
    const beyond = new Float32Array(buffer, at.beyond, 1);
    const gathered = new Uint32Array(buffer, at.gathered, blockRows);
    beyond[0] = nothingBeyond;
    const rows: number[] = [];
    this.#eachBlock((from, count) => {
      const values = this.#memory.boundAt(n, from);
      const found = bounds.gather(values, inFours(count), from, least, at.gathered, at.beyond);
      for (let i = 0; i < found; i++) rows.push(gathered[i] as number);
    });
    return { rows, beyond: beyond[0] };
  }

  #eachBlock(work: (from: number, rows: number) => void): void {
    for (let from = 0; from < this.#size; from += blockRows) {
      work(from, Math.min(blockRows, this.#size - from));
    }
  }
}

const inFours = (rows: number) => Math.ceil(rows / 4) * 4;
