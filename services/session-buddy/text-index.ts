const k1 = 1.2;
const b = 0.9;
/** A posting is a document and how often it has the word, in one number that stays small. */
const countRange = 256;

/** Which documents a search considers. */
export interface Scope {
  /** 1 for each document that belongs. */
  readonly mask: Uint8Array;
  readonly size: number;
}

/** The scores of a search, by document. */
export interface TextScores {
  /** Documents that hold any of the words. */
  readonly documents: readonly number[];
  get(document: number): number | undefined;
}

/**
 * An inverted index in memory, ranked by BM25. A document is a number, given in order of adding.
 */
export class TextIndex {
  readonly #postings = new Map<string, number[]>();
  readonly #lengths: number[] = [];
  #totalLength = 0;

  get size(): number {
    return this.#lengths.length;
  }

  /** Adds a document by its words, repeated ones too; returns its number. */
  add(words: readonly string[]): number {
    const document = this.#lengths.length;
    for (const word of words) {
      const postings = this.#postings.get(word);
      if (postings === undefined) {
        this.#postings.set(word, [document * countRange + 1]);
        continue;
      }
      const last = postings[postings.length - 1] ?? -1;
      if (Math.floor(last / countRange) !== document) postings.push(document * countRange + 1);
      // A word that comes more often than this weighs what it weighs now.
      else if (last % countRange < countRange - 1) postings[postings.length - 1] = last + 1;
    }
    this.#lengths.push(words.length);
    this.#totalLength += words.length;
    return document;
  }

  /**
   * Every document of the scope that holds any of the words, with its score: BM25 with the scope's
   * statistics, divided by its upper bound for these words, sum of idf * (k1 + 1). It is above 0
   * and below 1 and the same measure as the vector store's text score. A word that no document
   * holds counts in the bound too.
   */
  search(queryWords: Iterable<string>, scope?: Scope): TextScores {
    const scores = new Float64Array(this.size);
    const documents: number[] = [];
    const size = scope?.size ?? this.size;
    const averageLength = this.#totalLengthOf(scope) / size;
    let bound = 0;
    for (const word of new Set(queryWords)) {
      const postings = this.#postings.get(word) ?? [];
      const frequency = scope === undefined ? postings.length : countIn(postings, scope);
      const idf = Math.log(1 + (size - frequency + 0.5) / (frequency + 0.5));
      bound += idf * (k1 + 1);
      for (const posting of postings) {
        const document = Math.floor(posting / countRange);
        if (scope !== undefined && scope.mask[document] !== 1) continue;
        const count = posting % countRange;
        const relativeLength = (this.#lengths[document] ?? 0) / averageLength;
        const weight = (count * (k1 + 1)) / (count + k1 * (1 - b + b * relativeLength));
        if (scores[document] === 0) documents.push(document);
        scores[document] = (scores[document] ?? 0) + idf * weight;
      }
    }
    return {
      documents,
      get: (document) => {
        const score = scores[document] ?? 0;
        return score === 0 ? undefined : score / bound;
      },
    };
  }

  #totalLengthOf(scope: Scope | undefined): number {
    if (scope === undefined) return this.#totalLength;
    let total = 0;
    for (let document = 0; document < this.#lengths.length; document++) {
      if (scope.mask[document] === 1) total += this.#lengths[document] ?? 0;
    }
    return total;
  }
}

function countIn(postings: readonly number[], { mask }: Scope): number {
  let count = 0;
  for (const posting of postings) if (mask[Math.floor(posting / countRange)] === 1) count++;
  return count;
}
