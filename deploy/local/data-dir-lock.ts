import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Another process uses the data dir. */
export class DataDirInUseError extends Error {
  override readonly name = "DataDirInUseError";
}

/**
 * Takes `<dataDir>/<name>.lock`, which holds the owner's process id and start time: a lock whose
 * owner is gone, even by SIGKILL, or whose id another program has by now, is taken over.
 */
export function lockDataDir(dataDir: string, name: string): AsyncDisposable {
  mkdirSync(dataDir, { recursive: true });
  const path = join(dataDir, `${name}.lock`);
  const own = `${path}.${process.pid}`;
  writeFileSync(own, `${process.pid} ${startTime(process.pid)}\n`);
  try {
    while (!linked(own, path)) {
      const owner = readOwner(path);
      if (owner !== undefined && startTime(owner.pid) === owner.since) {
        throw new DataDirInUseError(`${dataDir} is in use by process ${owner.pid}`);
      }
      removeStale(path, owner);
    }
  } finally {
    rmSync(own, { force: true });
  }
  return { [Symbol.asyncDispose]: async () => rmSync(path, { force: true }) };
}

/**
 * Removes the lock of an owner that is gone. It is renamed first and looked at again: where
 * another process took it over meanwhile, the new owner's lock is put back.
 */
function removeStale(path: string, seen: Owner | undefined): void {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw error;
  }
  const found = readOwner(aside);
  if (found?.pid !== seen?.pid || found?.since !== seen?.since) linked(aside, path);
  rmSync(aside, { force: true });
}

interface Owner {
  readonly pid: number;
  readonly since: string;
}

/** Makes the lock in one step, whole; false where there is one already. */
function linked(own: string, path: string): boolean {
  try {
    linkSync(own, path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

function readOwner(path: string): Owner | undefined {
  try {
    const [pid, since] = readFileSync(path, "utf8").trim().split(" ");
    return since === undefined ? undefined : { pid: Number(pid), since };
  } catch {
    return undefined;
  }
}

/** When a process started, in the kernel's own measure; `unknown` where it does not run. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "unknown";
  } catch {
    return isAlive(pid) ? "running" : "gone";
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
