import type { DomainError } from "../../shared/errors.ts";

/** What a text is for; some models embed the two differently. */
export type EmbeddingTask = "document" | "query";

/** What a model is, as far as its provider has told. */
export interface EmbeddingModel {
  /** The name that requests give and that travels with every vector. */
  readonly name: string;
  readonly provider: "ollama" | "openai" | "builtin";
  /** Components of each vector; 0 while the provider has not told. */
  readonly dimension: number;
  /** True when it compares words and spellings, not meaning. */
  readonly lexical: boolean;
}

/** How a model likes its texts when many wait. */
export interface BatchShape {
  /** Texts that go into one batch. */
  readonly texts: number;
  /** UTF-16 units that go into one batch, all texts together; a longer text is a batch by itself. */
  readonly characters: number;
  /** Batches worth having under way at once; more only wait. */
  readonly concurrency: number;
  /** Batches of queries that may run beside those. Default 0. */
  readonly extraQueries?: number;
}

/** The vector of one text. */
export interface Embedded {
  /** As many components as the model's dimension, all finite, of length 1 (L2). */
  readonly vector: Float32Array;
  /** True when the model saw only the beginning of the text. */
  readonly truncated: boolean;
}

/** Why one text has no vector, while its neighbours may have theirs. */
export interface NotEmbedded {
  readonly error: DomainError;
}

export type EmbeddingOutcome = Embedded | NotEmbedded;

export function isEmbedded(outcome: EmbeddingOutcome): outcome is Embedded {
  return "vector" in outcome;
}

/**
 * Turns texts into vectors of one model. Every implementation keeps these promises, and
 * `test/conformance/embedder.test.ts` examines each one:
 *
 * - The answer has one outcome per text, in the order of the texts; no texts, no outcomes.
 * - A vector has `model.dimension` finite components and length 1. The zero vector never occurs,
 *   because it has no direction and no distance could be told from it.
 * - The same text and task give the same vector, alone or in any company, up to the rounding of
 *   the model's own arithmetic.
 * - A text that cannot be embedded has an error in its place; its neighbours have their vectors.
 * - Only what concerns all texts is thrown: DependencyUnavailableError where the provider is down,
 *   ModelNotFoundError where it has lost the model, and the signal's reason after an abort, which
 *   also ends the work. Calls may overlap.
 * - The event loop is never held for longer than some tens of milliseconds, whatever the texts.
 *
 * Texts are not blank and hold 1 MiB of UTF-8 at most; the caller has checked.
 */
export interface Embedder {
  readonly model: EmbeddingModel;
  readonly batchShape: BatchShape;
  embed(
    texts: readonly string[],
    task: EmbeddingTask,
    signal?: AbortSignal,
  ): Promise<EmbeddingOutcome[]>;
}
