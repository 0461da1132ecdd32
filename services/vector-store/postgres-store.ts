import { sleep } from "../../shared/lifecycle.ts";
import type { Postgres, Queryable } from "../../shared/postgres/postgres.ts";
import { withRetry } from "../../shared/postgres/retry.ts";
import { SqlError, sqlStates } from "../../shared/postgres/sql-errors.ts";
import { maxReadBytes } from "./answer-budget.ts";
import { type Collection, requireDimension, requireModel } from "./collection.ts";
import { CollectionCache } from "./collection-cache.ts";
import type { StoredDocument, VectorOutcome, WriteResult } from "./document.ts";
import { AnswerTooLargeError, CollectionNotFoundError, WriteConflictError } from "./errors.ts";
import type { Filter } from "./filter.ts";
import type { Hit, SearchQuery } from "./search.ts";
import {
  type CollectionRow,
  collectionColumns,
  collectionOfRow,
  ofPlatform,
} from "./sql/collection-row.ts";
import { type DocumentRow, documentOfRow } from "./sql/document-row.ts";
import { DocumentWrites } from "./sql/document-writes.ts";
import type { Statement } from "./sql/parameters.ts";
import { countStatement, deleteStatement, getStatement, listStatement } from "./sql/read-sql.ts";
import { searchStatement } from "./sql/search-sql.ts";
import { StatementNames } from "./sql/statement-names.ts";
import { writeVectors } from "./sql/vector-writes.ts";
import type {
  DocumentPage,
  DocumentStore,
  DocumentWrite,
  ListQuery,
  Replacement,
  ReplacementResult,
  Selection,
  VectorWrite,
} from "./store.ts";

const collectionLifetimeMs = 2_000;
const preparedStatements = 100;
/** How often a write begins anew because another writer took a content at the last moment. */
const writeAttempts = 5;

interface HitRow extends DocumentRow {
  readonly score: number;
  readonly vector_score: number | null;
  readonly text_score: number | null;
  readonly bytes: number;
}

