import { mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import pLimit from "p-limit";
import type { Logger } from "../../shared/logging.ts";
import { DuckDb, DuckDbError } from "./duckdb.ts";
import type { IndexedContent, SideIndex } from "./side-index.ts";

const schema = `
create table if not exists index_model (model varchar not null, dimension integer);
create table if not exists content_vectors (
  content_hash varchar primary key,
  embedding float[] not null,
  indexed_at timestamp default current_timestamp
);
`;

/** The side index in a DuckDB file of its own, held while this process runs. */
export class DuckDbSideIndex implements SideIndex, AsyncDisposable {
  readonly hashes = new Set<string>();
  readonly #database: DuckDb;
  /** Searches do not wait for what is being written. */
  readonly #reading: DuckDb;
  /** A connection serves one statement at a time. */
  readonly #turn = pLimit(1);
  readonly #readingTurn = pLimit(1);
  #model: string | undefined;
  #dimension: number | undefined;

  private constructor(database: DuckDb, reading: DuckDb) {
    this.#database = database;
    this.#reading = reading;
  }

  /**
   * Opens or makes the file. A damaged one is made anew, since all of it can be rebuilt.
   * @throws DuckDbError when another process holds it or it cannot be made.
   */
  static async open(path: string, logger: Logger): Promise<DuckDbSideIndex> {
    await mkdir(dirname(path), { recursive: true });
    try {
      return await DuckDbSideIndex.#opened(path);
    } catch (error) {
      if (!(error instanceof DuckDbError) || !rebuildable.has(error.fault)) throw error;
      logger.warn({ err: error, file: path }, "the side index is damaged; it is built anew");
      await rm(path, { force: true });
      await rm(`${path}.wal`, { force: true });
      return DuckDbSideIndex.#opened(path);
    }
  }

  static async #opened(path: string): Promise<DuckDbSideIndex> {
    const database = await DuckDb.open(path, "write");
    try {
      const index = new DuckDbSideIndex(database, await database.fork());
      await database.script(schema);
      const [row] = await database.rows("select model, dimension from index_model");
      index.#model = typeof row?.["model"] === "string" ? row["model"] : undefined;
      index.#dimension = typeof row?.["dimension"] === "number" ? row["dimension"] : undefined;
      for await (const rows of database.chunks("select content_hash from content_vectors")) {
        for (const one of rows) index.hashes.add(String(one["content_hash"]));
      }
      return index;
    } catch (error) {
      await database[Symbol.asyncDispose]();
      throw error;
    }
  }

  get model(): string | undefined {
    return this.#model;
  }

  get dimension(): number | undefined {
    return this.#dimension;
  }

  setModel(model: string): Promise<void> {
    return this.#turn(async () => {
      await this.#transaction(async () => {
        await this.#database.script("delete from content_vectors; delete from index_model");
        await this.#database.rows("insert into index_model values ($1, null)", [model]);
      });
      this.#model = model;
      this.#dimension = undefined;
      this.hashes.clear();
    });
  }

  add(contents: readonly IndexedContent[], signal?: AbortSignal): Promise<void> {
    return this.#turn(async () => {
      signal?.throwIfAborted();
      const fresh = contents.filter(({ hash }) => !this.hashes.has(hash));
      const dimension = this.#dimension ?? fresh[0]?.vector.length;
      if (dimension === undefined) return;
      await this.#transaction(async () => {
        for (const { hash, vector } of fresh) {
          await this.#database.rows(
            "insert into content_vectors (content_hash, embedding) values ($1, $2)",
            [hash, { floats: vector }],
          );
        }
        await this.#database.rows("update index_model set dimension = $1", [dimension]);
      });
      this.#dimension = dimension;
      for (const { hash } of fresh) this.hashes.add(hash);
    });
  }

  retain(isWanted: (hash: string) => boolean): Promise<void> {
    return this.#turn(async () => {
      const unwanted = [...this.hashes].filter((hash) => !isWanted(hash));
      if (unwanted.length === 0) return;
      await this.#database.rows(
        "delete from content_vectors where content_hash in (select unnest($1))",
        [{ texts: unwanted }],
      );
      for (const hash of unwanted) this.hashes.delete(hash);
    });
  }

  similarities(vector: readonly number[], signal?: AbortSignal): Promise<Map<string, number>> {
    return this.#readingTurn(async () => {
      const found = new Map<string, number>();
      // The vectors are compared on DuckDB's threads; here arrive only numbers.
      const chunks = this.#reading.chunks(
        `select content_hash, greatest(least(list_cosine_similarity(embedding, $1), 1), 0)::double
           as similarity
         from content_vectors`,
        [{ floats: vector }],
        signal,
      );
      for await (const rows of chunks) {
        for (const row of rows) {
          const similarity = row["similarity"];
          if (typeof similarity === "number" && Number.isFinite(similarity)) {
            found.set(String(row["content_hash"]), similarity);
          }
        }
      }
      return found;
    });
  }

  async #transaction(work: () => Promise<void>): Promise<void> {
    await this.#database.script("begin");
    try {
      await work();
      await this.#database.script("commit");
    } catch (error) {
      await this.#database.script("rollback").catch(() => {});
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#readingTurn(() => this.#reading[Symbol.asyncDispose]());
    await this.#turn(() => this.#database[Symbol.asyncDispose]());
  }
}

const rebuildable: ReadonlySet<string> = new Set(["damaged", "newer", "other"]);
