import type { Similarities } from "./vector-matrix.ts";

/** A content and its vector. */
export interface IndexedContent {
  /** SHA-256 of the content. */
  readonly hash: string;
  readonly vector: readonly number[];
}

/**
 * Vectors of record contents by one of our own models; a cache that can be rebuilt at any time,
 * kept outside Session-Buddy's file. A content is known by its hash: an edited record is a new
 * content, and equal records share one vector.
 */
export interface SideIndex {
  /** The model whose vectors are kept; undefined before the first. */
  readonly model: string | undefined;
  /** Components of its vectors; undefined before the first. */
  readonly dimension: number | undefined;
  /** How many contents have a vector. */
  readonly size: number;
  /** True when this content has a vector. */
  has(hash: string): boolean;
  /** Takes another model's side: all vectors of the former one are dropped. */
  setModel(model: string): Promise<void>;
  /** Durable when it resolves. Vectors must be of `model`; a hash that is there already is skipped. */
  add(contents: readonly IndexedContent[], signal?: AbortSignal): Promise<void>;
  /** Drops contents that no record has any more. */
  retain(isWanted: (hash: string) => boolean): Promise<void>;
  /** Compares the vector with those of contents, given by their hashes; the list may grow. */
  similarities(vector: readonly number[], hashes: readonly string[]): Similarities;
}
