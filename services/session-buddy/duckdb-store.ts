import { link, mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import pLimit from "p-limit";
import { monotonicFactory } from "ulid";
import { DomainError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";
import type { Logger } from "../../shared/logging.ts";
import { DuckDb, DuckDbError } from "./duckdb.ts";
import { readContents, readRecords, tablesOf, unwritableIndexesOf } from "./duckdb-reading.ts";
import { StoreLockedError, StoreUnavailableError, UnwritableIndexError } from "./errors.ts";
import type { Draft, StoredRecord } from "./record.ts";
import {
  pairState,
  removeAbandonedSnapshots,
  SnapshotUnsteadyError,
  signatureOf,
  takeSnapshot,
} from "./snapshot.ts";
import type { ReadReport, RecordSink, RecordStore, Signature, WriteSession } from "./store.ts";
import { createV2Tables, insertV2, recordFromV2, selectV2 } from "./v2-layout.ts";
import type { WallTime } from "./wall-time.ts";

/** Another reader holds the file for milliseconds; a writer is worth waiting for this long. */
const lockWaitMs = 300;
const lockPauseMs = 50;
/** An empty file may be one that another program has just begun. */
const emptyFilePauseMs = 100;

export interface DuckDbStoreOptions {
  readonly path: string;
  /** Where copies of a held file are made. */
  readonly snapshotDirectory: string;
  readonly wallTime: WallTime;
  readonly logger: Logger;
}

/** Session-Buddy's DuckDB file. */
export class DuckDbRecordStore implements RecordStore {
  readonly path: string;
  readonly #options: DuckDbStoreOptions;
  readonly #nextId = monotonicFactory();
  /**
   * One at a time: DuckDB's lock on the file belongs to the whole process, and reading the file
   * with another descriptor while it is open would drop that lock.
   */
  readonly #turn = pLimit(1);

  constructor(options: DuckDbStoreOptions) {
    this.path = options.path;
    this.#options = options;
  }

  async signature(): Promise<Signature | undefined> {
    return this.#translated("read", async () => signatureOf(await pairState(this.path)));
  }

  ensure(): Promise<void> {
    return this.#exclusive("created", async () => {
      await removeAbandonedSnapshots(this.#options.snapshotDirectory);
      await this.#ensure();
    });
  }

  read(sink: RecordSink, signal?: AbortSignal): Promise<ReadReport> {
    return this.#exclusive("read", () => this.#read(sink, signal), signal);
  }

  write<T>(work: (session: WriteSession) => Promise<T>, signal?: AbortSignal) {
    return this.#exclusive("written", () => this.#write(work, signal), signal);
  }

  async holder(): Promise<string | undefined> {
    return this.#turn(async () => {
      try {
        await using _database = await DuckDb.open(this.path, "read");
        return undefined;
      } catch (error) {
        return isLocked(error) ? (error.holder ?? "") : undefined;
      }
    });
  }

  async #ensure(): Promise<void> {
    if ((await sizeOf(this.path)) === 0) await sleep(emptyFilePauseMs);
    const size = await sizeOf(this.path);
    if (size !== undefined && size > 0) return;
    await mkdir(dirname(this.path), { recursive: true });
    await this.#setLogAside();
    // Made under another name and given its own when whole, so that neither a crash nor
    // Session-Buddy starting now meets half a file.
    const draft = `${this.path}.creating-${process.pid}`;
    try {
      {
        await using database = await DuckDb.open(draft, "write");
        await database.script(createV2Tables);
        await database.script("checkpoint");
      }
      if (size === undefined) await link(draft, this.path);
      else await rename(draft, this.path);
      this.#options.logger.info({ file: this.path }, "made Session-Buddy's file");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      await rm(draft, { force: true });
      await rm(`${draft}.wal`, { force: true });
    }
  }

  /** A log without its database would be replayed into a new file, where it does not belong. */
  async #setLogAside(): Promise<void> {
    if ((await sizeOf(`${this.path}.wal`)) === undefined) return;
    const aside = `${this.path}.wal.orphan-${Date.now()}`;
    await rename(`${this.path}.wal`, aside);
    this.#options.logger.warn({ log: aside }, "set aside a write-ahead log without its database");
  }

  async #read(sink: RecordSink, signal?: AbortSignal): Promise<ReadReport> {
    await this.#ensure();
    try {
      await using database = await DuckDb.open(this.path, "read");
      const signature = signatureOf(await pairState(this.path)) ?? "";
      const contents = await this.#readAll(database, sink, signal);
      return { contents, signature, snapshot: false, holder: undefined };
    } catch (error) {
      if (!isLocked(error)) throw error;
      await using copy = await takeSnapshot(this.path, this.#options.snapshotDirectory, signal);
      await using database = await DuckDb.open(copy.path, "read");
      const contents = await this.#readAll(database, sink, signal);
      return { contents, signature: copy.signature, snapshot: true, holder: error.holder ?? "" };
    }
  }

  async #readAll(database: DuckDb, sink: RecordSink, signal?: AbortSignal) {
    const tables = await tablesOf(database, signal);
    for (const { name, columns } of readRecords(tables)) {
      const rows = database.chunks(selectV2(name, columns), [], signal);
      for await (const chunk of rows) {
        await sink(chunk.map((row) => recordFromV2(name, row, this.#options.wallTime)));
      }
    }
    return readContents(database, tables, basename(this.path), signal);
  }

  async #write<T>(work: (session: WriteSession) => Promise<T>, signal?: AbortSignal) {
    await this.#ensure();
    let inserted = false;
    let held: Signature | undefined;
    let result: T;
    {
      await using database = await this.#openForWriting(signal);
      const session: WriteSession = {
        signature: signatureOf(await pairState(this.path)) ?? "",
        read: (sink) => this.#readAll(database, sink, signal),
        insert: async (draft) => {
          const record = await this.#insert(database, draft);
          inserted = true;
          return record;
        },
      };
      await database.script("begin");
      result = await work(session);
      signal?.throwIfAborted();
      await database.script("commit");
      if (inserted) await this.#checkpoint(database);
      held = signatureOf(await pairState(this.path));
    }
    // Unchanged by closing: nobody else has written since we held it.
    const left = signatureOf(await pairState(this.path));
    return { result, signature: held === left ? left : undefined };
  }

  /** What is committed is durable already; a log left behind is only untidy. */
  async #checkpoint(database: DuckDb): Promise<void> {
    try {
      await database.script("checkpoint");
    } catch (error) {
      this.#options.logger.warn({ err: error }, "committed, but could not checkpoint");
    }
  }

  async #openForWriting(signal?: AbortSignal): Promise<DuckDb> {
    await this.#refuseUnwritable();
    const until = performance.now() + lockWaitMs;
    for (;;) {
      try {
        return await DuckDb.open(this.path, "write");
      } catch (error) {
        if (!isLocked(error) || performance.now() > until) throw error;
        await sleep(lockPauseMs, signal);
      }
    }
  }

  /** Looked at before the file is opened for writing: opening alone replays the log. */
  async #refuseUnwritable(): Promise<void> {
    await using database = await DuckDb.open(this.path, "read");
    const indexes = await unwritableIndexesOf(database);
    if (indexes.length > 0) throw new UnwritableIndexError(indexes);
  }

  async #insert(database: DuckDb, draft: Draft): Promise<StoredRecord> {
    const { wallTime } = this.#options;
    const known = await tablesOf(database);
    if (!known.some(({ schema, name }) => schema === "main" && name === "reflections_v2")) {
      await database.script(createV2Tables);
    }
    const tables = (await tablesOf(database)).filter(({ schema }) => schema === "main");
    const columns = tables.find(({ name }) => name === "reflections_v2")?.columns ?? new Set();
    const id = this.#nextId();
    const insert = insertV2(draft, id, Date.now() * 1_000, columns, wallTime);
    await database.rows(insert.sql, insert.parameters);
    // Session-Buddy answers from it for a week, and would not see the new record.
    if (tables.some(({ name }) => name === "query_cache_l2")) {
      await database.script("delete from query_cache_l2");
    }
    const rows = await database.rows(`${selectV2("reflections_v2", columns)} where id = $1`, [id]);
    return recordFromV2("reflections_v2", rows[0] ?? {}, wallTime);
  }

  #exclusive<T>(done: Done, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turn(() => {
      signal?.throwIfAborted();
      return this.#translated(done, work, signal);
    });
  }

  async #translated<T>(done: Done, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      throw toDomainError(error, this.path, done);
    }
  }
}

type Done = "read" | "written" | "created";

function isLocked(error: unknown): error is DuckDbError {
  return error instanceof DuckDbError && error.fault === "locked";
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The driver's words stay in `cause`, for the log. */
function toDomainError(error: unknown, path: string, done: Done): unknown {
  if (error instanceof DomainError) return error;
  const failed = (why: string) =>
    new StoreUnavailableError(`${path} cannot be ${done}: ${why}`, error);
  if (error instanceof SnapshotUnsteadyError) {
    return failed("another program holds it and keeps changing it");
  }
  if (error instanceof DuckDbError) {
    if (error.fault === "locked" && done === "written") {
      return new StoreLockedError(error.holder, error);
    }
    return failed(whys[error.fault]);
  }
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === "string" ? failed(systemWhys[code] ?? code) : error;
}

const whys = {
  locked: "another program holds it",
  damaged: "it is damaged, cut short or no DuckDB file",
  newer: "a newer DuckDB wrote it than this program has",
  denied: "permission denied",
  absent: "it is not there",
  other: "DuckDB refuses it; the log says why",
} as const;

const systemWhys: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "no space is left",
  ENOTDIR: "a part of its path is no directory",
  ENOENT: "a part of its path is not there",
};
