/** Runs tasks side by side, at most `limit` of them; whoever adds one waits for its place. */
export class BoundedTasks {
  readonly #limit: number;
  readonly #onFull: (full: boolean) => void;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** `onFull` is told whenever the last place is taken, and when there is one again. */
  constructor(limit: number, onFull: (full: boolean) => void = () => {}) {
    this.#limit = limit;
    this.#onFull = onFull;
  }

  /** Resolves when the task has begun; rejects with the first failure of any task before. */
  async add(task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#limit) await Promise.race(this.#running);
    this.#throwIfFailed();
    const running = task()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        if (this.#running.size === this.#limit) this.#onFull(false);
        this.#running.delete(running);
      });
    this.#running.add(running);
    if (this.#running.size === this.#limit) this.#onFull(true);
  }

  /** Waits until nothing runs; never rejects. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Waits until nothing runs; rejects with the first failure. */
  async drain(): Promise<void> {
    await this.settle();
    this.#throwIfFailed();
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
