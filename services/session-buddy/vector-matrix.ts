import type { Breathe } from "./event-loop.ts";
import { SignSketch } from "./sign-sketch.ts";
import { type RowMemory, rowMemory } from "./simd-dot.ts";

const blockRows = 1_024;
/** What a list of rows is made larger by, so that it need not be made anew for each that comes. */
const growth = 1.25;

/** How contents of a list compare with one query's vector. */
export interface Similarities {
  /** How many contents have a vector, whether in the list or not. */
  readonly size: number;
  /** Of a place in the list: cosine similarity, clipped to 0..1; undefined where it has no vector. */
  at(place: number): number | undefined;
  /**
   * About so many of the most similar contents, found by their sketches: some of the least similar
   * among them may be missed. Pauses between blocks.
   */
  nearest(count: number, breathe: Breathe): Promise<string[]>;
}

export const noSimilarities: Similarities = {
  size: 0,
  at: () => undefined,
  nearest: async () => [],
};

/** The rows of a list's contents, as far as they were asked for. */
interface KnownRows {
  rows: Int32Array;
  /** Of the matrix when the rows were as they stand here. */
  changes: number;
}

const notAsked = -2;
const noRow = -1;

/**
 * Vectors of one dimension in memory, each scaled to length 1, so that comparing is multiplying.
 * Rows keep their place; a removed one is overwritten by the next that comes.
 */
export class VectorMatrix {
  readonly dimension: number;
  readonly #sketch: SignSketch;
  readonly #values: RowMemory;
  /** The one that stands in the memory. */
  #query: Float32Array | undefined;
  readonly #sketches: Uint32Array[] = [];
  readonly #hashes: (string | undefined)[] = [];
  readonly #rows = new Map<string, number>();
  readonly #free: number[] = [];
  /** Counts contents that got a row or lost it. */
  #changes = 0;
  readonly #knownRows = new WeakMap<readonly string[], KnownRows>();

  constructor(dimension: number) {
    this.dimension = dimension;
    this.#sketch = new SignSketch(dimension);
    this.#values = rowMemory(dimension);
  }

  get hashes(): ReadonlyMap<string, unknown> {
    return this.#rows;
  }

  set(hash: string, vector: ArrayLike<number>): void {
    const row = this.#rows.get(hash) ?? this.#free.pop() ?? this.#hashes.length;
    const { words } = this.#sketch;
    if (row >= this.#sketches.length * blockRows) {
      this.#sketches.push(new Uint32Array(blockRows * words));
    }
    const block = Math.floor(row / blockRows);
    const values = scaled(vector);
    this.#values.write(row, values);
    const sketches = this.#sketches[block];
    if (sketches !== undefined) this.#sketch.write(values, sketches, (row % blockRows) * words);
    this.#hashes[row] = hash;
    this.#rows.set(hash, row);
    this.#changes++;
  }

  delete(hash: string): void {
    const row = this.#rows.get(hash);
    if (row === undefined) return;
    this.#rows.delete(hash);
    this.#hashes[row] = undefined;
    this.#free.push(row);
    this.#changes++;
  }

  /** `hashes` may grow, but what is in it stays. */
  similarities(vector: ArrayLike<number>, hashes: readonly string[]): Similarities {
    const query = scaled(vector);
    const known = this.#rowsOf(hashes);
    return {
      size: this.#rows.size,
      at: (place) => {
        const row = this.#rowAt(known, hashes, place);
        if (row === noRow) return undefined;
        // Searches take turns, each with its own query.
        if (this.#query !== query) this.#values.setQuery(query);
        this.#query = query;
        return Math.min(Math.max(this.#values.dot(row), 0), 1);
      },
      nearest: (count, breathe) => this.#nearest(query, count, breathe),
    };
  }

  #rowsOf(hashes: readonly string[]): KnownRows {
    let known = this.#knownRows.get(hashes);
    if (known === undefined) {
      known = { rows: new Int32Array(), changes: this.#changes };
      this.#knownRows.set(hashes, known);
    }
    return known;
  }

  /** Looking a row up by its place takes a tenth of looking it up by its hash. */
  #rowAt(known: KnownRows, hashes: readonly string[], place: number): number {
    if (known.changes !== this.#changes) known.rows.fill(notAsked);
    known.changes = this.#changes;
    if (place >= known.rows.length) {
      const more = new Int32Array(Math.ceil((hashes.length + 1) * growth)).fill(notAsked);
      more.set(known.rows);
      known.rows = more;
    }
    const row = known.rows[place] as number;
    if (row !== notAsked) return row;
    const found = this.#rows.get(hashes[place] ?? "") ?? noRow;
    known.rows[place] = found;
    return found;
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
  let squares = 0;
  for (const value of copy) squares += value * value;
  const length = Math.sqrt(squares);
  return length === 0 ? copy : copy.map((value) => value / length);
}
