import type { StoredDocument } from "./document.ts";
import type { Filter } from "./filter.ts";
import type { TextRange } from "./passage.ts";

/**
 * How much the vector part weighs in a hybrid score where the query does not say; the text part
 * weighs the rest. Chosen by figures: docs/retrieval.md.
 */
export const defaultVectorWeight = 0.6;

/** How many candidates each leg of a hybrid search brings. */
export function hybridCandidates(limit: number): number {
  return Math.max(4 * limit, 50);
}

export type SearchBy =
  | { readonly mode: "vector"; readonly vector: ArrayLike<number> }
  | { readonly mode: "text"; readonly text: string }
  | {
      readonly mode: "hybrid";
      readonly vector: ArrayLike<number>;
      readonly text: string;
      /** 0 to 1; undefined: `defaultVectorWeight`. */
      readonly vectorWeight?: number | undefined;
    };

/** A search whose every part is within its bounds. */
export type SearchQuery = SearchBy & {
  /** Undefined: every document. */
  readonly filter: Filter | undefined;
  /** 1 to 1,000. */
  readonly limit: number;
  /** 0 to 1. */
  readonly minScore: number;
  /** The model that made the vector; undefined: not checked. */
  readonly model: string | undefined;
  readonly includeVectors: boolean;
  /** Fewer hits than `limit` where more would have more bytes than this, but one; 1 or more. */
  readonly maxBytes: number;
  /** Compare every vector of the scope, whatever it takes; default false. */
  readonly exact?: boolean;
};

/** A document found, with scores of 0 to 1. */
export interface Hit {
  readonly document: StoredDocument;
  readonly score: number;
  readonly vectorScore: number | undefined;
  readonly textScore: number | undefined;
  /** The passage that matches best by its vector, where it is nearer than the whole. */
  readonly passage: TextRange | undefined;
  /** At most so much of a message. */
  readonly bytes: number;
}
