import { sleep } from "../../shared/lifecycle.ts";

/** Something that must answer before this service can do its work. */
export interface Requirement {
  readonly name: string;
  /** Resolves where it does its part; throws an error that says what is missing. */
  readonly check: (signal: AbortSignal) => Promise<void>;
}

/** Looks again and again whether everything that this service needs is there. */
export class Readiness implements AsyncDisposable {
  readonly #requirements: readonly Requirement[];
  readonly #timeoutMs: number;
  readonly #changed: (problems: readonly string[]) => void;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #problems: ReadonlyMap<string, string>;
  #told: string | undefined;

  /** `changed` learns what is missing, first of all and whenever that changes. */
  constructor(options: {
    readonly requirements: readonly Requirement[];
    readonly intervalMs: number;
    readonly timeoutMs: number;
    readonly changed: (problems: readonly string[]) => void;
  }) {
    this.#requirements = options.requirements;
    this.#timeoutMs = options.timeoutMs;
    this.#changed = options.changed;
    this.#problems = new Map(this.#requirements.map(({ name }) => [name, "not looked at yet"]));
    this.#running = this.#run(options.intervalMs, this.#stop.signal);
  }

  /** Whether the requirement was met when it was last looked at; false before the first look. */
  has(name: string): boolean {
    return !this.#problems.has(name);
  }

  /** Whether every requirement was met. */
  get complete(): boolean {
    return this.#problems.size === 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(intervalMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look(signal);
      await sleep(intervalMs, signal).catch(() => {});
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const timed = AbortSignal.any([signal, AbortSignal.timeout(this.#timeoutMs)]);
    const problems = new Map<string, string>();
    await Promise.all(
      this.#requirements.map(async ({ name, check }) => {
        try {
          await check(timed);
        } catch (error) {
          problems.set(name, error instanceof Error ? error.message : String(error));
        }
      }),
    );
    if (signal.aborted) return;
    this.#problems = problems;
    const list = this.#requirements.flatMap(({ name }) => {
      const problem = problems.get(name);
      return problem === undefined ? [] : [`${name}: ${problem}`];
    });
    const telling = list.join("; ");
    if (telling !== this.#told) this.#changed(list);
    this.#told = telling;
  }
}
