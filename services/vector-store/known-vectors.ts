import { AxesUse, mostLeft } from "./axes-use.ts";
import { BoundScan, nothingBeyond } from "./bound-scan.ts";
import { kthLargest } from "./kth-largest.ts";
import { leadingAxes } from "./leading-axes.ts";
import { Pace, slowProduct } from "./pace.ts";
import { type Comparison, type KnownQuery, knownQuery, leadComparison } from "./rounded-query.ts";
import { lengthsOf, roundingOf, roundTo8Bits } from "./rounded-rows.ts";
import { lengthOf } from "./vector-length.ts";
import { blockRows, columnBytes, queriesAtOnce, rowBytes, VectorRows } from "./vector-rows.ts";

/**
 * Vectors of one model lie to one side more often than not: what they have in common is told apart,
 * and what is left takes smaller steps. So many rows tell what that is.
 */
const rowsOfCentre = 512;

/** Rows of which the axes are learnt; fewer than these are compared without. */
const rowsOfAxes = 2_048;
const fewestForAxes = 4_096;

/** More than what single precision does to a number of a row. */
const roundedUp = 1 + 2 ** -20;

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

/**
 * By how much a similarity that PostgreSQL computes may differ from the true one: it adds in single
 * precision, three sums, one of them over and one under a root.
 */
export const comparedError = (dimension: number) => dimension * 2 ** -23 + 1e-6;

/**
 * Vectors of one dimension in memory, for cosine similarity: each as it is, and beside it, scaled to
 * length 1, how far it is from the mean of the first ones, with components of 8 bits. Comparing by
 * these is quick, and how far it can be from the truth is known, vector by vector: the length of what
 * the rounding took away bounds what it can make of any product (Cauchy-Schwarz), and so does the
 * largest error of a component, where the query has few of them. What may be among the nearest is
 * then compared in full, in double precision.
 *
 * Where there are many, they are compared first along the axes on which they differ most, about a
 * sixth of the components, and only those with all components that may be near by that.
 */
export class KnownVectors {
  readonly dimension: number;
  readonly #memory: VectorRows;
  readonly #scan: BoundScan;
  /** Of each row; a vector that goes leaves its place to the last one. */
  readonly #ids: string[] = [];
  readonly #rows = new Map<string, number>();
  #lengths = new Float64Array(0);
  /** What rows are rounded beside: nothing, and once there are enough of them their mean. */
  #centre: Float64Array;
  #isCentred = false;
  #hasAxes = false;
  /** Rows before this one are known along the axes; whole blocks. */
  #leadRows = 0;
  /** The same, and those that are being taken along them: what changes is taken along at once. */
  #leadReach = 0;
  readonly #axesUse = new AxesUse();
  readonly #rounding: { readonly slack: number; readonly lost: number };

  constructor(dimension: number) {
    this.dimension = dimension;
    const { length, leadLength } = lengthsOf(dimension);
    this.#memory = new VectorRows(length, leadLength);
    this.#scan = new BoundScan(this.#memory);
    this.#centre = new Float64Array(dimension);
    this.#rounding = roundingOf(length, leadLength);
  }

  get size(): number {
    return this.#ids.length;
  }

  /** Memory that they take, about. */
  get bytes(): number {
    return this.#memory.bytes + this.size * bytesBesideRow;
  }

  /** What so many vectors take. */
  static bytesOf(rows: number, dimension: number): number {
    const { length, leadLength } = lengthsOf(dimension);
    return rows * (rowBytes(length, leadLength) + bytesBesideRow);
  }

