const mebibyte = 1024 * 1024;

/**
 * Bytes of documents in one answer, by the store's estimate, which is never too low. A message
 * holds 16 MiB, and who asks may pass on what is found with something of its own.
 */
export const maxAnswerBytes = 12 * mebibyte;

/** As maxAnswerBytes, where the caller names the documents and cannot do with fewer. */
export const maxReadBytes = 15 * mebibyte;

/**
 * Divides an answer among searches. Each has an equal share; a best hit that is larger than that
 * finds room in what is left beside the shares of those that are not done yet.
 */
export class AnswerBudget {
  /** Bytes that each search may always use. */
  readonly share: number;
  #pending: number;
  #left = maxReadBytes;

  constructor(searches: number) {
    this.share = Math.floor(maxAnswerBytes / searches);
    this.#pending = searches;
  }

  /** Ends one search; false where the `bytes` of its hits have no room. */
  finish(bytes: number): boolean {
    this.#pending -= 1;
    if (bytes > this.share && bytes > this.#left - this.#pending * this.share) return false;
    this.#left -= bytes;
    return true;
  }
}
