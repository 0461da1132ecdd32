import type {
  Collection,
  CollectionStatistics,
  IndexOrder,
  IndexProgress,
  NewCollection,
} from "./collection.ts";
import type {
  NewDocument,
  NewVector,
  StoredDocument,
  VectorOutcome,
  WriteResult,
} from "./document.ts";
import type { ChangeResult, DocumentChange } from "./document-change.ts";
import type { Filter } from "./filter.ts";
import type { Instant } from "./instant.ts";
import type { Hit, SearchQuery } from "./search.ts";

/** Documents to write, each of them valid, no given id twice, and of the collection's dimension. */
export interface DocumentWrite {
  readonly collection: string;
  /** The model of the vectors; needed where a document has one. */
  readonly model: string | undefined;
  readonly documents: readonly NewDocument[];
  /** The caller believes that neither ids nor contents are there; default false. */
  readonly idsAreNew?: boolean;
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

/** A change of one document, and the model of its vector where it has one. */
export interface ChangeWrite {
  readonly collection: string;
  readonly model: string | undefined;
  readonly change: DocumentChange;
}

/** By what documents are listed; equal times by id. */
export interface ListOrder {
  readonly by: "id" | "create_time" | "update_time";
  readonly descending: boolean;
}

export interface ListQuery {
  readonly filter: Filter | undefined;
  /** Absent: by id. */
  readonly order?: ListOrder;
  /** Only those that stand behind this id in the order; undefined: from the first. */
  readonly after: string | undefined;
  /** The time of the document `after`, where the order is by one. */
  readonly afterTime?: Instant | undefined;
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
 * - All fail with CollectionNotFoundError where there is no such collection, or it is deleted
 *   meanwhile, and with DependencyUnavailableError while the database does not answer.
 * - What one process changes of a collection, another one knows at most two seconds later.
 */
export interface DocumentStore {
  collection(name: string, signal?: AbortSignal): Promise<Collection>;

  /** The collection as it is now, and what the database knows of its documents. */
  describe(
    name: string,
    signal?: AbortSignal,
  ): Promise<{ readonly collection: Collection; readonly statistics: CollectionStatistics }>;

  /**
   * Makes a collection without an index. Fails with CollectionExistsError, and with
   * TooManyCollectionsError.
   */
  createCollection(collection: NewCollection, signal?: AbortSignal): Promise<Collection>;

  /**
   * Deletes a collection and all its documents. Fails with CollectionProtectedError for the default
   * one, with IndexBuildRunningError, and with SqlError CONFLICT where others use it for too long.
   */
  deleteCollection(name: string, signal?: AbortSignal): Promise<void>;

  /**
   * Builds an index in place of the one that is there, which serves until then. The last progress
   * has `built`. Who stops listening, or aborts, cancels the build, and nothing of it is left.
   * Fails with IndexBuildRunningError, TooFewRowsError, and PoolTooSmallError.
   */
  buildIndex(
    collection: string,
    order: IndexOrder,
    signal?: AbortSignal,
  ): AsyncGenerator<IndexProgress>;

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
   * Changes fields of one document, committed when this resolves; its scope of de-duplication
   * stays. Of two changes that name the same time of update one is made. Claims a collection and
   * fails with ModelMismatchError as `write` does.
   */
  change(tenant: string, write: ChangeWrite, signal?: AbortSignal): Promise<ChangeResult>;

  /**
   * Best first, equal ones by id, and never fewer than there are, up to the limit: where an index
   * brings too few, every vector is compared. The filter is applied before the limit, `minScore`
   * after scoring. VECTOR skips documents without a vector; TEXT finds those that hold any word of the
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

  /** In the order asked for; ids by code point. */
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

  /** Removes at most `limit` expired documents of all tenants for good; returns how many. */
  removeExpired(collection: string, limit: number, signal?: AbortSignal): Promise<number>;
}