  set(id: string, vector: ArrayLike<number>): void {
    const values = Float32Array.from(vector);
    const length = lengthOf(values);
    if (!(length > 0)) {
      this.delete(id);
      return;
    }
    const row = this.#rows.get(id) ?? this.size;
    if (row >= this.#memory.capacity) this.#grow();
    this.#memory.planes(row).full.set(values);
    this.#lengths[row] = length;
    this.#ids[row] = id;
    this.#rows.set(id, row);
    this.#round(row);
    if (!this.#isCentred && this.size === rowsOfCentre) this.#findCentre();
  }

  /** Makes the 8 bits of a row: of what it is, at length 1, beside the centre. */
  #round(row: number): void {
    const beside = this.#beside(row);
    const { coarse } = this.#memory.planes(row);
    const { step, error } = roundTo8Bits(beside, coarse);
    this.#facts(this.#memory.coarseFactsAt(row), [step, error]);
    if (row < this.#leadReach) this.#project(row, beside);
  }

  /** A row at length 1, from the centre. */
  #beside(row: number): Float32Array {
    const { full } = this.#memory.planes(row);
    const length = this.#lengths[row] as number;
    const centre = this.#centre;
    const beside = new Float32Array(this.#memory.length);
    for (let i = 0; i < centre.length; i++) {
      beside[i] = (full[i] as number) / length - (centre[i] as number);
    }
    return beside;
  }

  /** Takes the mean of the rows that there are for the centre, and makes their 8 bits anew. */
  #findCentre(): void {
    const centre = new Float64Array(this.dimension);
    for (let row = 0; row < this.size; row++) {
      const { full } = this.#memory.planes(row);
      const length = this.#lengths[row] as number;
      for (let i = 0; i < centre.length; i++) {
        centre[i] = (centre[i] as number) + (full[i] as number) / length / this.size;
      }
    }
    this.#centre = centre;
    this.#isCentred = true;
    for (let row = 0; row < this.size; row++) this.#round(row);
  }

  /**
   * Learns the axes, once there are enough vectors, and what new rows are along them. Anything may come
   * between its pauses, after a millisecond or two each: searches, changes, and others that refine.
   */
  *refine(): Generator<void> {
    const { length, leadLength, at } = this.#memory;
    if (leadLength === 0 || this.size < fewestForAxes) return;
    const pace = new Pace();
    if (!this.#hasAxes) {
      const every = this.size / rowsOfAxes;
      const sample: Float32Array[] = [];
      for (let n = 0; n < rowsOfAxes; n++) {
        if (this.size === 0) return;
        sample.push(this.#beside(Math.min(this.size - 1, Math.floor(n * every))));
        if (pace.isDue(slowProduct * length)) yield;
      }
      const axes = yield* leadingAxes(sample, leadLength);
      // Rows may be known along those that another one has learnt meanwhile.
      if (!this.#hasAxes) new Float32Array(this.#memory.buffer, at.axes, axes.length).set(axes);
      this.#hasAxes = true;
    }
    while (this.#axesUse.forAny && this.#leadRows + blockRows <= this.size) {
      this.#leadReach = this.#leadRows + blockRows;
      for (let row = this.#leadRows; row < this.#leadReach; row++) {
        if (row < this.size) this.#project(row, this.#beside(row));
        if (pace.isDue((leadLength + slowProduct) * length)) yield;
      }
      this.#leadRows = this.#leadReach;
    }
  }

  delete(id: string): void {
    const row = this.#rows.get(id);
    if (row === undefined) return;
    this.#rows.delete(id);
    const last = this.size - 1;
    const moved = this.#ids.pop() as string;
    if (row === last) return;
    this.#memory.copy(last, row);
    this.#lengths[row] = this.#lengths[last] as number;
    this.#ids[row] = moved;
    this.#rows.set(moved, row);
    if (row < this.#leadReach && last >= this.#leadRows) this.#project(row, this.#beside(row));
  }

  /** Makes the 8 bits of a row along the axes. */
  #project(row: number, beside: Float32Array): void {
    const along = this.#leadOf(beside);
    const { lead } = this.#memory.planes(row);
    const { step, error } = roundTo8Bits(along, lead);
    const square = lengthOf(beside) ** 2;
    const rest = Math.max(0, square - lengthOf(along) ** 2) + this.#rounding.lost * square;
    this.#facts(this.#memory.leadFactsAt(row), [step, error, Math.sqrt(rest)]);
  }

  /** What a vector is along the axes, until the next one is asked for. */
  #leadOf(vector: Float32Array): Float32Array {
    const { at, bounds, length, leadLength, buffer } = this.#memory;
    new Float32Array(buffer, at.vector, length).set(vector);
    bounds.products(at.axes, leadLength, at.vector, length, at.lead);
    return new Float32Array(buffer, at.lead, leadLength);
  }

  #facts(at: number, facts: readonly number[]): void {
    const { buffer } = this.#memory;
    for (const [n, fact] of facts.entries()) {
      new Float32Array(buffer, at + n * columnBytes, 1)[0] = n === 0 ? fact : fact * roundedUp;
    }
  }

  /**
   * Of each question the `most` nearest, and those that are as near as the last of them. Several are
   * answered in less time than one after the other.
   */
  nearest(questions: readonly NearestQuestion[]): NearestCandidates[] {
    const asked = questions.map(({ vector, most }) => ({ most, query: this.#query(vector) }));
    const answers: NearestCandidates[] = [];
    for (let from = 0; from < asked.length; from += queriesAtOnce) {
      answers.push(...this.#answers(asked.slice(from, from + queriesAtOnce)));
    }
    return answers;
  }

  /** Of each of these; undefined where there is no such vector. */
  closeness(vector: ArrayLike<number>, ids: readonly string[]): (number | undefined)[] {
    const values = Float32Array.from(vector);
    const query = { values, length: lengthOf(values) };
    this.#place(query);
    return ids.map((id) => {
      const row = this.#rows.get(id);
      return row === undefined ? undefined : this.#closeness(row, query);
    });
  }

  #query(vector: ArrayLike<number>): KnownQuery {
    return knownQuery(vector, this.#memory.length, this.#centre);
  }

  /** Of the questions of one pass. */
  #answers(asked: readonly Asked[]): NearestCandidates[] {
    const answers = new Map<Asked, NearestCandidates>();
    const along =
      this.#leadRows === 0
        ? []
        : asked.filter(({ most }) => most < this.size && this.#axesUse.for(most));
    if (along.length > 0) {
      const queries = along.map(({ query }) => ({ ...query, lead: this.#lead(query) }));
      this.#scan.compare(queries, this.size, this.#leadRows);
      for (const [n, one] of along.entries()) {
        const reaching = this.#reaching(n, one);
        const share = reaching.rows.length / this.size;
        this.#axesUse.note(one.most, share);
        if (share <= mostLeft) answers.set(one, this.#best(one, this.#nearer(reaching, one)));
      }
    }
    const others = asked.filter((one) => !answers.has(one));
    if (others.length > 0) {
      const queries = others.map(({ query }) => query);
      this.#scan.compare(queries, this.size, 0);
      for (const [n, one] of others.entries()) {
        answers.set(one, this.#best(one, this.#reaching(n, one)));
      }
    }
    return asked.map((one) => answers.get(one) as NearestCandidates);
  }

  /** Of the rows that may be among the nearest those that are. */
  #best({ most, query }: Asked, { rows, known, beyond }: Reaching): NearestCandidates {
    const closeness = Float64Array.from(
      rows,
      (row) => known.get(row) ?? this.#closeness(row, query),
    );
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

  /** Rows whose bounds allow them to be among the nearest of a query of the pass. */
  #reaching(n: number, { most, query }: Asked): Reaching {
    this.#place(query);
    const known = new Map<number, number>();
    if (this.size <= most) return { ...this.#scan.gathered(n, nothingBeyond), known };
    // Those that may be the nearest tell how near the others have to be.
    const { rows } = this.#scan.gathered(n, this.#scan.reachedBy(n, most));
    for (const row of rows) {
      if (known.size >= likelyPerWanted * most) break;
      known.set(row, this.#closeness(row, query));
    }
    const least = kthLargest(Float64Array.from(known.values()), most);
    return { ...this.#scan.gathered(n, least), known };
  }

  /** Of rows that may be near by what they are along the axes those that may be by all they are. */
  #nearer({ rows, known: before, beyond }: Reaching, { most, query }: Asked): Reaching {
    const bounds = this.#scan.coarseBounds(rows, query.coarse);
    // Again those that may be the nearest tell how near the others have to be.
    const known = new Map(before);
    const high = rows.length > most ? kthLargest(bounds, most) : nothingBeyond;
    for (const [i, row] of rows.entries()) {
      if ((bounds[i] as number) < high || known.has(row)) continue;
      if (known.size >= before.size + likelyPerWanted * most) break;
      known.set(row, this.#closeness(row, query));
    }
    const least = rows.length > most ? kthLargest(Float64Array.from(known.values()), most) : high;
    let missed = beyond;
    const left = rows.filter((row, i) => {
      const bound = bounds[i] as number;
      if (bound >= least || known.has(row)) return true;
      missed = Math.max(missed, bound);
      return false;
    });
    return { rows: left, known, beyond: missed };
  }

  #lead({ unit, ofCentre }: KnownQuery): Comparison {
    const along = this.#leadOf(unit);
    return leadComparison(along, this.#memory.leadLength, ofCentre, this.#rounding);
  }

  #closeness(row: number, { length }: Pick<KnownQuery, "length">): number {
    const { at, dots, length: components } = this.#memory;
    const product = dots.product(this.#memory.fullAt(row), at.fullQuery, components);
    const similarity = product / ((this.#lengths[row] as number) * length);
    return Math.fround(Math.max(-1, Math.min(1, similarity)));
  }

  /** Puts a query where rows are compared with it in full. */
  #place({ values }: Pick<KnownQuery, "values">): void {
    const { at, buffer, length } = this.#memory;
    new Float64Array(buffer, at.fullQuery, length).set(values);
  }

  #grow(): void {
    this.#memory.grow();
    const lengths = new Float64Array(this.#memory.capacity);
    lengths.set(this.#lengths);
    this.#lengths = lengths;
  }
}

/** Of the rows that are compared first, for each that is wanted: equal vectors may make them many. */
const likelyPerWanted = 4;

/** An id as a string and in a map, and what is known of its row. */
const bytesBesideRow = 170;

/** A question of a pass. */
interface Asked {
  readonly most: number;
  readonly query: KnownQuery;
}

/** Rows that may be among the nearest. */
interface Reaching {
  readonly rows: readonly number[];
  /** How near some of them are. */
  readonly known: ReadonlyMap<number, number>;
  /** No other row is above. */
  readonly beyond: number;
}
