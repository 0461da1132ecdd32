import { hasEnded, type Ingestion, type IngestionStage } from "./ingestion.ts";
import type { PipelineStage } from "./stage-clock.ts";
import type { StopRequest } from "./stop-request.ts";
import type { IngestionKey } from "./store.ts";
import { Tally } from "./tally.ts";

/** An ingestion as those see it who follow it. */
export interface IngestionView extends Ingestion {
  /** The file that was read last; "" where that is not known. */
  readonly currentFile: string;
  /** For how long each part of the pipeline was at work; undefined where that is not known. */
  readonly busyMs: Readonly<Record<PipelineStage, number>> | undefined;
  /** The part that sets the pace; undefined where that is not known. */
  readonly slowest: PipelineStage | undefined;
}

/** An ingestion of which no more is known than its record. */
export function viewOfRecord(record: Ingestion): IngestionView {
  return { ...record, currentFile: "", busyMs: undefined, slowest: undefined };
}

/** An ingestion that this process works on. */
export class LiveIngestion {
  readonly tenant: string;
  readonly tally: Tally;
  readonly #stop = new AbortController();
  #changed = Promise.withResolvers<void>();
  #record: Ingestion;

  constructor(tenant: string, record: Ingestion) {
    this.tenant = tenant;
    this.#record = record;
    this.tally = new Tally(record.progress);
  }

  get id(): string {
    return this.#record.id;
  }

  get key(): IngestionKey {
    return { tenant: this.tenant, id: this.id };
  }

  get record(): Ingestion {
    return this.#record;
  }

  get hasEnded(): boolean {
    return hasEnded(this.#record.status);
  }

  /** Aborts with a StopRequest. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** The first reason counts. */
  stop(why: StopRequest): void {
    this.#stop.abort(why);
  }

  enter(stage: IngestionStage): void {
    this.tally.stage = stage;
    this.#tell();
  }

  end(outcome: Pick<Ingestion, "status" | "progress" | "message">): void {
    this.#record = { ...this.#record, ...outcome, endTime: new Date() };
    this.#tell();
  }

  /** This process works on it no more, and it has not ended: its record tells the rest. */
  leave(): void {
    this.#tell();
  }

  view(): IngestionView {
    const { currentFile, clock } = this.tally;
    const more = { currentFile, busyMs: clock.busyMs(), slowest: clock.slowest() };
    if (this.hasEnded) return { ...this.#record, ...more };
    return { ...this.#record, progress: this.tally.snapshot(), ...more };
  }

  /** Resolves with the next change of stage or status, or after `ms`. */
  async changed(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const wait = Promise.withResolvers<void>();
    const timer = setTimeout(wait.resolve, ms);
    const onAbort = () => wait.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([wait.promise, this.#changed.promise]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  #tell(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}
