import { readdirSync, readFileSync } from "node:fs";
import type { BenchPlatform } from "./platform-on.ts";

/** Which processes stand for a part, when asked: a part may have more of them by then. */
export type Parts = Readonly<Record<string, () => readonly number[]>>;

/** What the processor does for parts of a platform, as Linux tells in hundredths of a second. */
export class ProcessorTime {
  readonly #parts: Parts;
  readonly #before = new Map<number, number>();

  /** Counts from now on. */
  constructor(parts: Parts) {
    this.#parts = parts;
    for (const pids of Object.values(parts)) {
      for (const pid of pids()) this.#before.set(pid, processorMs(pid));
    }
  }

  /** Milliseconds by part; of a process that ended meanwhile nothing is known. */
  sinceThen(): (readonly [string, number])[] {
    const taken = (pid: number) => processorMs(pid) - (this.#before.get(pid) ?? 0);
    return Object.entries(this.#parts).map(([name, pids]) => [
      name,
      pids().reduce((sum, pid) => sum + taken(pid), 0),
    ]);
  }
}

/** Services of a platform by name, its database and this process, as the client. */
export function partsOf(
  { platform, embedded }: Pick<BenchPlatform, "platform" | "embedded">,
  services: readonly string[],
): Parts {
  const one = (name: string) => () => [platform.process(name).pid ?? 0];
  const database = new URL(platform.postgresUrl).pathname.slice(1);
  return {
    ...Object.fromEntries(services.map((name) => [name, one(name)])),
    PostgreSQL: embedded ? one("embedded-postgres") : () => backendsOf(database),
    client: () => [process.pid],
  };
}

/** What serves the connections of a database of a PostgreSQL on this machine: none where it is not. */
function backendsOf(database: string): number[] {
  // "postgres: user database host(port) state", before which may stand the cluster's name.
  const serves = (title: string) =>
    title.startsWith("postgres: ") && title.split(" ").slice(2, 4).includes(database);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && serves(read(`/proc/${name}/cmdline`)))
    .map(Number);
}

/** Of a process, in its own code and in the system's for it; 0 where there is none. */
function processorMs(pid: number): number {
  const stat = read(`/proc/${pid}/stat`);
  // The name before it may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const hundredths = Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  return hundredths * 10;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // It ended meanwhile.
    return "";
  }
}
