import tokens from "gpt-tokenizer/bpeRanks/cl100k_base";

const slots = 1 << 18;
const empty = -1;
/** Longer words are not merged here. */
export const maxMergedLength = 48;

/**
 * The tokens of the cl100k_base vocabulary that are ASCII, found by the place where they stand in a
 * text, so that no string is made to look for one.
 */
export class AsciiVocabulary {
  /** Of each slot the number of its token, and where its characters begin. */
  readonly #ranks = new Int32Array(slots).fill(empty);
  readonly #begins = new Uint32Array(slots);
  readonly #lengths = new Uint8Array(slots);
  readonly #characters: Uint8Array;
  /** Where the parts of the word that is being merged begin, and the rank of each with the next. */
  readonly #starts = new Int32Array(maxMergedLength + 2);
  readonly #pairs = new Int32Array(maxMergedLength + 2);

  constructor() {
    const isAscii = (token: string | readonly number[]): token is string =>
      typeof token === "string" && Buffer.byteLength(token) === token.length;
    this.#characters = Buffer.from(tokens.filter(isAscii).join(""), "latin1");
    let begin = 0;
    for (const [rank, token] of tokens.entries()) {
      if (!isAscii(token)) continue;
      let slot = slotOf(hashOf(token, 0, token.length));
      while (this.#ranks[slot] !== empty) slot = slotOf(slot + 1);
      this.#ranks[slot] = rank;
      this.#begins[slot] = begin;
      this.#lengths[slot] = token.length;
      begin += token.length;
    }
  }

  /** The lower, the earlier such a token is merged; -1 where there is none. */
  rankOf(text: string, start: number, end: number): number {
    const length = end - start;
    for (let slot = slotOf(hashOf(text, start, end)); ; slot = slotOf(slot + 1)) {
      const rank = this.#ranks[slot] ?? empty;
      if (rank === empty) return empty;
      if (this.#lengths[slot] === length && this.#isAt(slot, text, start, end)) return rank;
    }
  }

  /** How many tokens an ASCII word of at most `maxMergedLength` is: by byte pair encoding. */
  count(text: string, start: number, end: number): number {
    const starts = this.#starts;
    const pairs = this.#pairs;
    let count = end - start;
    for (let at = 0; at <= count; at++) {
      starts[at] = start + at;
      pairs[at] = at + 1 < count ? this.rankOf(text, start + at, start + at + 2) : empty;
    }
    for (;;) {
      let least = empty;
      for (let at = 0; at + 1 < count; at++) {
        const rank = pairs[at] ?? empty;
        if (rank !== empty && (least === empty || rank < (pairs[least] ?? empty))) least = at;
      }
      if (least === empty) return count;
      starts.copyWithin(least + 1, least + 2, count + 1);
      pairs.copyWithin(least + 1, least + 2, count + 1);
      count--;
      pairs[least] = this.#pairRank(text, least, count);
      if (least > 0) pairs[least - 1] = this.#pairRank(text, least - 1, count);
    }
  }

  #pairRank(text: string, at: number, count: number): number {
    if (at + 1 >= count) return empty;
    return this.rankOf(text, this.#starts[at] ?? 0, this.#starts[at + 2] ?? 0);
  }

  #isAt(slot: number, text: string, start: number, end: number): boolean {
    let from = this.#begins[slot] ?? 0;
    for (let at = start; at < end; at++, from++) {
      if (this.#characters[from] !== text.charCodeAt(at)) return false;
    }
    return true;
  }
}

/** Of a part of a text. */
export function hashOf(text: string, start: number, end: number): number {
  let hash = end - start;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash ^ (hash >>> 15);
}

function slotOf(hash: number): number {
  return hash & (slots - 1);
}
