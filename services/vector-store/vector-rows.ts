import { wasmPageBytes } from "../../shared/web-assembly.ts";
import { type DotProduct, dotProduct } from "./dot-product.ts";
import { type RowBounds, rowBounds } from "./row-bounds.ts";
import { parts } from "./threshold.ts";

/** Rows that are compared by one call, and that room is made for at once. */
export const blockRows = 1_024;

/** Queries that are compared by one pass over all rows. */
export const queriesAtOnce = 4;

/** A number of each row of a block: columns stand so far apart. */
export const columnBytes = 4 * blockRows;

/** Of a row of 8 bits: what one step is, and how long what the rounding took away is. */
const columnsOfCoarse = 2;
/** The same, and how long what no axis shows is. */
const columnsOfLead = 3;
const columns = columnsOfCoarse + columnsOfLead + queriesAtOnce;

/** A row as it is, with 8 bits, and along the axes with 8 bits. */
export interface RowPlanes {
  readonly full: Float32Array;
  readonly coarse: Int8Array;
  readonly lead: Int8Array;
}

/** Addresses of what does not belong to a row, and views of it. */
interface Places {
  /** Queries of 16 bits, by turns of 16 components. */
  readonly queries: number;
  /** One query by itself, of 16 bits. */
  readonly query: number;
  /** One in full, of 64 bits. */
  readonly fullQuery: number;
  /** A vector of 32 bits, and its components along the axes. */
  readonly vector: number;
  readonly lead: number;
  readonly axes: number;
  readonly products: number;
  readonly counts: number;
  readonly gathered: number;
  readonly beyond: number;
  readonly blocks: number;
}

/**
 * Memory of vectors in blocks of rows. Of each row there is the vector, the vector rounded to 8 bits,
 * what it is along some axes with 8 bits, and numbers: facts of both roundings and, for each query of
 * a pass, how near it can be at most.
 */
export class VectorRows {
  readonly dots: DotProduct;
  readonly bounds: RowBounds;
  /** Components of a row and of a row along the axes, multiples of 16. */
  readonly length: number;
  readonly leadLength: number;
  readonly at: Places;
  readonly #blockBytes: number;
  #capacity = 0;

  constructor(length: number, leadLength: number) {
    this.length = length;
    this.leadLength = leadLength;
    this.dots = dotProduct();
    this.bounds = rowBounds(this.dots.memory);
    this.#blockBytes = blockRows * rowBytes(length, leadLength);
    const sizes = {
      queries: queriesAtOnce * 2 * length,
      query: 2 * length,
      fullQuery: 8 * length,
      vector: 4 * length,
      lead: 4 * leadLength,
      axes: 4 * leadLength * length,
      products: queriesAtOnce * columnBytes,
      counts: 4 * parts,
      gathered: columnBytes,
      beyond: 16,
      blocks: 0,
    };
    let next = 0;
    const place = (bytes: number) => {
      next += bytes;
      return next - bytes;
    };
    this.at = Object.fromEntries(
      Object.entries(sizes).map(([name, bytes]) => [name, place(bytes)]),
    ) as unknown as Places;
    this.#reserve(this.at.blocks);
  }

  /** How many rows there is room for. */
  get capacity(): number {
    return this.#capacity;
  }

  get bytes(): number {
    return this.dots.memory.buffer.byteLength;
  }

  get buffer(): ArrayBuffer {
    return this.dots.memory.buffer;
  }

  /** Room for one more block. Views of the memory that was are void. */
  grow(): void {
    const capacity = this.#capacity + blockRows;
    this.#reserve(this.#blockAt(capacity));
    this.#capacity = capacity;
  }

  #reserve(bytes: number): void {
    const missing = bytes - this.bytes;
    if (missing > 0) this.dots.memory.grow(Math.ceil(missing / wasmPageBytes));
  }

  planes(row: number): RowPlanes {
    const { buffer } = this;
    return {
      full: new Float32Array(buffer, this.fullAt(row), this.length),
      coarse: new Int8Array(buffer, this.coarseAt(row), this.length),
      lead: new Int8Array(buffer, this.leadAt(row), this.leadLength),
    };
  }

  fullAt(row: number): number {
    return this.#blockAt(row) + blockRows * this.length + 4 * this.length * (row % blockRows);
  }

  coarseAt(row: number): number {
    return this.#blockAt(row) + this.length * (row % blockRows);
  }

  leadAt(row: number): number {
    return this.#blockAt(row) + 5 * blockRows * this.length + this.leadLength * (row % blockRows);
  }

  /** Step and error of a row of 8 bits, one column after the other. */
  coarseFactsAt(row: number): number {
    return this.#columnAt(0, row);
  }

  /** Step, error and rest of a row along the axes. */
  leadFactsAt(row: number): number {
    return this.#columnAt(columnsOfCoarse, row);
  }

  /** How near a row can be at most to a query of the pass. */
  boundAt(query: number, row: number): number {
    return this.#columnAt(columnsOfCoarse + columnsOfLead + query, row);
  }

  /** Puts what is known of one row in the place of another. */
  copy(from: number, to: number): void {
    const bytes = new Uint8Array(this.buffer);
    const { length, leadLength } = this;
    bytes.copyWithin(this.fullAt(to), this.fullAt(from), this.fullAt(from) + 4 * length);
    bytes.copyWithin(this.coarseAt(to), this.coarseAt(from), this.coarseAt(from) + length);
    bytes.copyWithin(this.leadAt(to), this.leadAt(from), this.leadAt(from) + leadLength);
    for (let n = 0; n < columnsOfCoarse + columnsOfLead; n++) {
      const at = this.#columnAt(n, from);
      bytes.copyWithin(this.#columnAt(n, to), at, at + 4);
    }
  }

  #blockAt(row: number): number {
    return this.at.blocks + this.#blockBytes * Math.floor(row / blockRows);
  }

  #columnAt(n: number, row: number): number {
    const rows = blockRows * (5 * this.length + this.leadLength);
    return this.#blockAt(row) + rows + n * columnBytes + 4 * (row % blockRows);
  }
}

/** What a row takes: a vector of 32 bits and of 8, along the axes of 8 bits, and its numbers. */
export function rowBytes(length: number, leadLength: number): number {
  return 5 * length + leadLength + 4 * columns;
}
