/** The only file that knows @duckdb/node-api. */
import {
  BLOB,
  BOOLEAN,
  blobValue,
  DOUBLE,
  type DuckDBConnection,
  type DuckDBDataChunk,
  DuckDBInstance,
  type DuckDBResult,
  type DuckDBType,
  type DuckDBValue,
  JSDuckDBValueConverter,
  LIST,
  listValue,
  SQLNULL,
  TIMESTAMP,
  timestampValue,
  VARCHAR,
} from "@duckdb/node-api";
import { createBreathe } from "./event-loop.ts";

const interruptPauseMs = 20;
/** Rows are made into objects so many, or so many characters, at a time. */
const sliceRows = 256;
const sliceCharacters = 1_048_576;

/** Columns by name: text, numbers, bigint for BIGINT, arrays for lists, null. */
export type Row = Readonly<Record<string, unknown>>;

/** Parameters whose DuckDB type is not plain from the JavaScript value. */
export type Parameter =
  | null
  | boolean
  | number
  | string
  | { readonly texts: readonly string[] }
  | { readonly bytes: Uint8Array }
  /** Microseconds for a TIMESTAMP without a zone. */
  | { readonly wallMicros: bigint };

/** Why a file could not be used. */
export type DuckDbFault = "locked" | "damaged" | "newer" | "denied" | "absent" | "other";

/** A DuckDB error, classified. Its message is driver text: for logs, never for callers. */
export class DuckDbError extends Error {
  override readonly name = "DuckDbError";
  readonly fault: DuckDbFault;
  /** With fault `locked`: who holds the file, such as `python3.13 (PID 4711)`, where DuckDB says. */
  readonly holder: string | undefined;

  constructor(cause: unknown) {
    const message = cause instanceof Error ? cause.message : String(cause);
    super(message, { cause });
    this.fault = faultOf(message);
    this.holder = holderOf(message);
  }
}

/** Faults by DuckDB 1.5's wording; the first that fits. */
const faults: readonly (readonly [DuckDbFault, RegExp])[] = [
  ["locked", /could not set lock on file|being used by another process/i],
  ["newer", /database file with version number|newer version of duckdb|storage version/i],
  ["denied", /permission denied|read-only file system|operation not permitted/i],
  ["absent", /database does not exist|no such file/i],
  [
    "damaged",
    /not a valid duckdb database|could not read enough bytes|corrupt|checksum|serialization error|internal error|fatal error|replaying wal|database has been invalidated/i,
  ],
];

function faultOf(message: string): DuckDbFault {
  return faults.find(([, pattern]) => pattern.test(message))?.[0] ?? "other";
}

/** `Conflicting lock is held in /usr/bin/python3.13 (PID 4711)` -> `python3.13 (PID 4711)`. */
function holderOf(message: string): string | undefined {
  const held = /lock is held in (.+?) \(PID (\d+)\)/i.exec(message);
  if (held === null) return undefined;
  return `${held[1]?.split(/[\\/]/).at(-1)} (PID ${held[2]})`;
}

/**
 * One open database. Work runs on DuckDB's own threads, and its results are made into rows in small
 * slices with pauses, so that the event loop stays free however long the texts are. Not for calls
 * side by side: one statement at a time.
 */
