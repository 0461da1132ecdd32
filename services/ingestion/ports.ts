import type { ErrorKind, ErrorReasonName } from "../../shared/errors.ts";

/** What an ingestion works for: whose data, and until when. */
export interface Work {
  readonly tenant: string;
  readonly signal: AbortSignal;
  /** Milliseconds that the caller still waits; absent: for ever. */
  readonly timeoutMs?: number | undefined;
}

/** Why one item of a batch was refused. */
export interface ItemFailure {
  readonly kind: ErrorKind;
  readonly reason: ErrorReasonName;
  readonly message: string;
}

/** A vector, or why this text has none. */
export type Embedded = { readonly vector: readonly number[] } | { readonly failure: ItemFailure };

export type EmbeddingTask = "search_document" | "search_query";

/**
 * Turns texts into vectors. Every method throws DependencyUnavailableError where the service does
 * not answer, other DomainErrors as the service reports them.
 */
export interface Embedder {
  /** The model that is used where none is named. */
  defaultModel(work: Work): Promise<string>;
  /** As many answers as texts (1 to 1,000), in their order. */
  embed(
    work: Work,
    model: string,
    task: EmbeddingTask,
    texts: readonly string[],
  ): Promise<readonly Embedded[]>;
}

/** A chunk on its way into the memory. */
export interface NewPassage {
  readonly id: string;
  readonly content: string;
  readonly vector: readonly number[];
  readonly repoId: string;
  /** Within which passages equal content counts as the same. */
  readonly dedupScope: string;
  readonly metadata: Readonly<Record<string, string | number>>;
}

/** Where a passage is kept: under which id, or why it is not. */
export type Stored = { readonly id: string } | { readonly failure: ItemFailure };

/** Which passages are looked for. */
export interface PassageQuery {
  readonly text: string;
  /** Absent: by words only. */
  readonly embedding?: { readonly model: string; readonly vector: readonly number[] } | undefined;
  /** "" matches any, here and below. */
  readonly repoId: string;
  readonly pathPrefix: string;
  readonly language: string;
  readonly limit: number;
  readonly minScore: number;
}

/** A passage that was found. */
export interface Passage {
  readonly id: string;
  readonly content: string;
  readonly contentHash: string;
  readonly score: number;
  readonly repoId: string;
  readonly filePath: string;
  /** From 1; 0 where the passage's writer did not say. */
  readonly startLine: number;
  readonly endLine: number;
  readonly language: string;
  readonly createTime: Date | undefined;
}

/**
 * Keeps passages as `rag` memories. Every method throws DependencyUnavailableError where the store
 * does not answer, other DomainErrors as it reports them.
 */
export interface PassageStore {
  /** The model that the collection belongs to; "" before its first vector. */
  model(work: Work): Promise<string>;
  /** One transaction. As many answers as passages (1 to 1,000), in their order. */
  upsert(work: Work, model: string, passages: readonly NewPassage[]): Promise<readonly Stored[]>;
  /** Deletes what is there of these ids, any number; returns how many were. */
  delete(work: Work, ids: readonly string[]): Promise<number>;
  /** Deletes every passage that ingestion has stored of a repository. */
  deleteRepository(work: Work, repoId: string): Promise<number>;
  /** How many passages ingestion has stored of a repository. */
  count(work: Work, repoId: string): Promise<number>;
  /** Best first. Filters apply before the limit (1 to 1,000). */
  search(work: Work, query: PassageQuery): Promise<readonly Passage[]>;
}
