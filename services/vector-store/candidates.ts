import type { ScoringFacts } from "./text-plan.ts";

/** What the memory of a scope is asked: by a vector, by words, or both. */
export interface Question {
  readonly vector: ArrayLike<number> | undefined;
  readonly facts: ScoringFacts | undefined;
  /** How many of the best by either are wanted at least. */
  readonly most: number;
}

/** What the best of a scope are among, as it was when the snapshot was taken. */
export interface Candidates {
  readonly snapshot: string;
  readonly ids: readonly string[];
  /** Of each: where its row was; it may be elsewhere by now. */
  readonly places: readonly number[];
  /** Of each: its cosine similarity, of single precision; undefined where it has no vector. */
  readonly closeness: readonly (number | undefined)[];
  /** Of each: its score by words, of single precision. */
  readonly textScores: readonly number[];
  /** Undefined: not asked by a vector. No other document is nearer than `beyond`. */
  readonly vector: { readonly beyond: number } | undefined;
  /** Undefined: not asked by words. */
  readonly text: CandidatesByWords | undefined;
}

export interface CandidatesByWords {
  readonly facts: ScoringFacts;
  /** No other document has a higher score. */
  readonly beyond: number;
  /** No other document holds any of the lexemes. */
  readonly complete: boolean;
}