export class DuckDb implements AsyncDisposable {
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;
  /** The native call that runs now: closing under it would end the process. */
  #busy: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance;
    this.#connection = connection;
  }

  /** @throws DuckDbError */
  static async open(path: string, access: "read" | "write"): Promise<DuckDb> {
    try {
      const instance = await DuckDBInstance.create(path, {
        access_mode: access === "read" ? "READ_ONLY" : "READ_WRITE",
        threads: "2",
        // Nothing is fetched from the network because a file or a statement names an extension.
        autoinstall_known_extensions: "false",
        autoload_known_extensions: "false",
      });
      try {
        return new DuckDb(instance, await instance.connect());
      } catch (error) {
        instance.closeSync();
        throw error;
      }
    } catch (error) {
      throw new DuckDbError(error);
    }
  }

  /** Rows in slices of at most 256. Aborting the signal interrupts the statement. */
  async *chunks(
    sql: string,
    parameters: readonly Parameter[] = [],
    signal?: AbortSignal,
  ): AsyncGenerator<Row[]> {
    signal?.throwIfAborted();
    // One interrupt is lost when it comes before the statement runs, so it is repeated.
    let interrupting: NodeJS.Timeout | undefined;
    const interrupt = () => {
      this.#connection.interrupt();
      interrupting = setInterval(() => this.#connection.interrupt(), interruptPauseMs);
    };
    signal?.addEventListener("abort", interrupt, { once: true });
    let unread: DuckDBResult | undefined;
    try {
      const bound = parameters.map(bind);
      const result = await this.#native(() =>
        this.#connection.stream(
          sql,
          bound.map(([value]) => value),
          bound.map(([, type]) => type),
        ),
      );
      unread = result;
      const names = result.deduplicatedColumnNames();
      const breathe = createBreathe(signal);
      for (;;) {
        const chunk = await this.#native(() => result.fetchChunk());
        if (chunk === null || chunk.rowCount === 0) break;
        for (const rows of slices(chunk, names)) {
          yield rows;
          await breathe();
        }
      }
      unread = undefined;
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof DuckDbError ? error : new DuckDbError(error);
    } finally {
      signal?.removeEventListener("abort", interrupt);
      clearInterval(interrupting);
      // A result that is not read to its end keeps the file locked after closing.
      if (unread !== undefined) await this.#discard(unread);
    }
  }

  async #discard(result: DuckDBResult): Promise<void> {
    this.#connection.interrupt();
    try {
      while (((await this.#native(() => result.fetchChunk()))?.rowCount ?? 0) > 0);
    } catch {
      // The interrupt itself arrives here; the result is at its end.
    }
  }

  /** All rows; for results known to be small. */
  async rows(
    sql: string,
    parameters: readonly Parameter[] = [],
    signal?: AbortSignal,
  ): Promise<Row[]> {
    const all: Row[] = [];
    for await (const chunk of this.chunks(sql, parameters, signal)) all.push(...chunk);
    return all;
  }

  /** Runs several statements without parameters, such as a schema. */
  async script(sql: string): Promise<void> {
    try {
      await this.#native(() => this.#connection.run(sql));
    } catch (error) {
      throw new DuckDbError(error);
    }
  }

  #native<T>(call: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error("the database is closed");
    const running = call();
    this.#busy = running.catch(() => {});
    return running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#busy;
    this.#connection.closeSync();
    this.#instance.closeSync();
  }
}

/** A chunk holds some 2,000 rows, of which one alone may be a megabyte. */
function* slices(chunk: DuckDBDataChunk, names: readonly string[]): Generator<Row[]> {
  let rows: Row[] = [];
  let characters = 0;
  for (let at = 0; at < chunk.rowCount; at++) {
    const row: Record<string, unknown> = {};
    chunk.convertRowValues(at, JSDuckDBValueConverter).forEach((value, column) => {
      row[names[column] ?? ""] = value;
      if (typeof value === "string") characters += value.length;
    });
    rows.push(row);
    if (rows.length < sliceRows && characters < sliceCharacters) continue;
    yield rows;
    rows = [];
    characters = 0;
  }
  if (rows.length > 0) yield rows;
}

function bind(value: Parameter): [DuckDBValue, DuckDBType] {
  if (value === null) return [null, SQLNULL];
  if (typeof value === "boolean") return [value, BOOLEAN];
  if (typeof value === "number") return [value, DOUBLE];
  if (typeof value === "string") return [value, VARCHAR];
  if ("texts" in value) return [listValue(value.texts), LIST(VARCHAR)];
  if ("bytes" in value) return [blobValue(value.bytes), BLOB];
  return [timestampValue(value.wallMicros), TIMESTAMP];
}
