import { kthLargest } from "./kth-largest.ts";
import { bm25, type ScoringFacts, weighted } from "./text-plan.ts";

/** How often each lexeme stands in a text. */
export type LexemeCounts = Iterable<readonly [lexeme: string, times: number]>;

/** What the best by words are among. */
export interface BestByWords {
  readonly ids: readonly string[];
  /** No document that is not among them has a score above this. */
  readonly beyond: number;
  /** Every document with one of the lexemes is among them. */
  readonly complete: boolean;
  /** The score of any document, 0 to 1, of single precision: 0 without any of the lexemes. */
  scoreOf(id: string): number;
}

/** A posting is a row and, in its lowest bits, how often the lexeme stands there: 255 at most. */
const timesRange = 256;

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
  readonly #lengths: number[] = [];
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
    this.#lengths.push(length);
    this.#length += length;
    for (const [lexeme, times] of lexemes) {
      const posting = row * timesRange + Math.min(times, timesRange - 1);
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
    this.#length -= this.#lengths[row] ?? 0;
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
    // What a caller sees as equal is equal here.
    const scores = Float32Array.from(this.#scores(facts));
    const scoreOf = (id: string) => {
      const row = this.#rows.get(id);
      return row === undefined ? 0 : Math.min(1, scores[row] as number);
    };
    const enough = this.#ids.length > most;
    // 0 where fewer than so many have any score.
    const least = enough ? kthLargest(scores, most) : 0;
    const ids: string[] = [];
    let missed = 0;
    for (let row = 0; row < scores.length; row++) {
      const score = scores[row] as number;
      if (score > 0 && score >= least) ids.push(this.#ids[row] as string);
      else if (score > missed) missed = score;
    }
    const complete = missed === 0;
    return { ids, beyond: complete ? 0 : missed + rounding, complete, scoreOf };
  }

  #scores({ lexemes, statistics: { meanLength } }: ScoringFacts): Float64Array {
    const { k1, b } = bm25;
    const scores = new Float64Array(this.#ids.length);
    for (const { lexeme, share } of lexemes) {
      for (const posting of this.#postings.get(lexeme) ?? []) {
        const times = posting % timesRange;
        const row = (posting - times) / timesRange;
        const length = this.#lengths[row] as number;
        const score = (share * times) / (times + k1 * (1 - b + (b * length) / meanLength));
        scores[row] = (scores[row] as number) + score;
      }
    }
    if (this.size < this.#ids.length) {
      for (const [row, id] of this.#ids.entries()) if (id === undefined) scores[row] = 0;
    }
    return scores;
  }
}
