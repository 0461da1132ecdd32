import { sleep } from "../../shared/lifecycle.ts";

/** Something that must answer before this service can do its work. */
export interface Requirement {
  readonly name: string;
  /** Resolves where it does its part; throws an error that says what is missing. */
  readonly check: (signal: AbortSignal) => Promise<void>;
}

/** How long a caller waits for a look on its behalf. */
const briefMs = 500;

/** Looks again and again whether everything that this service needs is there. */
export class Readiness implements AsyncDisposable {
  readonly #requirements: readonly Requirement[];
  readonly #timeoutMs: number;
  readonly #changed: (problems: readonly string[]) => void;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #problems: Map<string, string>;
  readonly #again = new Map<string, Promise<boolean>>();
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

  /**
   * Whether the requirement is met: what the last look said where that was yes, else what a look
   * at this moment says, so that nobody is refused for what is over. Callers share that look.
   */
  async holds(name: string): Promise<boolean> {
    if (this.has(name)) return true;
    const requirement = this.#requirements.find((one) => one.name === name);
    if (requirement === undefined) throw new Error(`there is no requirement ${name}`);
    let again = this.#again.get(name);
    if (again === undefined) {
      const briefly = AbortSignal.timeout(Math.min(briefMs, this.#timeoutMs));
      again = this.#check(requirement, AbortSignal.any([this.#stop.signal, briefly]))
        .then(() => {
          this.#tell();
          return this.has(name);
        })
        .finally(() => this.#again.delete(name));
      this.#again.set(name, again);
    }
    return again;
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
    await Promise.all(this.#requirements.map((requirement) => this.#check(requirement, timed)));
    this.#tell();
  }

  async #check({ name, check }: Requirement, signal: AbortSignal): Promise<void> {
    try {
      await check(signal);
      this.#problems.delete(name);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#problems.set(name, error instanceof Error ? error.message : String(error));
    }
  }

  #tell(): void {
    if (this.#stop.signal.aborted) return;
    const list = this.#requirements.flatMap(({ name }) => {
      const problem = this.#problems.get(name);
      return problem === undefined ? [] : [`${name}: ${problem}`];
    });
    const telling = list.join("; ");
    if (telling !== this.#told) this.#changed(list);
    this.#told = telling;
  }
}
