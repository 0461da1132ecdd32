import { mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import pLimit from "p-limit";
import type { Logger } from "../../shared/logging.ts";
import { DuckDb, DuckDbError } from "./duckdb.ts";
import { createBreathe } from "./event-loop.ts";
import type { IndexedContent, SideIndex } from "./side-index.ts";
import { noSimilarities, type Similarities, VectorMatrix } from "./vector-matrix.ts";

/** An embedding is its components as little-endian floats of 32 bits: a list takes ten times as long. */
const schema = `
create table if not exists index_model (model varchar not null, dimension integer);
create table if not exists content_vectors (
  content_hash varchar primary key,
  embedding blob not null,
  indexed_at timestamp default current_timestamp
);
`;

const rowsAtOnce = 64;

/**
 * The side index in a DuckDB file of its own, held while this process runs. Vectors are compared
 * in memory, where 5,000 take milliseconds; the file makes them survive.
 */
export class DuckDbSideIndex implements SideIndex, AsyncDisposable {
  readonly #database: DuckDb;
  /** A connection serves one statement at a time. */
  readonly #turn = pLimit(1);
  #model: string | undefined;
  #matrix: VectorMatrix | undefined;

  private constructor(database: DuckDb) {
    this.#database = database;
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
      const index = new DuckDbSideIndex(database);
      await database.script(schema);
      await index.#load();
      return index;
    } catch (error) {
      await database[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #load(): Promise<void> {
    const [row] = await this.#database.rows("select model, dimension from index_model");
    this.#model = typeof row?.["model"] === "string" ? row["model"] : undefined;
    const dimension = row?.["dimension"];
    if (typeof dimension !== "number") return;
    const matrix = new VectorMatrix(dimension);
    const breathe = createBreathe();
    const chunks = this.#database.chunks("select content_hash, embedding from content_vectors");
    for await (const rows of chunks) {
      for (const { content_hash, embedding } of rows) {
        const vector = floatsOf(embedding);
        if (vector?.length === dimension) matrix.set(String(content_hash), vector);
        await breathe();
      }
    }
    this.#matrix = matrix;
  }

  get model(): string | undefined {
    return this.#model;
  }

  get dimension(): number | undefined {
    return this.#matrix?.dimension;
  }

  get size(): number {
    return this.#matrix?.hashes.size ?? 0;
  }

  has(hash: string): boolean {
    return this.#matrix?.hashes.has(hash) ?? false;
  }

  setModel(model: string): Promise<void> {
    return this.#turn(async () => {
      await this.#transaction(async () => {
        await this.#database.script("delete from content_vectors; delete from index_model");
        await this.#database.rows("insert into index_model values ($1, null)", [model]);
      });
      this.#model = model;
      this.#matrix = undefined;
    });
  }

  add(contents: readonly IndexedContent[], signal?: AbortSignal): Promise<void> {
    return this.#turn(async () => {
      signal?.throwIfAborted();
      const fresh = contents.filter(({ hash }) => !this.has(hash));
      const dimension = this.dimension ?? fresh[0]?.vector.length;
      if (dimension === undefined || fresh.length === 0) return;
      await this.#transaction(async () => {
        for (let from = 0; from < fresh.length; from += rowsAtOnce) {
          const rows = fresh.slice(from, from + rowsAtOnce);
          const places = rows.map((_, at) => `($${2 * at + 1}, $${2 * at + 2})`);
          // A row that was left out when loading, for its length, gives way.
          await this.#database.rows(
            `insert or replace into content_vectors (content_hash, embedding)
             values ${places.join(", ")}`,
            rows.flatMap(({ hash, vector }) => [hash, { bytes: bytesOf(vector) }]),
          );
        }
        await this.#database.rows("update index_model set dimension = $1", [dimension]);
      });
      this.#matrix ??= new VectorMatrix(dimension);
      for (const { hash, vector } of fresh) this.#matrix.set(hash, vector);
    });
  }

  retain(isWanted: (hash: string) => boolean): Promise<void> {
    return this.#turn(async () => {
      const matrix = this.#matrix;
      const unwanted = [...(matrix?.hashes.keys() ?? [])].filter((hash) => !isWanted(hash));
      if (unwanted.length === 0) return;
      await this.#database.rows(
        "delete from content_vectors where content_hash in (select unnest($1))",
        [{ texts: unwanted }],
      );
      for (const hash of unwanted) matrix?.delete(hash);
    });
  }

  similarities(vector: readonly number[], hashes: readonly string[]): Similarities {
    return this.#matrix?.similarities(vector, hashes) ?? noSimilarities;
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
    await this.#turn(() => this.#database[Symbol.asyncDispose]());
  }
}

const rebuildable: ReadonlySet<string> = new Set(["damaged", "newer", "other"]);

function bytesOf(vector: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, at) => {
    bytes.writeFloatLE(value, at * 4);
  });
  return bytes;
}

function floatsOf(stored: unknown): Float32Array | undefined {
  if (!(stored instanceof Uint8Array)) return undefined;
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  return Float32Array.from({ length: Math.floor(bytes.length / 4) }, (_, at) =>
    bytes.readFloatLE(at * 4),
  );
}
