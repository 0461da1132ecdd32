import type { PullProgress } from "./ollama-client.ts";

export interface ModelPullerOptions {
  /** Fetches a model and yields its steps; throws when it fails. */
  readonly pull: (model: string, signal: AbortSignal) => AsyncIterable<PullProgress>;
  /** Told of each new step, and of every tenth part of a layer. */
  readonly onProgress: (model: string, progress: string) => void;
  readonly onEnd: (model: string, error?: unknown) => void;
  /** Pause after a pull, whether or not it has brought what is wanted. Default 60,000 ms. */
  readonly retryAfterMs?: number;
}

/** Fetches a missing model in the background, one pull at a time. */
export class ModelPuller implements AsyncDisposable {
  readonly #options: ModelPullerOptions;
  readonly #closing = new AbortController();
  #pulling: Promise<void> | undefined;
  #notBefore = Number.NEGATIVE_INFINITY;
  #progress: string | undefined;

  constructor(options: ModelPullerOptions) {
    this.#options = options;
  }

  /** How far the pull has come, such as `pulling 40 %`; undefined while there is none. */
  get progress(): string | undefined {
    return this.#progress;
  }

  /** Does nothing while a pull is under way, or when one has ended just now. */
  start(model: string): void {
    if (this.#closing.signal.aborted || this.#pulling !== undefined) return;
    if (performance.now() < this.#notBefore) return;
    this.#progress = "pulling";
    this.#pulling = this.#pull(model).finally(() => {
      this.#pulling = undefined;
      this.#progress = undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the puller is closing"));
    await this.#pulling;
  }

  async #pull(model: string): Promise<void> {
    const { pull, onProgress, onEnd, retryAfterMs = 60_000 } = this.#options;
    const { signal } = this.#closing;
    let told = "";
    try {
      for await (const { status, completed, total } of pull(model, signal)) {
        const tenth = total > 0 ? ` ${Math.floor((completed / total) * 10) * 10} %` : "";
        this.#progress = `${status}${tenth}`;
        if (this.#progress === told) continue;
        told = this.#progress;
        onProgress(model, told);
      }
      this.#notBefore = performance.now() + retryAfterMs;
      onEnd(model);
    } catch (error) {
      if (signal.aborted) return;
      this.#notBefore = performance.now() + retryAfterMs;
      onEnd(model, error);
    }
  }
}
