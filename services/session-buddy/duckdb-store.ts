import { basename } from "node:path";
import { DomainError } from "../../shared/errors.ts";
import type { DuckDb } from "./duckdb.ts";
import { readContents, readSource, recordSources, tablesOf } from "./duckdb-reading.ts";
import { Folding } from "./folding.ts";
import type { RecordSource } from "./layout.ts";
import type { QueuedWrite } from "./outbox.ts";
import type { StoredRecord } from "./record.ts";
import type { Reading, SessionBuddyFile } from "./session-buddy-file.ts";
import { logLeftOut, type SessionBuddyFiles } from "./session-buddy-files.ts";
import type {
  FileContents,
  ReadReport,
  RecordSink,
  RecordStore,
  Signature,
  WriteSession,
} from "./store.ts";
import { createV2Tables, insertV2 } from "./v2-layout.ts";
import type { WallTime } from "./wall-time.ts";

/** The records of Session-Buddy's DuckDB files. */
export class DuckDbRecordStore implements RecordStore {
  readonly #files: SessionBuddyFiles;
  readonly #wallTime: WallTime;

  constructor(files: SessionBuddyFiles, wallTime: WallTime) {
    this.#files = files;
    this.#wallTime = wallTime;
  }

  get path(): string {
    return this.#files.main.path;
  }

  signature(): Promise<Signature | undefined> {
    return this.#files.signature();
  }

  ensure(): Promise<void> {
    return this.#files.main.ensure();
  }

  holder(): Promise<string | undefined> {
    return this.#files.main.holder();
  }

