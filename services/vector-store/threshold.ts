/** Parts of the range; a threshold is at most one of them too low. */
export const parts = 2_048;

/** Of a part: more than what stands at its lower end can be below it by rounding. */
const margin = 1e-6;

/** A range of numbers in parts, which are counted one by one. */
export interface CountedRange {
  readonly least: number;
  /** Parts for 1. */
  readonly scale: number;
}

export function rangeOf(least: number, most: number): CountedRange {
  return { least, scale: (parts - 1) / (most - least) };
}

/**
 * At least `k` of the numbers that were counted are not below it; the least of the range where there
 * are fewer. `margin` is more than the part of a part by which rounding may have counted too high.
 */
export function reachedBy(
  counts: Uint32Array,
  k: number,
  { least, scale }: CountedRange,
  margin: number,
): number {
  let reached = 0;
  for (let part = parts - 1; part > 0; part--) {
    reached += counts[part] as number;
    if (reached >= k) return least + (part - margin) / scale;
  }
  return least;
}

/** Counts numbers, so as to tell without sorting them one that at least so many reach. */
export class Threshold {
  readonly #counts = new Uint32Array(parts);
  readonly #range: CountedRange;

  /** For numbers of this range; one outside of it is not counted. */
  constructor(least: number, most: number) {
    this.#range = rangeOf(least, most);
  }

  clear(): void {
    this.#counts.fill(0);
  }

  add(value: number): void {
    const { least, scale } = this.#range;
    const part = ((value - least) * scale) | 0;
    this.#counts[part] = (this.#counts[part] as number) + 1;
  }

  /** At least `k` of the numbers are not below it; the least of the range where there are fewer. */
  reachedBy(k: number): number {
    return reachedBy(this.#counts, k, this.#range, margin);
  }
}
