import { kthLargest } from "./kth-largest.ts";
import { bm25, type ScoringFacts, weighted } from "./text-plan.ts";
import { Threshold } from "./threshold.ts";

/** How often each lexeme stands in a text. */
export type LexemeCounts = Iterable<readonly [lexeme: string, times: number]>;

/** What the best by words are among. */
export interface BestByWords {
  readonly ids: readonly string[];
  /** Of each of them, as `scoreOf`. */
  readonly scores: readonly number[];
  /** No document that is not among them has a score above this. */
  readonly beyond: number;
  /** Every document with one of the lexemes is among them. */
  readonly complete: boolean;
  /**
   * The score of any document, 0 to 1, of single precision: 0 without any of the lexemes. Not to be
   * asked any more once others are searched for.
   */
  scoreOf(id: string): number;
}

/** A posting is a row and, in its lowest 8 bits, how often the lexeme stands there: 255 at most. */
const timesBits = 8;
const mostTimes = 2 ** timesBits - 1;

/** Rows that a posting has bits for, so that it is a small integer. */
export const mostRows = 2 ** (31 - timesBits);

/** A string in a map, and a row's numbers; a lexeme with its list; a posting. */
const bytesOfRow = 200;
const bytesOfLexeme = 150;
const bytesOfPosting = 8;

/** More than sums in another order differ. */
const rounding = 1e-6;

/** Which documents of a scope hold which words, for BM25. */
export class WordIndex {
  readonly #ids: (string | undefined)[] = [];
  readonly #rows = new Map<string, number>();
  /** Occurrences of lexemes in each; infinite for one that is gone, so that it scores 0. */
  #lengths = new Float64Array(0);
  #scores = new Float64Array(0);
  readonly #threshold = new Threshold(0, 1);
  readonly #postings = new Map<string, number[]>();
  #postingCount = 0;
  /** Occurrences of lexemes in all documents. */
  #length = 0;

  get size(): number {
    return this.#rows.size;
  }

  /** Memory that it takes, about. */
  get bytes(): number {
    return (
      this.#ids.length * bytesOfRow +
      this.#postings.size * bytesOfLexeme +
      this.#postingCount * bytesOfPosting
    );
  }

  /** How many rows are of documents that have changed or gone, for each that is in use. */
  get waste(): number {
    return (this.#ids.length - this.size) / Math.max(1, this.size);
  }

  /** `length` is how many occurrences of lexemes the text has. */
  set(id: string, length: number, lexemes: LexemeCounts): void {
    this.delete(id);
    const row = this.#ids.length;
    this.#ids.push(id);
    this.#rows.set(id, row);
    if (row >= this.#lengths.length) this.#grow();
    this.#lengths[row] = length;
    this.#length += length;
    for (const [lexeme, times] of lexemes) {
      const posting = (row << timesBits) | Math.min(times, mostTimes);
      const list = this.#postings.get(lexeme);
      if (list === undefined) this.#postings.set(lexeme, [posting]);
      else list.push(posting);
      this.#postingCount += 1;
    }
  }

  /** Its row stays, and counts in how often its lexemes stand anywhere. */
  delete(id: string): void {
    const row = this.#rows.get(id);
    if (row === undefined) return;
    this.#rows.delete(id);
    this.#ids[row] = undefined;
    this.#length -= this.#lengths[row] as number;
    this.#lengths[row] = Number.POSITIVE_INFINITY;
  }

  /** How much each lexeme counts in this scope. */
  facts(lexemes: readonly string[]): ScoringFacts {
    const documents = this.size;
    const statistics = { documents, meanLength: this.#length / Math.max(1, documents) };
    const frequencies = new Map(
      lexemes.map((lexeme) => [lexeme, this.#postings.get(lexeme)?.length ?? 0]),
    );
    return { lexemes: weighted(documents, frequencies), statistics };
  }

  /** At least the `most` best, and those that are as good. */
  best(facts: ScoringFacts, most: number): BestByWords {
    this.#score(facts);
    const scores = this.#scores;
    const count = this.#ids.length;
    const scoreOf = (id: string) => {
      const row = this.#rows.get(id);
      return row === undefined ? 0 : (scores[row] as number);
    };
    const threshold = this.#threshold;
    threshold.clear();
    for (let row = 0; row < count; row++) {
      const score = scores[row] as number;
      if (score === 0) continue;
      // What a caller sees as equal is equal here.
      const told = Math.fround(Math.min(1, score));
      scores[row] = told;
      threshold.add(told);
    }
    const reached = threshold.reachedBy(most);
    const rows: number[] = [];
    let missed = 0;
    for (let row = 0; row < count; row++) {
      const score = scores[row] as number;
      if (score > 0 && score >= reached) rows.push(row);
      else if (score > missed) missed = score;
    }
    const scored = Float64Array.from(rows, (row) => scores[row] as number);
    const least = rows.length > most ? kthLargest(scored, most) : 0;
    const ids: string[] = [];
    const best: number[] = [];
    for (const [i, row] of rows.entries()) {
      const score = scored[i] as number;
      if (score >= least) {
        ids.push(this.#ids[row] as string);
        best.push(score);
      } else if (score > missed) missed = score;
    }
    const complete = missed === 0;
    return { ids, scores: best, beyond: complete ? 0 : missed + rounding, complete, scoreOf };
  }

  /** Of each row. */
  #score({ lexemes, statistics: { meanLength } }: ScoringFacts): void {
    const { k1, b } = bm25;
    const scores = this.#scores.fill(0, 0, this.#ids.length);
    const lengths = this.#lengths;
    const always = k1 * (1 - b);
    const perLength = (k1 * b) / meanLength;
    for (const { lexeme, share } of lexemes) {
      const postings = this.#postings.get(lexeme);
      if (postings === undefined) continue;
      for (let i = 0; i < postings.length; i++) {
        const posting = postings[i] as number;
        const times = posting & mostTimes;
        const row = posting >>> timesBits;
        const length = lengths[row] as number;
        const score = (share * times) / (times + always + perLength * length);
        scores[row] = (scores[row] as number) + score;
      }
    }
  }

  #grow(): void {
    const lengths = new Float64Array(Math.max(1_024, 2 * this.#lengths.length));
    lengths.set(this.#lengths);
    this.#lengths = lengths;
    this.#scores = new Float64Array(lengths.length);
  }
}