/** Collections and documents in the tables `collections` and `memories`. */
export class PostgresDocumentStore implements DocumentStore {
  readonly #database: Postgres;
  readonly #collections = new CollectionCache(
    (name, signal) => this.#readCollection(this.#database, name, signal),
    collectionLifetimeMs,
  );
  readonly #names = new StatementNames(preparedStatements);

  constructor(database: Postgres) {
    this.#database = database;
  }

  collection(name: string, signal?: AbortSignal): Promise<Collection> {
    return this.#collections.get(name, signal);
  }

  async collections(
    after: string | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<Collection[]> {
    const { rows } = await this.#database.query<CollectionRow>(
      `select ${collectionColumns} from collections
      where ${ofPlatform} and name > $1 order by name limit $2`,
      [after ?? "", limit],
      signal,
    );
    return rows.map(collectionOfRow);
  }

  async write(tenant: string, write: DocumentWrite, signal?: AbortSignal): Promise<WriteResult[]> {
    return await this.#writing(write, signal, (tx, vectorOid) =>
      new DocumentWrites(tx, tenant, vectorOid).run(write.documents),
    );
  }

  async replace(
    tenant: string,
    { deleteIds, ...write }: Replacement,
    signal?: AbortSignal,
  ): Promise<ReplacementResult> {
    const replace = async (tx: Queryable, vectorOid: number) => {
      let deleted = 0;
      if (deleteIds.length > 0) {
        const { text, parameters } = deleteStatement(tenant, { by: "ids", ids: deleteIds });
        const { rows } = await tx.query<{ count: string }>(text, parameters.values);
        deleted = Number(rows[0]?.count ?? 0);
      }
      const results = await new DocumentWrites(tx, tenant, vectorOid).run(write.documents);
      if (results.some(isRefusal)) throw new RolledBack(results);
      return { committed: true, results, deleted };
    };
    try {
      return await this.#writing(write, signal, replace);
    } catch (error) {
      if (!(error instanceof RolledBack)) throw error;
      return { committed: false, results: error.results, deleted: 0 };
    }
  }

  async writeVectors(
    tenant: string,
    { collection: name, model, vectors }: VectorWrite,
    signal?: AbortSignal,
  ): Promise<VectorOutcome[]> {
    const collection = await this.collection(name, signal);
    requireModel(collection, model);
    const vectorOid = await this.#database.vectorOid(signal);
    const once = () =>
      this.#database.transaction(
        async (tx) => {
          if (collection.embeddingModel === undefined) await this.#claim(tx, name, model);
          return await writeVectors(tx, tenant, vectors, vectorOid);
        },
        { signal },
      );
    return await withRetry(once, { signal });
  }

  async search(
    tenant: string,
    collectionName: string,
    query: SearchQuery,
    signal?: AbortSignal,
  ): Promise<Hit[]> {
    const collection = await this.collection(collectionName, signal);
    requireModel(collection, query.model);
    if (query.mode !== "text") requireDimension(collection, query.vector, "vector");
    const rows = await this.#rows<HitRow>(searchStatement(tenant, query), signal);
    return rows.map((row) => ({
      document: documentOfRow(row),
      score: row.score,
      vectorScore: row.vector_score ?? undefined,
      textScore: row.text_score ?? undefined,
      bytes: row.bytes,
    }));
  }

  async get(
    tenant: string,
    collection: string,
    ids: readonly string[],
    includeVectors: boolean,
    signal?: AbortSignal,
  ): Promise<StoredDocument[]> {
    await this.collection(collection, signal);
    const rows = await this.#rows<DocumentRow & { bytes: number }>(
      getStatement(tenant, ids, includeVectors),
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
    await this.collection(collection, signal);
    const rows = await this.#rows<DocumentRow & { more: boolean }>(
      listStatement(tenant, query),
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
    await this.collection(collection, signal);
    return await this.#count(countStatement(tenant, filter), signal);
  }

  async delete(
    tenant: string,
    collection: string,
    selection: Selection,
    signal?: AbortSignal,
  ): Promise<bigint> {
    await this.collection(collection, signal);
    return await this.#count(deleteStatement(tenant, selection), signal);
  }

  /** Writes documents in one transaction, which is begun anew where another writer was quicker. */
  async #writing<T>(
    write: DocumentWrite,
    signal: AbortSignal | undefined,
    work: (tx: Queryable, vectorOid: number) => Promise<T>,
  ): Promise<T> {
    const collection = await this.collection(write.collection, signal);
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
    for (let attempt = 1; ; attempt++) {
      try {
        // Ids are made before, so that a commit whose answer was lost may be done again.
        return await withRetry(once, { signal });
      } catch (error) {
        // An update met a content that another writer has just stored; the next attempt sees it.
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
      `update collections set embedding_model = $2
      where ${ofPlatform} and name = $1 and embedding_model is null`,
      [name, model],
    );
    if (rowCount === 0) requireModel(await this.#readCollection(tx, name, undefined), model);
  }

  async #readCollection(
    from: Queryable,
    name: string,
    signal: AbortSignal | undefined,
  ): Promise<Collection> {
    const { rows } = await from.query<CollectionRow>(
      `select ${collectionColumns} from collections where ${ofPlatform} and name = $1`,
      [name],
      signal,
    );
    const row = rows[0];
    if (row === undefined) throw new CollectionNotFoundError(name);
    return collectionOfRow(row);
  }

  async #rows<Row>(
    { text, parameters }: Statement,
    signal: AbortSignal | undefined,
  ): Promise<readonly Row[]> {
    const name = this.#names.nameOf(text);
    const sql = name === undefined ? text : { name, text };
    return (await this.#database.query<Row>(sql, parameters.values, signal)).rows;
  }

  async #count(statement: Statement, signal: AbortSignal | undefined): Promise<bigint> {
    const [row] = await this.#rows<{ count: string }>(statement, signal);
    return BigInt(row?.count ?? 0);
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
