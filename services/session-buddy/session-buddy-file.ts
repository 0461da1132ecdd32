import { link, mkdir, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import pLimit, { type LimitFunction } from "p-limit";
import { DomainError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";
import type { Logger } from "../../shared/logging.ts";
import { DuckDb, DuckDbError } from "./duckdb.ts";
import { unwritableIndexesOf } from "./duckdb-reading.ts";
import { StoreLockedError, StoreUnavailableError, UnwritableIndexError } from "./errors.ts";
import {
  EmptyFileError,
  isUnreplayable,
  type OpenSnapshot,
  openSnapshot,
  pairState,
  removeAbandonedSnapshots,
  type Snapshot,
  SnapshotUnsteadyError,
  signatureOf,
  takeSnapshot,
} from "./snapshot.ts";
import type { Signature } from "./store.ts";
import { createV2Tables } from "./v2-layout.ts";

/** Another reader holds the file for milliseconds; a writer is worth waiting for this long. */
const lockWaitMs = 300;
const lockPauseMs = 50;
/** An empty file may be one that another program has just begun. */
const emptyFilePauseMs = 100;

export interface SessionBuddyFileOptions {
  readonly path: string;
  /** Where copies of a held file are made. */
  readonly snapshotDirectory: string;
  /** Whether it is made where there is none. */
  readonly create: boolean;
  readonly logger: Logger;
}

/**
 * One piece of work at a time for each file in this process: DuckDB's lock on a file belongs to the
 * whole process, and closing another descriptor of the file would drop that lock.
 */
const turns = new Map<string, LimitFunction>();

async function inTurn<T>(path: string, work: () => Promise<T>): Promise<T> {
  const real = await realpath(path).catch(() => resolve(path));
  const turn = turns.get(real) ?? pLimit(1);
  turns.set(real, turn);
  try {
    return await turn(work);
  } finally {
    if (turn.activeCount + turn.pendingCount === 0) turns.delete(real);
  }
}

export interface Reading<T> {
  readonly value: T;
  /** The version that was read. */
  readonly signature: Signature;
  /** True when the file was held and a copy was read. */
  readonly snapshot: boolean;
  /** Who held it: "" when nobody knows the name; undefined when it was free. */
  readonly holder: string | undefined;
  /** True when its log could not be replayed; see openSnapshot. */
  readonly withoutLog: boolean;
}

/**
 * Session-Buddy's DuckDB file, opened for one piece of work at a time and closed after it, so that
 * Session-Buddy can always start. Errors are domain errors of errors.ts.
 */
export class SessionBuddyFile {
  readonly path: string;
  readonly #options: SessionBuddyFileOptions;
  constructor(options: SessionBuddyFileOptions) {
    this.path = options.path;
    this.#options = options;
  }

  /** Undefined where there is no file. Opens nothing. */
  signature(): Promise<Signature | undefined> {
    return this.#translated("read", async () => signatureOf(await pairState(this.path)));
  }

  /** Makes the file where there is none or an empty one; removes copies of a killed process. */
  ensure(): Promise<void> {
    return this.#exclusive("created", async () => {
      await removeAbandonedSnapshots(this.#options.snapshotDirectory);
      await this.#ensure();
    });
  }

  /** Reads the file, or a copy of it while another program holds it. */
  read<T>(work: (database: DuckDb) => Promise<T>, signal?: AbortSignal): Promise<Reading<T>> {
    return this.#exclusive("read", () => this.#read(work, signal), signal);
  }

  /** A copy of the file for work that takes long; whoever takes it disposes it. */
  copy(signal?: AbortSignal): Promise<Snapshot> {
    return this.#exclusive(
      "read",
      async () => {
        if (this.#options.create) await this.#ensure();
        return await takeSnapshot(this.path, this.#options.snapshotDirectory, signal);
      },
      signal,
    );
  }

  /** Whoever opens it closes it, before the copy is disposed. */
  openCopy(copy: Snapshot): Promise<OpenSnapshot> {
    return this.#translated("read", () => openSnapshot(copy));
  }

  /** The domain error for what went wrong with a copy; anything else as it is. */
  errorOf(error: unknown): unknown {
    return toDomainError(error, this.path, "read");
  }

  /**
   * Runs `work` in a transaction while nobody else can use the file. When it says that it changed
   * something, that is durable and checkpointed when this resolves. The signature is that of the
   * file afterwards; undefined when a foreign write cannot be ruled out.
   * @throws StoreLockedError, UnwritableIndexError
   */
  write<T>(
    work: (
      database: DuckDb,
      signature: Signature,
    ) => Promise<{ readonly value: T; readonly changed: boolean }>,
    signal?: AbortSignal,
  ): Promise<{ value: T; signature: Signature | undefined }> {
    return this.#exclusive("written", () => this.#write(work, signal), signal);
  }

  /** Who holds the file now: undefined when it is free, "" when nobody knows the name. */
  holder(): Promise<string | undefined> {
    return inTurn(this.path, async () => {
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

  async #read<T>(
    work: (database: DuckDb) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<Reading<T>> {
    if (this.#options.create) await this.#ensure();
    const direct = await this.#openDirect();
    if (direct instanceof DuckDb) {
      await using database = direct;
      const signature = signatureOf(await pairState(this.path)) ?? "";
      return { value: await work(database), signature, snapshot: false, ...free };
    }
    const { holder } = direct;
    await using copy = await takeSnapshot(this.path, this.#options.snapshotDirectory, signal);
    const { database, withoutLog } = await openSnapshot(copy);
    await using _database = database;
    const { signature } = copy;
    return { value: await work(database), signature, snapshot: true, holder, withoutLog };
  }

  /** Or why a copy has to be read: the file is held, or its log has to be left out. */
  async #openDirect(): Promise<DuckDb | { readonly holder: string | undefined }> {
    try {
      return await DuckDb.open(this.path, "read");
    } catch (error) {
      if (isLocked(error)) return { holder: error.holder ?? "" };
      if (await isUnreplayable(error, `${this.path}.wal`)) return { holder: undefined };
      throw error;
    }
  }

  async #write<T>(
    work: (
      database: DuckDb,
      signature: Signature,
    ) => Promise<{ readonly value: T; readonly changed: boolean }>,
    signal?: AbortSignal,
  ) {
    await this.#ensure();
    let value: T;
    let held: Signature | undefined;
    {
      await using database = await this.#openForWriting(signal);
      await database.script("begin");
      const done = await work(database, signatureOf(await pairState(this.path)) ?? "");
      signal?.throwIfAborted();
      await database.script("commit");
      value = done.value;
      if (done.changed) await this.#checkpoint(database);
      held = signatureOf(await pairState(this.path));
    }
    // Unchanged by closing: nobody else has written since we held it.
    const left = signatureOf(await pairState(this.path));
    return { value, signature: held === left ? left : undefined };
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
    const until = performance.now() + lockWaitMs;
    for (;;) {
      try {
        await this.#refuseUnwritable();
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

  #exclusive<T>(done: Done, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return inTurn(this.path, () => {
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

const free = { holder: undefined, withoutLog: false } as const;

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
  if (error instanceof EmptyFileError) return failed("it is empty");
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
