import { sleep } from "../../shared/lifecycle.ts";
import type { Postgres, Queryable } from "../../shared/postgres/postgres.ts";
import { withRetry } from "../../shared/postgres/retry.ts";
import { SqlError, sqlStates } from "../../shared/postgres/sql-errors.ts";
import { maxReadBytes } from "./answer-budget.ts";
import {
  type Collection,
  type CollectionStatistics,
  type IndexOrder,
  type IndexProgress,
  type NewCollection,
  requireModel,
} from "./collection.ts";
import type { StoredDocument, VectorOutcome, WriteResult } from "./document.ts";
import type { ChangeResult } from "./document-change.ts";
import { AnswerTooLargeError, WriteConflictError } from "./errors.ts";
import type { Filter } from "./filter.ts";
import type { Hit, SearchQuery } from "./search.ts";
import { ofPlatform, type StoredCollection } from "./sql/collection-row.ts";
import { CollectionStore } from "./sql/collection-store.ts";
import { changeDocument } from "./sql/document-changes.ts";
import { type DocumentRow, documentOfRow } from "./sql/document-row.ts";
import { DocumentSearch, type SearchOptions } from "./sql/document-search.ts";
import { DocumentWrites } from "./sql/document-writes.ts";
import { IndexBuilds } from "./sql/index-builds.ts";
import { insertLone } from "./sql/insert-lone.ts";
import {
  countStatement,
  deleteStatement,
  getStatement,
  listStatement,
  removeExpiredStatement,
} from "./sql/read-sql.ts";
import { Statements } from "./sql/statements.ts";
import { writeVectors } from "./sql/vector-writes.ts";
import type {
  ChangeWrite,
  DocumentPage,
  DocumentStore,
  DocumentWrite,
  ListQuery,
  Replacement,
  ReplacementResult,
  Selection,
  VectorWrite,
} from "./store.ts";

/** How often a write begins anew because another writer took a content at the last moment. */
const writeAttempts = 5;

export interface StoreOptions extends SearchOptions {
  /** Most collections that there may be; default 100. */
  readonly maxCollections?: number;
  /** Memory for the build of an index, in MiB; default 1,024. */
  readonly buildMemoryMb?: number;
}

const storeDefaults = {
  maxCollections: 100,
  buildMemoryMb: 1_024,
} as const;

/** Collections and documents in PostgreSQL: a table for each collection. */
export class PostgresDocumentStore implements DocumentStore, AsyncDisposable {
  readonly #database: Postgres;
  readonly #collections: CollectionStore;
  readonly #builds: IndexBuilds;
  readonly #statements: Statements;
  readonly #search: DocumentSearch;

