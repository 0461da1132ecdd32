import { hostname } from "node:os";
import { newId } from "../../../shared/ids.ts";

/** The process that runs a migration. */
export interface Owner {
  readonly host: string;
  readonly pid: number;
  /** Differs between two lives of one process id. */
  readonly life: string;
}

interface Owned {
  readonly id: string;
  readonly owner: Owner;
  /** Since its last sign of life, in milliseconds. */
  readonly silentMs: number;
}

/** Silence after which an owner is taken for dead; it beats every second. */
const silenceMs = 30_000;

/** This life of this process. */
export function thisProcess(): Owner {
  return { host: hostname(), pid: process.pid, life: newId() };
}

/**
 * Whether nobody runs a migration any more; `holds` tells of this process's own. On this host the
 * process table knows at once, on others only silence tells. A wrong guess does no harm: an owner
 * whose migration was taken away learns of it with its next beat and stops.
 */
export function isOrphan(
  { id, owner, silentMs }: Owned,
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
