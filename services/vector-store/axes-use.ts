/** Comparing along the axes is of no use where it leaves more than this share of the rows. */
export const mostLeft = 0.25;

/** Searches for about as many that tell. */
const searchesThatTell = 16;

/** Of the rows, summed up. */
interface LeftRows {
  searches: number;
  share: number;
}

/** Whether it is of use to compare along the axes first, by what that left of the rows so far. */
export class AxesUse {
  /** By how many were wanted, in powers of 2: what is near for a few is not for many. */
  readonly #left = new Map<number, LeftRows>();

  /** For some searches at least; true where there were none. */
  get forAny(): boolean {
    return this.#left.size === 0 || [...this.#left.values()].some(isOfUse);
  }

  /** For searches of so many. */
  for(most: number): boolean {
    const left = this.#left.get(magnitude(most));
    return left === undefined || isOfUse(left);
  }

  /** A search for so many was left this share of the rows. */
  note(most: number, share: number): void {
    const left = this.#left.get(magnitude(most)) ?? { searches: 0, share: 0 };
    left.searches += 1;
    left.share += share;
    this.#left.set(magnitude(most), left);
  }
}

const magnitude = (most: number) => 32 - Math.clz32(most);

function isOfUse({ searches, share }: LeftRows): boolean {
  return searches < searchesThatTell || share <= mostLeft * searches;
}
