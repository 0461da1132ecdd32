import { sleep } from "../../shared/lifecycle.ts";
import type { Logger } from "../../shared/logging.ts";
import type { HealthSample } from "./component-health.ts";
import type { HealthChecker } from "./health-checker.ts";
import type { HealthHistoryStore } from "./store.ts";

export interface RecorderOptions {
  readonly checker: HealthChecker;
  readonly store: HealthHistoryStore;
  readonly logger: Logger;
  /** From the end of one sample to the begin of the next, in milliseconds. */
  readonly intervalMs: number;
  /** Samples older than this are deleted, in milliseconds. */
  readonly retentionMs: number;
}

const sweepEveryMs = 3_600_000;

/** An hour at the default interval. The history of an outage is what one wants to read after it. */
const mostRoundsWaiting = 120;

/** Takes a sample of every component's health now and then, and forgets old ones. */
export class HealthRecorder {
  readonly #options: RecorderOptions;
  #waiting: (readonly HealthSample[])[] = [];
  #lastSweep = Number.NEGATIVE_INFINITY;
  #failing = false;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.record(signal);
      await sleep(this.#options.intervalMs, signal).catch(() => {});
    }
  }

  /**
   * One round: looks, keeps, forgets. Where the store fails, the samples wait for the next round, up
   * to 120 rounds, and then the oldest are dropped.
   */
  async record(signal?: AbortSignal): Promise<void> {
    const { checker, store, retentionMs, logger } = this.#options;
    try {
      const { time, components } = await checker.report([], signal);
      this.#waiting.push(components.map((component) => ({ time, component })));
      this.#waiting = this.#waiting.slice(-mostRoundsWaiting);
      await store.add(this.#waiting.flat(), signal);
      this.#waiting = [];
      if (performance.now() - this.#lastSweep >= sweepEveryMs) {
        await store.deleteBefore(new Date(Date.now() - retentionMs), signal);
        this.#lastSweep = performance.now();
      }
      if (this.#failing) logger.info("health samples are kept again");
      this.#failing = false;
    } catch (error) {
      if (signal?.aborted) return;
      if (!this.#failing) logger.warn({ err: error }, "health samples wait for the database");
      this.#failing = true;
    }
  }
}
