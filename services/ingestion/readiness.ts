import { sleep } from "../../shared/lifecycle.ts";
import type { Logger } from "../../shared/logging.ts";

/** Something that this process cannot serve without; throws, with a reason for people, where it is not there. */
export interface Requirement {
  readonly name: string;
  readonly check: (signal: AbortSignal) => Promise<void>;
}

export interface ReadinessOptions {
  readonly requirements: readonly Requirement[];
  readonly onChange: (ready: boolean) => void;
  readonly logger: Logger;
  /** Pause between two looks, default 2,000 ms. */
  readonly intervalMs?: number;
  /** How long one look may take, default 5,000 ms; a busy database is not a missing one. */
  readonly timeoutMs?: number;
}

/** Looks at all requirements again and again, and tells whenever the verdict changes. */
export class Readiness implements AsyncDisposable {
  readonly #options: ReadinessOptions;
  readonly #stop = new AbortController();
  readonly #missing = new Map<string, string>();
  #ready: boolean | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  start(): void {
    const { signal } = this.#stop;
    this.#looking = (async () => {
      while (!signal.aborted) {
        await this.#look(signal);
        await sleep(this.#options.intervalMs ?? 2_000, signal).catch(() => {});
      }
    })();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#looking;
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { requirements, onChange } = this.#options;
    const verdicts = await Promise.all(requirements.map((one) => this.#isMet(one, signal)));
    if (signal.aborted) return;
    const ready = verdicts.every(Boolean);
    if (ready === this.#ready) return;
    this.#ready = ready;
    onChange(ready);
  }

  async #isMet({ name, check }: Requirement, signal: AbortSignal): Promise<boolean> {
    const timeout = AbortSignal.timeout(this.#options.timeoutMs ?? 5_000);
    try {
      await check(AbortSignal.any([signal, timeout]));
      if (this.#missing.delete(name)) this.#options.logger.info({ requirement: name }, "is there");
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      const why = error instanceof Error ? error.message : String(error);
      if (this.#missing.get(name) !== why) {
        this.#missing.set(name, why);
        this.#options.logger.warn({ requirement: name, why }, "waits for what it needs");
      }
      return false;
    }
  }
}
