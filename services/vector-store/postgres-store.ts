import { sleep } from "../../shared/lifecycle.ts";
import type { Postgres, Queryable } from "../../shared/postgres/postgres.ts";
import { withRetry } from "../../shared/postgres/retry.ts";
import { SqlError, sqlStates } from "../../shared/postgres/sql-errors.ts";
import { maxReadBytes } from "./answer-budget.ts";
import { type Collection, requireDimension, requireModel } from "./collection.ts";
import { CollectionCache } from "./collection-cache.ts";
import type { StoredDocument, VectorOutcome, WriteResult } from "./document.ts";
import type { ChangeResult } from "./document-change.ts";
import { AnswerTooLargeError, CollectionNotFoundError, WriteConflictError } from "./errors.ts";
import type { Filter } from "./filter.ts";
import type { Hit, SearchQuery } from "./search.ts";
import {
  type CollectionRow,
  collectionColumns,
  collectionOfRow,
  ofPlatform,
} from "./sql/collection-row.ts";
import { changeDocument } from "./sql/document-changes.ts";
import { type DocumentRow, documentOfRow } from "./sql/document-row.ts";
import { DocumentWrites } from "./sql/document-writes.ts";
import type { Statement } from "./sql/parameters.ts";
import { countStatement, deleteStatement, getStatement, listStatement } from "./sql/read-sql.ts";
import { searchStatement } from "./sql/search-sql.ts";
import { StatementNames } from "./sql/statement-names.ts";
import { writeVectors } from "./sql/vector-writes.ts";
import type {
  ChangeWrite,
  DocumentPage,
  DocumentStore,
  DocumentWrite,
  ListQuery,
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
          return await new DocumentWrites(tx, tenant, vectorOid).run(write.documents);
        },
        { signal },
      );
    // Ids are made before, so that a commit whose answer was lost may be done again.
    return await this.#retrying(once, signal);
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

  async change(
    tenant: string,
    { collection: name, model, change }: ChangeWrite,
    signal?: AbortSignal,
  ): Promise<ChangeResult> {
    const collection = await this.collection(name, signal);
    requireModel(collection, model);
    const claims = collection.embeddingModel === undefined && change.vector !== undefined;
    const vectorOid = await this.#database.vectorOid(signal);
    const once = () =>
      this.#database.transaction(
        async (tx) => {
          if (claims) await this.#claim(tx, name, model);
          return await changeDocument(tx, tenant, change, vectorOid);
        },
        { signal },
      );
    return await this.#retrying(once, signal);
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
