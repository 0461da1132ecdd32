/** Keeps the best so many of any number of items, in order. */
export class Best<T> {
  readonly #limit: number;
  readonly #compare: (a: T, b: T) => number;
  readonly #items: T[] = [];

  /** `compare` is negative where `a` is better. */
  constructor(limit: number, compare: (a: T, b: T) => number) {
    this.#limit = limit;
    this.#compare = compare;
  }

  add(item: T): void {
    const worst = this.#items.at(-1);
    if (this.#items.length >= this.#limit) {
      if (worst === undefined || this.#compare(item, worst) >= 0) return;
      this.#items.pop();
    }
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#items[middle];
      if (other !== undefined && this.#compare(other, item) <= 0) low = middle + 1;
      else high = middle;
    }
    this.#items.splice(low, 0, item);
  }

  /** What the next one must be better than; undefined while there is room for any. */
  get worst(): T | undefined {
    return this.#items.length < this.#limit ? undefined : this.#items.at(-1);
  }

  get items(): readonly T[] {
    return this.#items;
  }
}
