import type { ErrorKind, ErrorReasonName } from "../../shared/errors.ts";

/** What JSON can say. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json };

/** Free data, kept with a passage. */
export type Metadata = Readonly<Record<string, Json>>;

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
  /** The field of the item that is at fault; absent where no single one is. */
  readonly field?: string | undefined;
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
  readonly metadata: Metadata;
}

/** Where a passage is kept: under which id, or why it is not. */
export type Stored =
  | { readonly id: string }
  | {
      readonly failure: ItemFailure;
      /** It is as good as any, but was written with one that is not. */
      readonly follows: boolean;
    };

/** What a replacement did. */
export interface Replaced {
  /** False where a passage was refused: nothing was written or deleted then. */
  readonly committed: boolean;
  /** One a passage, in their order. */
  readonly stored: readonly Stored[];
  /** How many passages are gone. */
  readonly deleted: number;
}

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
  /** Characters that stand before it on its first line. */
  readonly startColumn: number;
  readonly endLine: number;
  readonly language: string;
  /** Which of its file's passages it is, from 0; -1 where that is not known. */
  readonly index: number;
  /** Where it stands for several: which of them is the last. */
  readonly lastIndex?: number;
  /** "" where it stands under nothing with a name. */
  readonly section: string;
  /** "" where none is known. */
  readonly commit: string;
  readonly createTime: Date | undefined;
}

/**
 * Keeps passages as `rag` memories. Every method throws DependencyUnavailableError where the store
 * does not answer, other DomainErrors as it reports them.
 */
export interface PassageStore {
  /** The model that the collection belongs to; "" before its first vector. */
  model(work: Work): Promise<string>;
  /**
   * Deletes what is there of the ids (up to 10,000, none of a passage given) and writes passages (up
   * to 1,000), in one transaction, or does nothing where one is refused.
   */
  replace(
    work: Work,
    model: string,
    passages: readonly NewPassage[],
    deleteIds: readonly string[],
  ): Promise<Replaced>;
  /** Deletes what is there of these ids, any number; returns how many were. */
  delete(work: Work, ids: readonly string[]): Promise<number>;
  /** Deletes every passage that ingestion has stored of a repository. */
  deleteRepository(work: Work, repoId: string): Promise<number>;
  /** How many passages ingestion has stored of a repository. */
  count(work: Work, repoId: string): Promise<number>;
  /** Best first. Filters apply before the limit (1 to 1,000). */
  search(work: Work, query: PassageQuery): Promise<readonly Passage[]>;
}
