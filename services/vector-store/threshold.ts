/** Parts of the range; a threshold is at most one of them too low. */
export const parts = 2_048;

/** Of a part: more than what stands at its lower end can be below it by rounding. */
const margin = 0.01;

/** Counts numbers, so as to tell without sorting them one that at least so many reach. */
export class Threshold {
  readonly least: number;
  /** Parts for 1. */
  readonly scale: number;
  readonly #counts: () => Uint32Array;

  /**
   * For numbers of this range; `add` does not count one outside of it. `counts` is where they are
   * counted, where another one does that too.
   */
  constructor(least: number, most: number, counts?: () => Uint32Array) {
    this.least = least;
    this.scale = (parts - 1) / (most - least);
    const own = new Uint32Array(counts === undefined ? parts : 0);
    this.#counts = counts ?? (() => own);
  }

  clear(): void {
    this.#counts().fill(0);
  }

  add(value: number): void {
    const counts = this.#counts();
    const part = ((value - this.least) * this.scale) | 0;
    counts[part] = (counts[part] as number) + 1;
  }

  /** At least `k` of the numbers are not below it; the least of the range where there are fewer. */
  reachedBy(k: number): number {
    const counts = this.#counts();
    let reached = 0;
    for (let part = parts - 1; part > 0; part--) {
      reached += counts[part] as number;
      if (reached >= k) return this.least + (part - margin) / this.scale;
    }
    return this.least;
  }
}
