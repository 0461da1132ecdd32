import { hasEnded, type Ingestion, type IngestionStage, Tally } from "./ingestion.ts";

/** Why an ingestion was told to stop. */
export class StopRequest extends Error {
  override readonly name = "StopRequest";
  readonly why: "cancelled" | "interrupted" | "lost";

  constructor(why: StopRequest["why"], message: string) {
    super(message);
    this.why = why;
  }
}

/** An ingestion as those see it who follow it. */
export interface IngestionView extends Ingestion {
  /** The file that was read last; "" where that is not known. */
  readonly currentFile: string;
}

/** An ingestion that runs in this process. */
export class LiveIngestion {
  readonly tenant: string;
  readonly tally = new Tally();
  readonly #stop = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  #changed = Promise.withResolvers<void>();
  #record: Ingestion;

  constructor(tenant: string, record: Ingestion) {
    this.tenant = tenant;
    this.#record = record;
  }

  get id(): string {
    return this.#record.id;
  }

  get record(): Ingestion {
    return this.#record;
  }

  /** Aborts with a StopRequest. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Resolves once it has ended and its end is recorded. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  stop(why: StopRequest["why"], message: string): void {
    this.#stop.abort(new StopRequest(why, message));
  }

  begin(): void {
    this.#record = { ...this.#record, status: "in_progress", startTime: new Date() };
    this.#tell();
  }

  enter(stage: IngestionStage): void {
    this.tally.stage = stage;
    this.#tell();
  }

  end(outcome: Pick<Ingestion, "status" | "progress" | "message">): void {
    this.#record = { ...this.#record, ...outcome, endTime: new Date() };
    this.#tell();
    this.#ended.resolve();
  }

  view(): IngestionView {
    const { currentFile } = this.tally;
    if (hasEnded(this.#record.status)) return { ...this.#record, currentFile };
    return { ...this.#record, progress: this.tally.snapshot(), currentFile };
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
