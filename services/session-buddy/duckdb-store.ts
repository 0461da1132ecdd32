import { basename } from "node:path";
import { monotonicFactory } from "ulid";
import type { DuckDb } from "./duckdb.ts";
import { readContents, recordTables, tablesOf } from "./duckdb-reading.ts";
import type { Draft, StoredRecord } from "./record.ts";
import type { SessionBuddyFile } from "./session-buddy-file.ts";
import type {
  FileContents,
  ReadReport,
  RecordSink,
  RecordStore,
  Signature,
  WriteSession,
} from "./store.ts";
import { createV2Tables, insertV2, recordFromV2, selectV2 } from "./v2-layout.ts";
import type { WallTime } from "./wall-time.ts";

/** The records of Session-Buddy's DuckDB file. */
export class DuckDbRecordStore implements RecordStore {
  readonly #file: SessionBuddyFile;
  readonly #wallTime: WallTime;
  readonly #nextId = monotonicFactory();

  constructor(file: SessionBuddyFile, wallTime: WallTime) {
    this.#file = file;
    this.#wallTime = wallTime;
  }

  get path(): string {
    return this.#file.path;
  }

  signature(): Promise<Signature | undefined> {
    return this.#file.signature();
  }

  ensure(): Promise<void> {
    return this.#file.ensure();
  }

  holder(): Promise<string | undefined> {
    return this.#file.holder();
  }

  async read(sink: RecordSink, signal?: AbortSignal): Promise<ReadReport> {
    const { value, ...reading } = await this.#file.read(
      (database) => this.#readAll(database, sink, signal),
      signal,
    );
    return { contents: value, ...reading };
  }

  async write<T>(work: (session: WriteSession) => Promise<T>, signal?: AbortSignal) {
    const { value, signature } = await this.#file.write(async (database, current) => {
      let changed = false;
      const result = await work({
        signature: current,
        read: (sink) => this.#readAll(database, sink, signal),
        insert: (draft) => {
          changed = true;
          return this.#insert(database, draft);
        },
      });
      return { value: result, changed };
    }, signal);
    return { result: value, signature };
  }

  async #readAll(database: DuckDb, sink: RecordSink, signal?: AbortSignal): Promise<FileContents> {
    const tables = await tablesOf(database, signal);
    for (const { name, columns } of recordTables(tables)) {
      for await (const rows of database.chunks(selectV2(name, columns), [], signal)) {
        await sink(rows.map((row) => recordFromV2(name, row, this.#wallTime)));
      }
    }
    return readContents(database, tables, basename(this.path), signal);
  }

  async #insert(database: DuckDb, draft: Draft): Promise<StoredRecord> {
    let tables = await tablesOf(database);
    const columns = () => tables.find(({ name }) => name === "reflections_v2")?.columns;
    if (columns() === undefined) {
      await database.script(createV2Tables);
      tables = await tablesOf(database);
    }
    const present = columns() ?? new Set<string>();
    const id = this.#nextId();
    const insert = insertV2(draft, id, Date.now() * 1_000, present, this.#wallTime);
    await database.rows(insert.sql, insert.parameters);
    // Session-Buddy answers from it for a week, and would not see the new record.
    if (tables.some(({ schema, name }) => schema === "main" && name === "query_cache_l2")) {
      await database.script("delete from query_cache_l2");
    }
    const rows = await database.rows(`${selectV2("reflections_v2", present)} where id = $1`, [id]);
    return recordFromV2("reflections_v2", rows[0] ?? {}, this.#wallTime);
  }
}
