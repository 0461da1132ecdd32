import { constants, copyFile, mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { sleep } from "../../shared/lifecycle.ts";
import { DuckDb, DuckDbError } from "./duckdb.ts";

/** A busy writer is waited for this often, this long each time. */
const attempts = 5;
const pauseMs = 100;

interface FileState {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ino: bigint;
}

/** A DuckDB file and its write-ahead log as they stand on disk. */
export interface PairState {
  readonly database: FileState | undefined;
  readonly log: FileState | undefined;
}

export async function pairState(path: string): Promise<PairState> {
  const [database, log] = await Promise.all([fileState(path), fileState(`${path}.wal`)]);
  return { database, log };
}

/** Equal for equal versions of the pair; undefined where there is no database or an empty one. */
export function signatureOf({ database, log }: PairState): string | undefined {
  if (database === undefined || database.size === 0n) return undefined;
  const one = (state: FileState | undefined) =>
    state === undefined ? "-" : `${state.ino}:${state.size}:${state.mtimeNs}`;
  return `${one(database)} ${one(log)}`;
}

async function fileState(path: string): Promise<FileState | undefined> {
  try {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true });
    return { size, mtimeNs, ino };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** A private copy of a database that another program holds; disposing removes it. */
export interface Snapshot extends AsyncDisposable {
  readonly path: string;
  /** The version that was copied. */
  readonly signature: string;
}

/** The file changed during every attempt to copy it. */
export class SnapshotUnsteadyError extends Error {
  override readonly name = "SnapshotUnsteadyError";
}

/** A file of no bytes: its maker has only begun, or was killed. */
export class EmptyFileError extends Error {
  override readonly name = "EmptyFileError";
}

/**
 * Copies database and log together. The log alone holds what was not checkpointed yet, and it may
 * grow meanwhile: its beginning is a state that was committed. Any other change starts again.
 *
 * Must not run while this process has the same file open: closing the descriptor that copies would
 * drop the process's lock on it (POSIX).
 */
export async function takeSnapshot(
  path: string,
  directory: string,
  signal?: AbortSignal,
): Promise<Snapshot> {
  const own = join(directory, `${process.pid}-${++taken}`);
  const copy = join(own, "copy.duckdb");
  const remove = () => rm(own, { recursive: true, force: true });
  try {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      await remove();
      await mkdir(own, { recursive: true, mode: 0o700 });
      const before = await pairState(path);
      if (before.database?.size === 0n) throw new EmptyFileError(`${path} is empty`);
      await copyFile(path, copy, constants.COPYFILE_FICLONE);
      if (before.log !== undefined) await copyLog(path, copy);
      const after = await pairState(path);
      const signature = signatureOf(before);
      if (signature !== undefined && isSteady(before, after)) {
        return { path: copy, signature, [Symbol.asyncDispose]: remove };
      }
      await sleep(pauseMs, signal);
    }
    throw new SnapshotUnsteadyError(`${path} changed during ${attempts} attempts to copy it`);
  } catch (error) {
    await remove();
    throw error;
  }
}

let taken = 0;

export interface OpenSnapshot {
  readonly database: DuckDb;
  /** True when its log could not be replayed, so that what is only in there is missing. */
  readonly withoutLog: boolean;
}

/**
 * Opens a copy. A log that this program cannot replay, since it is damaged or has changes of an
 * index that needs an extension, leaves what was checkpointed before.
 * @throws DuckDbError
 */
export async function openSnapshot(copy: Snapshot): Promise<OpenSnapshot> {
  try {
    return { database: await DuckDb.open(copy.path, "read"), withoutLog: false };
  } catch (error) {
    const log = `${copy.path}.wal`;
    if (!(await isUnreplayable(error, log))) throw error;
    await rm(log);
    return { database: await DuckDb.open(copy.path, "read"), withoutLog: true };
  }
}

/** Whether it may be the log alone that keeps a file from being opened. */
export async function isUnreplayable(error: unknown, log: string): Promise<boolean> {
  return (
    error instanceof DuckDbError &&
    error.fault === "damaged" &&
    (await fileState(log)) !== undefined
  );
}

/** The log may be gone by now, after a checkpoint; the state afterwards tells. */
async function copyLog(path: string, copy: string): Promise<void> {
  try {
    await copyFile(`${path}.wal`, `${copy}.wal`, constants.COPYFILE_FICLONE);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function isSteady(before: PairState, after: PairState): boolean {
  const { database: d1, log: l1 } = before;
  const { database: d2, log: l2 } = after;
  if (d1?.ino !== d2?.ino || d1?.size !== d2?.size || d1?.mtimeNs !== d2?.mtimeNs) return false;
  if (l1 === undefined || l2 === undefined) return l1 === l2;
  return l1.ino === l2.ino && l2.size >= l1.size;
}

/** Removes copies that a killed process left behind. */
export async function removeAbandonedSnapshots(directory: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(directory);
  } catch {
    return;
  }
  for (const name of names) {
    const pid = Number(/^(\d+)-\d+$/.exec(name)?.[1] ?? Number.NaN);
    if (Number.isNaN(pid) || (pid !== process.pid && isAlive(pid))) continue;
    await rm(join(directory, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
