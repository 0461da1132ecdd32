import { untilAborted } from "../../shared/abortable.ts";
import { sleep } from "../../shared/lifecycle.ts";
import type { HealthReport } from "./component-health.ts";
import type { HealthChecker } from "./health-checker.ts";

/** One who waits for the next report. A slow one finds only the newest: what counts is now. */
interface Watcher {
  newest: HealthReport | undefined;
  wake: () => void;
}

/** Reports on change, to any number of watchers by one poller, which runs only while there are any. */
export class HealthWatch {
  readonly #checker: HealthChecker;
  readonly #intervalMs: number;
  readonly #watchers = new Set<Watcher>();
  #poller: AbortController | undefined;

  constructor(checker: HealthChecker, intervalMs: number) {
    this.#checker = checker;
    this.#intervalMs = intervalMs;
  }

  get polling(): boolean {
    return this.#poller !== undefined;
  }

  /**
   * A report at once, then one whenever the status of any component differs from the report before.
   * Never ends by itself; rejects with the signal's reason.
   */
  async *watch(signal: AbortSignal): AsyncGenerator<HealthReport, never> {
    const watcher: Watcher = { newest: undefined, wake: () => {} };
    this.#join(watcher);
    try {
      let sent = await this.#checker.report([], signal);
      yield sent;
      for (;;) {
        const report = await next(watcher, signal);
        if (!sameStatuses(report, sent)) {
          sent = report;
          yield sent;
        }
      }
    } finally {
      this.#leave(watcher);
    }
  }

  #join(watcher: Watcher): void {
    this.#watchers.add(watcher);
    if (this.#poller !== undefined) return;
    this.#poller = new AbortController();
    void this.#poll(this.#poller.signal);
  }

  #leave(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0) return;
    this.#poller?.abort();
    this.#poller = undefined;
  }

  async #poll(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await sleep(this.#intervalMs, signal);
        const report = await this.#checker.report([], signal);
        for (const watcher of this.#watchers) {
          watcher.newest = report;
          watcher.wake();
        }
      }
    } catch (error) {
      // A report and a sleep fail only when nobody watches any more.
      if (!signal.aborted) throw error;
    }
  }
}

async function next(watcher: Watcher, signal: AbortSignal): Promise<HealthReport> {
  for (;;) {
    const { newest } = watcher;
    if (newest !== undefined) {
      watcher.newest = undefined;
      return newest;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    watcher.wake = resolve;
    await untilAborted(promise, signal);
  }
}

function sameStatuses(a: HealthReport, b: HealthReport): boolean {
  const before = new Map(b.components.map(({ name, status }) => [name, status]));
  return (
    a.components.length === before.size &&
    a.components.every(({ name, status }) => before.get(name) === status)
  );
}
