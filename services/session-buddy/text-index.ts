const k1 = 1.2;
const b = 0.75;

interface Postings {
  readonly documents: number[];
  readonly counts: number[];
}

/** Which documents a search considers. */
export type Scope = (document: number) => boolean;

/**
 * An inverted index in memory, ranked by BM25. A document is a number, given in order of adding.
 */
export class TextIndex {
  readonly #postings = new Map<string, Postings>();
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
        this.#postings.set(word, { documents: [document], counts: [1] });
        continue;
      }
      const { documents, counts } = postings;
      const last = documents.length - 1;
      if (documents[last] === document) counts[last] = (counts[last] ?? 0) + 1;
      else {
        documents.push(document);
        counts.push(1);
      }
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
  search(queryWords: Iterable<string>, scope?: Scope): Map<number, number> {
    const scores = new Map<number, number>();
    const { size, totalLength } = this.#statistics(scope);
    const averageLength = totalLength / size;
    let bound = 0;
    for (const word of new Set(queryWords)) {
      const occurrences = this.#occurrences(word, scope);
      const frequency = occurrences.length;
      const idf = Math.log(1 + (size - frequency + 0.5) / (frequency + 0.5));
      bound += idf * (k1 + 1);
      for (const [document, count] of occurrences) {
        const relativeLength = (this.#lengths[document] ?? 0) / averageLength;
        const weight = (count * (k1 + 1)) / (count + k1 * (1 - b + b * relativeLength));
        scores.set(document, (scores.get(document) ?? 0) + idf * weight);
      }
    }
    for (const [document, score] of scores) scores.set(document, score / bound);
    return scores;
  }

  #statistics(scope: Scope | undefined): { size: number; totalLength: number } {
    if (scope === undefined) return { size: this.#lengths.length, totalLength: this.#totalLength };
    let size = 0;
    let totalLength = 0;
    this.#lengths.forEach((length, document) => {
      if (!scope(document)) return;
      size++;
      totalLength += length;
    });
    return { size, totalLength };
  }

  #occurrences(word: string, scope: Scope | undefined): [document: number, count: number][] {
    const postings = this.#postings.get(word);
    if (postings === undefined) return [];
    const found: [number, number][] = [];
    postings.documents.forEach((document, at) => {
      if (scope?.(document) ?? true) found.push([document, postings.counts[at] ?? 0]);
    });
    return found;
  }
}
