import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import pLimit from "p-limit";
import { DuckDb } from "./duckdb.ts";
import type { OutboxStore, QueuedWrite } from "./outbox.ts";
import type { Draft } from "./record.ts";

const schema = `
create table if not exists queued_writes (
  position bigint primary key,
  id varchar not null,
  draft varchar not null,
  queued_micros bigint not null
);
`;

/**
 * The outbox in a DuckDB file of its own, held while this process runs, so that no second one
 * delivers from it. Each commit is on disk before it resolves.
 */
export class DuckDbOutboxStore implements OutboxStore, AsyncDisposable {
  readonly #database: DuckDb;
  /** A connection serves one statement at a time. */
  readonly #turn = pLimit(1);
  #position = 0;

  private constructor(database: DuckDb) {
    this.#database = database;
  }

  /** @throws DuckDbError when it is damaged, cannot be made or another process holds it. */
  static async open(path: string): Promise<DuckDbOutboxStore> {
    await mkdir(dirname(path), { recursive: true });
    const database = await DuckDb.open(path, "write");
    try {
      await database.script(schema);
      return new DuckDbOutboxStore(database);
    } catch (error) {
      await database[Symbol.asyncDispose]();
      throw error;
    }
  }

  load(): Promise<QueuedWrite[]> {
    return this.#turn(async () => {
      const rows = await this.#database.rows(
        "select position, id, draft, queued_micros from queued_writes order by position",
      );
      this.#position = Number(rows.at(-1)?.["position"] ?? 0);
      return rows.map((row) => ({
        id: String(row["id"]),
        draft: JSON.parse(String(row["draft"])) as Draft,
        queuedMicros: Number(row["queued_micros"]),
      }));
    });
  }

  add({ id, draft, queuedMicros }: QueuedWrite): Promise<void> {
    return this.#turn(async () => {
      await this.#database.rows(
        `insert into queued_writes (position, id, draft, queued_micros) values ($1, $2, $3, $4)`,
        [this.#position + 1, id, JSON.stringify(draft), queuedMicros],
      );
      this.#position++;
    });
  }

  remove(ids: readonly string[]): Promise<void> {
    return this.#turn(async () => {
      await this.#database.rows("delete from queued_writes where id in (select unnest($1))", [
        { texts: ids },
      ]);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn(() => this.#database[Symbol.asyncDispose]());
  }
}
