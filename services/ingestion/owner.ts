import { hostname } from "node:os";
import { newId } from "../../shared/ids.ts";
import type { Owner, RunningIngestion } from "./store.ts";

/** Silence after which an owner is taken for dead; it beats every second. */
const silenceMs = 30_000;

/** This life of this process. */
export function thisProcess(): Owner {
  return { host: hostname(), pid: process.pid, life: newId() };
}

/**
 * Whether nobody runs an ingestion any more; `holds` tells of this process's own. On this host the process table knows at once, on
 * others only silence tells. A wrong guess does no harm: an owner whose ingestion was taken away
 * learns of it with its next beat and stops.
 */
export function isOrphan(
  { id, owner, silentMs }: RunningIngestion,
  own: Owner,
  holds: (id: string) => boolean,
): boolean {
  if (owner.life === own.life) return !holds(id);
  if (silentMs > silenceMs) return true;
  if (owner.host !== own.host) return false;
  return owner.pid === own.pid || !isAlive(owner.pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
