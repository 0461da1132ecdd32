import type { Collection } from "./collection.ts";
import type {
  NewDocument,
  NewVector,
  StoredDocument,
  VectorOutcome,
  WriteResult,
} from "./document.ts";
import type { Filter } from "./filter.ts";
import type { Hit, SearchQuery } from "./search.ts";

/** Documents to write, each of them valid, no given id twice, and of the collection's dimension. */
export interface DocumentWrite {
  readonly collection: string;
  /** The model of the vectors; needed where a document has one. */
  readonly model: string | undefined;
  readonly documents: readonly NewDocument[];
}

/** Documents to write whole or not at all, and others to delete with them. */
export interface Replacement extends DocumentWrite {
  /** None of them is among the documents. */
  readonly deleteIds: readonly string[];
}

export interface ReplacementResult {
  /** False where a document was refused: nothing was written or deleted then. */
  readonly committed: boolean;
  /** One a document, in their order. */
  readonly results: readonly WriteResult[];
  /** How many of the ids were there, expired ones not counted. */
  readonly deleted: number;
}

/** Vectors for documents that exist, no id twice, and each of the collection's dimension. */
export interface VectorWrite {
  readonly collection: string;
  readonly model: string;
  readonly vectors: readonly NewVector[];
}

export interface ListQuery {
  readonly filter: Filter | undefined;
  /** Only ids above this one; undefined: from the first. */
  readonly after: string | undefined;
  /** At most this many; fewer where they would be too large for one message. */
  readonly limit: number;
  readonly includeVectors: boolean;
}

export interface DocumentPage {
  readonly documents: readonly StoredDocument[];
  /** Whether there are others after these. */
  readonly more: boolean;
}

export type Selection =
  | { readonly by: "ids"; readonly ids: readonly string[] }
  | { readonly by: "filter"; readonly filter: Filter }
  | { readonly by: "all" };

/**
 * Where collections and documents are kept. Every promise here is a case of the conformance suite.
 *
 * - A tenant's call neither sees nor touches another tenant's documents.
 * - An expired document is never returned or counted, and stands in no write's way.
 * - Every method ends early, with the signal's reason or an AbortError, when its signal aborts;
 *   the database then does not work on either.
 * - All fail with CollectionNotFoundError where there is no such collection, and with
 *   DependencyUnavailableError while the database does not answer.
 */
export interface DocumentStore {
  collection(name: string, signal?: AbortSignal): Promise<Collection>;

  /** By name, those above `after`. */
  collections(
    after: string | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<Collection[]>;

  /**
   * Writes all documents in one transaction, committed when this resolves; one result a document,
   * in their order. Any number of concurrent writers leave no two documents of equal content in
   * one scope. The first vector of a collection without a model claims it for `model`; fails with
   * ModelMismatchError, and writes nothing, where the collection has another one.
   * A replaced document of the same content keeps its vector where the write brings none. A
   * de-duplicated one gives its vector to a holder that has none, and its expiry where that is
   * later. Fails with WriteConflictError where others keep changing the same documents.
   */
  write(tenant: string, write: DocumentWrite, signal?: AbortSignal): Promise<WriteResult[]>;

  /**
   * Deletes first and then writes as `write` does, all in one transaction: a reader sees what was
   * there or what is there now. Where a document is refused, nothing of it happens.
   */
  replace(
    tenant: string,
    replacement: Replacement,
    signal?: AbortSignal,
  ): Promise<ReplacementResult>;

  /**
   * Gives documents their vectors, in place of those that they have, where the content is still
   * the one that the vector was made from; nothing else of a document changes but its time of
   * update. Committed when this resolves; one outcome a vector, in their order. Claims a collection
   * and fails with ModelMismatchError as `write` does.
   */
  writeVectors(tenant: string, write: VectorWrite, signal?: AbortSignal): Promise<VectorOutcome[]>;

  /**
   * Best first, equal scores by id. The filter is applied before the limit, `minScore` after
   * scoring. VECTOR skips documents without a vector; TEXT finds those that hold any word of the
   * query; HYBRID takes the best of both and knows both parts of each. Where the hits have more
   * bytes than `maxBytes`, only the best that fit are read, and one at least. Fails with
   * DimensionMismatchError or ModelMismatchError.
   */
  search(
    tenant: string,
    collection: string,
    query: SearchQuery,
    signal?: AbortSignal,
  ): Promise<Hit[]>;

  /**
   * In the order of the ids, unknown ones left out. Fails with AnswerTooLargeError, before any is
   * read, where they are too large for one message.
   */
  get(
    tenant: string,
    collection: string,
    ids: readonly string[],
    includeVectors: boolean,
    signal?: AbortSignal,
  ): Promise<StoredDocument[]>;

  /** By id, ascending by code point. */
  list(
    tenant: string,
    collection: string,
    query: ListQuery,
    signal?: AbortSignal,
  ): Promise<DocumentPage>;

  count(
    tenant: string,
    collection: string,
    filter: Filter | undefined,
    signal?: AbortSignal,
  ): Promise<bigint>;

  /** Returns how many there were; expired ones go too and are not counted. */
  delete(
    tenant: string,
    collection: string,
    selection: Selection,
    signal?: AbortSignal,
  ): Promise<bigint>;
}
