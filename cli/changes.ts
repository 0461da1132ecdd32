/** How long nothing more must change before a run begins, and how long it is put off at most. */
const quietMs = 400;
const maxWaitMs = 5_000;
/** Between runs for the sake of paths that ingestion seems not to care for; doubled each time. */
const firstIdlePauseMs = 2_000;
const maxIdlePauseMs = 60_000;
const maxIdlePaths = 10_000;

/**
 * Gathers what changes in a folder and tells when it is time to ingest again. Times are in
 * milliseconds of any clock.
 *
 * Paths whose changes brought nothing are idle: a log, a database, or whatever else ingestion passes
 * over and the watcher does not know of. Where only such paths change, runs come more and more
 * seldom; a change of any other path is not held up by them.
 */
export class Changes {
  #pending = new Set<string>();
  #first = 0;
  #last = 0;
  readonly #idle = new Set<string>();
  #idleRuns = 0;
  #lastRun = -Infinity;

  add(path: string, now: number): void {
    if (this.#pending.size === 0) this.#first = now;
    this.#last = now;
    this.#pending.add(path);
  }

  /** What has changed and is not ingested yet. */
  get paths(): ReadonlySet<string> {
    return this.#pending;
  }

  get size(): number {
    return this.#pending.size;
  }

  /** When a run is due; undefined while nothing has changed. */
  dueAt(): number | undefined {
    if (this.#pending.size === 0) return undefined;
    const soon = Math.min(this.#last + quietMs, this.#first + maxWaitMs);
    for (const path of this.#pending) if (!this.#idle.has(path)) return soon;
    const pause = Math.min(maxIdlePauseMs, firstIdlePauseMs * 2 ** Math.max(0, this.#idleRuns - 1));
    return Math.max(soon, this.#lastRun + pause);
  }

  /** What has changed, to be ingested by the run that begins now. */
  take(): ReadonlySet<string> {
    const taken = this.#pending;
    this.#pending = new Set();
    return taken;
  }

  /** The run for these paths has ended, at `now`, and did or did not change what is stored. */
  ran(paths: ReadonlySet<string>, changedAnything: boolean, now: number): void {
    this.#lastRun = now;
    if (changedAnything) {
      this.#idleRuns = 0;
      for (const path of paths) this.#idle.delete(path);
      return;
    }
    this.#idleRuns++;
    if (this.#idle.size + paths.size > maxIdlePaths) this.#idle.clear();
    for (const path of paths) this.#idle.add(path);
  }

  /** The run for these paths came to nothing: they are to be ingested yet. */
  putBack(paths: ReadonlySet<string>, now: number): void {
    for (const path of paths) this.add(path, now);
  }
}