  async read(sink: RecordSink, signal?: AbortSignal): Promise<ReadReport> {
    const folding = new Folding();
    const reading = await this.#files.main.read(
      (database) => this.#readFile(database, this.path, folding, sink, signal),
      signal,
    );
    const { signature, snapshot, holder } = reading;
    const beside = await this.#readBeside(folding, sink, signal);
    return {
      contents: together(contentsOf(this.#files.main, reading), beside.contents),
      signature: [signature, ...beside.signatures].join("|"),
      snapshot: snapshot || beside.snapshot,
      holder,
    };
  }

  async write<T>(work: (session: WriteSession) => Promise<T>, signal?: AbortSignal) {
    const { value, signature } = await this.#files.main.write(async (database, current) => {
      let changed = false;
      let target: Promise<RecordSource> | undefined;
      const result = await work({
        signature: await this.#files.signatureWith(current),
        read: async (sink) => {
          const folding = new Folding();
          const main = await this.#readFile(database, this.path, folding, sink, signal);
          const { contents } = await this.#readBeside(folding, sink, signal);
          return together(main, contents);
        },
        readNew: (known, sink) => this.#readNew(database, known, sink, signal),
        insert: async (write) => {
          target ??= this.#target(database);
          const records = await this.#insert(database, await target, write);
          changed ||= records.length > 0;
          return records;
        },
      });
      return { value: result, changed };
    }, signal);
    return {
      result: value,
      signature: signature === undefined ? undefined : await this.#files.signatureWith(signature),
    };
  }

  async #readFile(
    database: DuckDb,
    path: string,
    folding: Folding,
    sink: RecordSink,
    signal?: AbortSignal,
  ): Promise<FileContents> {
    const fileName = basename(path);
    const tables = await tablesOf(database, signal);
    let faults = 0;
    let folded = 0;
    for (const source of recordSources(tables, fileName)) {
      for await (const batch of readSource(database, source, fileName, this.#wallTime, signal)) {
        const kept = batch.records.flatMap((record) => folding.fold(record) ?? []);
        faults += batch.faults.length;
        folded += batch.records.length - kept.length;
        await sink(kept);
      }
    }
    return { ...(await readContents(database, tables, fileName, signal)), faults, folded };
  }

  /** A file beside that cannot be read leaves the others' records as they are. */
  async #readBeside(folding: Folding, sink: RecordSink, signal?: AbortSignal) {
    const contents: FileContents[] = [];
    const signatures: Signature[] = [];
    let snapshot = false;
    for (const file of await this.#files.beside()) {
      // Taken before, so that a file that changes meanwhile is read again.
      const before = await this.#files.signatureOf(file);
      try {
        const reading = await file.read(
          (database) => this.#readFile(database, file.path, folding, sink, signal),
          signal,
        );
        contents.push(contentsOf(file, reading));
        snapshot ||= reading.snapshot;
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        contents.push(unread(file, error));
      }
      signatures.push(before);
    }
    return { contents, signatures, snapshot };
  }

  async #readNew(
    database: DuckDb,
    known: ReadonlySet<string>,
    sink: RecordSink,
    signal?: AbortSignal,
  ): Promise<void> {
    const source = await this.#reflections(database);
    if (source === undefined) return;
    const fresh: string[] = [];
    for await (const rows of database.chunks("select id from main.reflections_v2", [], signal)) {
      for (const { id } of rows) if (!known.has(String(id))) fresh.push(String(id));
    }
    if (fresh.length > 0)
      for await (const records of this.#byId(database, source, fresh)) await sink(records);
  }

  /** Makes what is missing for the first record, and empties what would hide it. */
  async #target(database: DuckDb): Promise<RecordSource> {
    if ((await this.#reflections(database)) === undefined) await database.script(createV2Tables);
    const source = await this.#reflections(database);
    if (source === undefined) throw new Error("reflections_v2 has no columns of a record");
    const tables = await tablesOf(database);
    // Session-Buddy answers from it for a week, and would not see the new records.
    if (tables.some(({ schema, name }) => schema === "main" && name === "query_cache_l2")) {
      await database.script("delete from query_cache_l2");
    }
    return source;
  }

  async #insert(
    database: DuckDb,
    source: RecordSource,
    write: QueuedWrite,
  ): Promise<StoredRecord[]> {
    for await (const there of this.#byId(database, source, [write.id])) {
      if (there.length > 0) return [];
    }
    const insert = insertV2(write, source.table.columns, this.#wallTime);
    await database.rows(insert.sql, insert.parameters);
    const records: StoredRecord[] = [];
    for await (const some of this.#byId(database, source, [write.id])) records.push(...some);
    return records;
  }

  async #reflections(database: DuckDb): Promise<RecordSource | undefined> {
    const sources = recordSources(await tablesOf(database), basename(this.path));
    return sources.find(({ table }) => table.name === "reflections_v2");
  }

  async *#byId(
    database: DuckDb,
    source: RecordSource,
    ids: readonly string[],
  ): AsyncGenerator<readonly StoredRecord[]> {
    const chosen = { ...source, sql: `${source.sql} where id in (select unnest($1))` };
    const fileName = basename(this.path);
    const batches = readSource(database, chosen, fileName, this.#wallTime, undefined, [
      { texts: ids },
    ]);
    for await (const { records } of batches) yield records;
  }
}

/** With what is missing, where the log was left out. */
function contentsOf(file: SessionBuddyFile, reading: Reading<FileContents>): FileContents {
  if (!reading.withoutLog) return reading.value;
  return { ...reading.value, unreadFiles: [logLeftOut(file.path)] };
}

function unread(file: SessionBuddyFile, error: DomainError): FileContents {
  return {
    eras: [],
    tables: [],
    unknownTables: [],
    unwritableIndexes: [],
    faults: 0,
    folded: 0,
    unreadFiles: [{ file: basename(file.path), why: error.message }],
  };
}

/** The contents of all files as one; only the file itself is written. */
function together(main: FileContents, beside: readonly FileContents[]): FileContents {
  const all = [main, ...beside];
  const sum = (count: (contents: FileContents) => number) =>
    all.reduce((total, contents) => total + count(contents), 0);
  return {
    eras: [...new Set(all.flatMap(({ eras }) => eras))].sort(),
    tables: all.flatMap(({ tables }) => tables),
    unknownTables: all.flatMap(({ unknownTables }) => unknownTables),
    unwritableIndexes: main.unwritableIndexes,
    faults: sum(({ faults }) => faults),
    folded: sum(({ folded }) => folded),
    unreadFiles: all.flatMap(({ unreadFiles }) => unreadFiles),
  };
}
