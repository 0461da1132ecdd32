/** Parts of the range; a threshold is at most one of them too low. */
const parts = 2_048;

/** Of a part: more than what stands at its lower end can be below it by rounding. */
const margin = 1e-6;

/** Counts numbers, so as to tell without sorting them one that at least so many reach. */
export class Threshold {
  readonly #counts = new Uint32Array(parts);
  readonly #least: number;
  readonly #scale: number;

  /** For numbers of this range; one outside of it is not counted. */
  constructor(least: number, most: number) {
    this.#least = least;
    this.#scale = (parts - 1) / (most - least);
  }

  clear(): void {
    this.#counts.fill(0);
  }

  add(value: number): void {
    const part = ((value - this.#least) * this.#scale) | 0;
    this.#counts[part] = (this.#counts[part] as number) + 1;
  }

  /** At least `k` of the numbers are not below it; the least of the range where there are fewer. */
  reachedBy(k: number): number {
    let reached = 0;
    for (let part = parts - 1; part > 0; part--) {
      reached += this.#counts[part] as number;
      if (reached >= k) return this.#least + (part - margin) / this.#scale;
    }
    return this.#least;
  }
}
