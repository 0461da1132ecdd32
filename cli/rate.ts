const windowMs = 15_000;

/** How fast a count grows, by its last seconds: what came before tells little of what is left. */
export class Rate {
  readonly #samples: { readonly at: number; readonly value: number }[] = [];

  /** `at` in milliseconds, never less than before. */
  add(value: number, at: number): void {
    const last = this.#samples.at(-1);
    // A count that begins anew is another count.
    if (last !== undefined && value < last.value) this.#samples.length = 0;
    this.#samples.push({ at, value });
    while (this.#samples.length > 2 && (this.#samples[1]?.at ?? at) <= at - windowMs) {
      this.#samples.shift();
    }
  }

  /** A second; 0 while that is not known. */
  get perSecond(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.at <= first.at) return 0;
    return ((last.value - first.value) * 1000) / (last.at - first.at);
  }
}
