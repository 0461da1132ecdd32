/** More would tell little more. */
const mostWords = 16;

/**
 * Sketches of vectors that are quick to compare: each is turned by the same random rotation (signs,
 * then a Hadamard transform), and of every component only the sign is kept. The share of signs that
 * differ grows with the angle between two vectors, however their components are distributed.
 */
export class SignSketch {
  /** Words of 32 signs in one sketch. */
  readonly words: number;
  readonly #signs: Float32Array;
  readonly #turned: Float32Array;

  constructor(dimension: number) {
    const length = Math.max(32, 2 ** Math.ceil(Math.log2(Math.max(1, dimension))));
    this.words = Math.min(mostWords, length / 32);
    // The same for every matrix of this dimension; any fixed mixture will do.
    let state = 0x9e3779b9;
    this.#signs = Float32Array.from({ length: dimension }, () => {
      state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x7f4a7c15) >>> 0;
      return state & 0x10000 ? 1 : -1;
    });
    this.#turned = new Float32Array(length);
  }

  /** Writes the sketch of a vector into `target`. */
  write(vector: Float32Array, target: Uint32Array, offset: number): void {
    const turned = this.#turned;
    turned.fill(0);
    for (let at = 0; at < this.#signs.length; at++) {
      turned[at] = (vector[at] ?? 0) * (this.#signs[at] as number);
    }
    hadamard(turned);
    for (let word = 0; word < this.words; word++) {
      let bits = 0;
      for (let bit = 0; bit < 32; bit++) {
        if ((turned[word * 32 + bit] as number) > 0) bits |= 1 << bit;
      }
      target[offset + word] = bits;
    }
  }

  /** How many signs of a sketch in `block` differ from those of `query`. */
  distance(block: Uint32Array, offset: number, query: Uint32Array): number {
    let differing = 0;
    for (let word = 0; word < query.length; word++) {
      let bits = (block[offset + word] as number) ^ (query[word] as number);
      bits -= (bits >>> 1) & 0x55555555;
      bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
      bits = (bits + (bits >>> 4)) & 0x0f0f0f0f;
      differing += Math.imul(bits, 0x01010101) >>> 24;
    }
    return differing;
  }
}

/** In place and without scaling, which does not change signs. */
function hadamard(values: Float32Array): void {
  for (let half = 1; half < values.length; half *= 2) {
    for (let from = 0; from < values.length; from += half * 2) {
      for (let at = from; at < from + half; at++) {
        const a = values[at] as number;
        const b = values[at + half] as number;
        values[at] = a + b;
        values[at + half] = a - b;
      }
    }
  }
}
