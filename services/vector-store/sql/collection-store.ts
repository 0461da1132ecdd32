import { InvalidRequestError } from "../../../shared/errors.ts";
import type { Postgres, Queryable } from "../../../shared/postgres/postgres.ts";
import { SqlError, sqlStates } from "../../../shared/postgres/sql-errors.ts";
import { type CollectionStatistics, defaultCollection, type NewCollection } from "../collection.ts";
import { CollectionCache } from "../collection-cache.ts";
import {
  CollectionExistsError,
  CollectionNotFoundError,
  CollectionProtectedError,
  IndexBuildRunningError,
  TooManyCollectionsError,
} from "../errors.ts";
import {
  type CollectionRow,
  collectionColumns,
  collectionOfRow,
  collections,
  ofPlatform,
  type StatisticsRow,
  type StoredCollection,
  statisticsColumns,
  statisticsOfRow,
} from "./collection-row.ts";
import { tryBuildLock } from "./index-statements.ts";
import { passagesTable } from "./passage-writes.ts";
import { textLanguages } from "./text-language-sql.ts";

const lifetimeMs = 2_000;

/** How long a change of a collection waits for those who use it. */
const lockTimeout = "5s";

/** The collections in the table `collections`, and the tables of their documents. */
export class CollectionStore {
  readonly #database: Postgres;
  readonly #limit: number;
  readonly #cache = new CollectionCache<StoredCollection>(
    (name, signal) => this.read(this.#database, name, signal),
    lifetimeMs,
  );

  /** `limit` is how many there may be. */
  constructor(database: Postgres, limit: number) {
    this.#database = database;
    this.#limit = limit;
  }

  /** As it was within the last two seconds. */
  get(name: string, signal: AbortSignal | undefined): Promise<StoredCollection> {
    return this.#cache.get(name, signal);
  }

  forget(name: string): void {
    this.#cache.forget(name);
  }

  /**
   * Does work on the collection's table. Where the table is gone, the collection was deleted since
   * it was looked up, and perhaps made anew: then the work is done once more, on the new one.
   */
  async use<T>(
    name: string,
    work: (collection: StoredCollection) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const collection = await this.get(name, signal);
    try {
      return await work(collection);
    } catch (error) {
      if (!isGone(error)) throw error;
      this.forget(name);
      const now = await this.get(name, signal);
      if (now.table.name === collection.table.name) throw error;
      return await work(now);
    }
  }

  async read(
    from: Queryable,
    name: string,
    signal: AbortSignal | undefined,
  ): Promise<StoredCollection> {
    const { rows } = await from.query<CollectionRow>(
      `select ${collectionColumns} from ${collections} where ${ofPlatform} and c.name = $1`,
      [name],
      signal,
    );
    const row = rows[0];
    if (row === undefined) throw new CollectionNotFoundError(name);
    return collectionOfRow(row);
  }

  async describe(
    name: string,
    signal: AbortSignal | undefined,
  ): Promise<{ collection: StoredCollection; statistics: CollectionStatistics }> {
    const { rows } = await this.#database.query<CollectionRow & StatisticsRow>(
      `select ${collectionColumns}, ${statisticsColumns} from ${collections}
      where ${ofPlatform} and c.name = $1`,
      [name],
      signal,
    );
    const row = rows[0];
    if (row === undefined) throw new CollectionNotFoundError(name);
    return { collection: collectionOfRow(row), statistics: statisticsOfRow(row) };
  }

  /** By name, those above `after`. */
  async list(
    after: string | undefined,
    limit: number,
    signal: AbortSignal | undefined,
  ): Promise<StoredCollection[]> {
    const { rows } = await this.#database.query<CollectionRow>(
      `select ${collectionColumns} from ${collections}
      where ${ofPlatform} and c.name > $1 order by c.name limit $2`,
      [after ?? "", limit],
      signal,
    );
    return rows.map(collectionOfRow);
  }

  async create(
    { name, dimension, distance, embeddingModel, textLanguage }: NewCollection,
    signal: AbortSignal | undefined,
  ): Promise<StoredCollection> {
    const created = await this.#database.transaction(
      async (tx) => {
        await this.#prepareChange(tx);
        const known = await textLanguages(tx);
        if (!known.includes(textLanguage)) throw unknownLanguage(textLanguage, known);
        const { rows } = await tx.query<{ table_name: string }>(
          `insert into collections (name, dimension, distance, embedding_model, text_language)
          values ($1, $2, $3, $4, $5) on conflict do nothing returning table_name`,
          [name, dimension, distance, embeddingModel ?? null, textLanguage],
        );
        const table = rows[0]?.table_name;
        if (table === undefined) throw new CollectionExistsError(name);
        const { rows: counts } = await tx.query<{ count: number }>(
          `select count(*)::int as count from collections c where ${ofPlatform}`,
        );
        if ((counts[0]?.count ?? 0) > this.#limit) throw new TooManyCollectionsError(this.#limit);
        await tx.query("select create_collection_table($1, $2, $3)", [
          table,
          dimension,
          textLanguage,
        ]);
        return await this.read(tx, name, signal);
      },
      { signal },
    );
    this.forget(name);
    return created;
  }

  async delete(name: string, signal: AbortSignal | undefined): Promise<void> {
    if (name === defaultCollection) throw new CollectionProtectedError(name);
    await this.#database.transaction(
      async (tx) => {
        await this.#prepareChange(tx);
        const { rows } = await tx.query<CollectionRow>(
          `select ${collectionColumns} from ${collections} where ${ofPlatform} and c.name = $1`,
          [name],
        );
        const row = rows[0];
        if (row === undefined) throw new CollectionNotFoundError(name);
        const { table } = collectionOfRow(row);
        if (!(await tryBuildLock(tx, table, "transaction"))) throw new IndexBuildRunningError(name);
        await tx.query(`delete from collections c where ${ofPlatform} and c.name = $1`, [name]);
        // In the order in which everybody else comes to need them, so that nobody waits in a circle.
        await tx.query(`drop table ${table.name}, ${passagesTable(table)}`);
      },
      { signal },
    );
    this.forget(name);
  }

  /**
   * One change of the set of collections at a time, so that they can be counted; claims of a
   * collection for a model wait too. Who uses a table for long makes the change fail, not wait.
   */
  async #prepareChange(tx: Queryable): Promise<void> {
    await tx.query(`set local lock_timeout = '${lockTimeout}'`);
    await tx.query("lock table collections in share row exclusive mode");
  }
}

function unknownLanguage(language: string, known: readonly string[]): InvalidRequestError {
  const description = `${language} is none of ${known.join(", ")}`;
  return new InvalidRequestError([{ field: "collection.text_language", description }]);
}

function isGone(error: unknown): boolean {
  return error instanceof SqlError && error.sqlState === sqlStates.undefinedTable;
}