  constructor(database: Postgres, options: StoreOptions = {}) {
    this.#database = database;
    this.#collections = new CollectionStore(
      database,
      options.maxCollections ?? storeDefaults.maxCollections,
    );
    this.#builds = new IndexBuilds(database, {
      memoryMb: options.buildMemoryMb ?? storeDefaults.buildMemoryMb,
    });
    this.#statements = new Statements(database);
    this.#search = new DocumentSearch(this.#statements, options);
  }

  collection(name: string, signal?: AbortSignal): Promise<Collection> {
    return this.#collections.get(name, signal);
  }

  collections(
    after: string | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<Collection[]> {
    return this.#collections.list(after, limit, signal);
  }

  describe(
    name: string,
    signal?: AbortSignal,
  ): Promise<{ readonly collection: Collection; readonly statistics: CollectionStatistics }> {
    return this.#collections.describe(name, signal);
  }

  createCollection(collection: NewCollection, signal?: AbortSignal): Promise<Collection> {
    return this.#collections.create(collection, signal);
  }

  deleteCollection(name: string, signal?: AbortSignal): Promise<void> {
    return this.#collections.delete(name, signal);
  }

  async *buildIndex(
    name: string,
    order: IndexOrder,
    signal?: AbortSignal,
  ): AsyncGenerator<IndexProgress> {
    const collection = await this.#collections.read(this.#database, name, signal);
    try {
      yield* this.#builds.run(collection, order, signal);
    } finally {
      this.#collections.forget(name);
    }
  }

  removeLeftovers(signal: AbortSignal): Promise<void> {
    return this.#builds.removeLeftovers(signal);
  }

  /** Whether an index can be built while others read and write. */
  async buildsBesides(signal: AbortSignal): Promise<boolean> {
    return !(await this.#database.facts(signal)).embedded;
  }

  /** Resolves when nothing is read in the background. */
  async settled(): Promise<void> {
    await this.#search.settled();
  }

  /** Ends what runs in the background, and waits until nothing of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#builds[Symbol.asyncDispose](), this.#search[Symbol.asyncDispose]()]);
  }

  write(tenant: string, write: DocumentWrite, signal?: AbortSignal): Promise<WriteResult[]> {
    const work = (collection: StoredCollection) => this.#write(tenant, collection, write, signal);
    return this.#collections.use(write.collection, work, signal);
  }

  async #write(
    tenant: string,
    collection: StoredCollection,
    write: DocumentWrite,
    signal: AbortSignal | undefined,
  ): Promise<WriteResult[]> {
    const created = await insertLone(this.#database, tenant, collection, write, signal);
    if (created !== undefined) return [created];
    return await this.#writing(collection, write, signal, (tx, vectorOid) =>
      new DocumentWrites(tx, collection.table, tenant, vectorOid).run(write.documents),
    );
  }

  replace(
    tenant: string,
    replacement: Replacement,
    signal?: AbortSignal,
  ): Promise<ReplacementResult> {
    const work = (collection: StoredCollection) =>
      this.#replace(tenant, collection, replacement, signal);
    return this.#collections.use(replacement.collection, work, signal);
  }

  async #replace(
    tenant: string,
    collection: StoredCollection,
    { deleteIds, ...write }: Replacement,
    signal: AbortSignal | undefined,
  ): Promise<ReplacementResult> {
    const { table } = collection;
    const replace = async (tx: Queryable, vectorOid: number) => {
      let deleted = 0;
      if (deleteIds.length > 0) {
        const { text, parameters } = deleteStatement(table, tenant, { by: "ids", ids: deleteIds });
        const { rows } = await tx.query<{ count: string }>(text, parameters.values);
        deleted = Number(rows[0]?.count ?? 0);
      }
      const results = await new DocumentWrites(tx, table, tenant, vectorOid).run(write.documents);
      if (results.some(isRefusal)) throw new RolledBack(results);
      return { committed: true, results, deleted };
    };
    try {
      return await this.#writing(collection, write, signal, replace);
    } catch (error) {
      if (!(error instanceof RolledBack)) throw error;
      return { committed: false, results: error.results, deleted: 0 };
    }
  }

  /** Writes documents in one transaction, which is begun anew where another writer was quicker. */
  async #writing<T>(
    collection: StoredCollection,
    write: DocumentWrite,
    signal: AbortSignal | undefined,
    work: (tx: Queryable, vectorOid: number) => Promise<T>,
  ): Promise<T> {
    requireModel(collection, write.model);
    const claims =
      collection.embeddingModel === undefined &&
      write.documents.some((one) => one.vector !== undefined);
    const vectorOid = await this.#database.vectorOid(signal);
    const once = () =>
      this.#database.transaction(
        async (tx) => {
          if (claims) await this.#claim(tx, write.collection, write.model);
          return await work(tx, vectorOid);
        },
        { signal },
      );
    // Ids are made before, so that a commit whose answer was lost may be done again.
    return await this.#retrying(once, signal);
  }

  writeVectors(tenant: string, write: VectorWrite, signal?: AbortSignal): Promise<VectorOutcome[]> {
    const work = (collection: StoredCollection) =>
      this.#writeVectors(tenant, collection, write, signal);
    return this.#collections.use(write.collection, work, signal);
  }

  async #writeVectors(
    tenant: string,
    collection: StoredCollection,
    { collection: name, model, vectors }: VectorWrite,
    signal: AbortSignal | undefined,
  ): Promise<VectorOutcome[]> {
    requireModel(collection, model);
    const vectorOid = await this.#database.vectorOid(signal);
    const once = () =>
      this.#database.transaction(
        async (tx) => {
          if (collection.embeddingModel === undefined) await this.#claim(tx, name, model);
          return await writeVectors(tx, collection.table, tenant, vectors, vectorOid);
        },
        { signal },
      );
    return await withRetry(once, { signal });
  }

  change(tenant: string, write: ChangeWrite, signal?: AbortSignal): Promise<ChangeResult> {
    const work = (collection: StoredCollection) => this.#change(tenant, collection, write, signal);
    return this.#collections.use(write.collection, work, signal);
  }

  async #change(
    tenant: string,
    collection: StoredCollection,
    { collection: name, model, change }: ChangeWrite,
    signal: AbortSignal | undefined,
  ): Promise<ChangeResult> {
    requireModel(collection, model);
    const claims = collection.embeddingModel === undefined && change.vector !== undefined;
    const vectorOid = await this.#database.vectorOid(signal);
    const once = () =>
      this.#database.transaction(
        async (tx) => {
          if (claims) await this.#claim(tx, name, model);
          return await changeDocument(tx, collection.table, tenant, change, vectorOid);
        },
        { signal },
      );
    return await this.#retrying(once, signal);
  }

  search(
    tenant: string,
    collectionName: string,
    query: SearchQuery,
    signal?: AbortSignal,
  ): Promise<Hit[]> {
    const work = (collection: StoredCollection) =>
      this.#search.search(tenant, collection, query, signal);
    return this.#collections.use(collectionName, work, signal);
  }

  async get(
    tenant: string,
    collection: string,
    ids: readonly string[],
    includeVectors: boolean,
    signal?: AbortSignal,
  ): Promise<StoredDocument[]> {
    const rows = await this.#collections.use(
      collection,
      ({ table }) =>
        this.#statements.rows<DocumentRow & { bytes: number }>(
          getStatement(table, tenant, ids, includeVectors),
          signal,
        ),
      signal,
    );
    if ((rows[0]?.bytes ?? 0) > maxReadBytes) {
      throw new AnswerTooLargeError(maxReadBytes, "ask for fewer ids at once");
    }
    const byId = new Map(rows.map((row) => [row.id, documentOfRow(row)]));
    return ids.map((id) => byId.get(id)).filter((one) => one !== undefined);
  }

  async list(
    tenant: string,
    collection: string,
    query: ListQuery,
    signal?: AbortSignal,
  ): Promise<DocumentPage> {
    const rows = await this.#collections.use(
      collection,
      ({ table }) =>
        this.#statements.rows<DocumentRow & { more: boolean }>(
          listStatement(table, tenant, query),
          signal,
        ),
      signal,
    );
    return { documents: rows.map(documentOfRow), more: rows[0]?.more ?? false };
  }

  async count(
    tenant: string,
    collection: string,
    filter: Filter | undefined,
    signal?: AbortSignal,
  ): Promise<bigint> {
    return await this.#collections.use(
      collection,
      ({ table }) => this.#statements.count(countStatement(table, tenant, filter), signal),
      signal,
    );
  }

  async delete(
    tenant: string,
    collection: string,
    selection: Selection,
    signal?: AbortSignal,
  ): Promise<bigint> {
    return await this.#collections.use(
      collection,
      ({ table }) => this.#statements.count(deleteStatement(table, tenant, selection), signal),
      signal,
    );
  }

  async removeExpired(collection: string, limit: number, signal?: AbortSignal): Promise<number> {
    const removed = await this.#collections.use(
      collection,
      ({ table }) => this.#statements.count(removeExpiredStatement(table.name, limit), signal),
      signal,
    );
    return Number(removed);
  }

  /** An update may meet a content that another writer has just stored; the next attempt sees it. */
  async #retrying<T>(once: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await withRetry(once, { signal });
      } catch (error) {
        if (!(error instanceof SqlError) || error.sqlState !== sqlStates.uniqueViolation)
          throw error;
        if (attempt === writeAttempts) throw new WriteConflictError(error);
        await sleep(Math.random() * attempt * 10, signal);
      }
    }
  }

  /**
   * Makes the collection belong to the write's model, unless it has one by now. The row lock lets
   * one of several first writers through; the others then see its model.
   */
  async #claim(tx: Queryable, name: string, model: string | undefined): Promise<void> {
    if (model === undefined) throw new Error("vectors without a model");
    const { rowCount } = await tx.query(
      `update collections c set embedding_model = $2
      where ${ofPlatform} and c.name = $1 and c.embedding_model is null`,
      [name, model],
    );
    if (rowCount === 0) requireModel(await this.#collections.read(tx, name, undefined), model);
  }
}

/** Ends the transaction of a replacement of which a document was refused. */
class RolledBack extends Error {
  override readonly name = "RolledBack";
  readonly results: readonly WriteResult[];

  constructor(results: readonly WriteResult[]) {
    super("a document of the replacement was refused");
    this.results = results;
  }
}

function isRefusal({ outcome }: WriteResult): boolean {
  return outcome === "duplicate_content";
}
