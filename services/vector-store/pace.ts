/** Products between two pauses: one or two milliseconds of the processor's vector unit. */
const productsPerPause = 8_000_000;

/** How many products of a loop in JavaScript take as long as one of the vector unit's. */
export const slowProduct = 8;

/** Tells long work when to let others have their turn. */
export class Pace {
  #done = 0;

  /** Whether a pause is due after so many more products. */
  isDue(products: number): boolean {
    this.#done += products;
    if (this.#done < productsPerPause) return false;
    this.#done = 0;
    return true;
  }
}
