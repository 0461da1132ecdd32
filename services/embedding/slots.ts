/**
 * A bound on what runs at once. Those who wait come first in, first out, the urgent ones before
 * all others: a search that a person waits for does not queue behind a bulk load.
 */
export class Slots {
  readonly #size: number;
  readonly #urgent = new Set<() => void>();
  readonly #patient = new Set<() => void>();
  #taken = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** How many wait for a slot. */
  get waiting(): number {
    return this.#urgent.size + this.#patient.size;
  }

  /** Runs `work` in a slot. Rejects with the signal's reason when it aborts before one is free. */
  async run<T>(
    work: () => Promise<T>,
    { urgent = false, signal }: { urgent?: boolean; signal?: AbortSignal } = {},
  ): Promise<T> {
    await this.#take(urgent ? this.#urgent : this.#patient, signal);
    try {
      return await work();
    } finally {
      this.#release();
    }
  }

  #take(lane: Set<() => void>, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (this.#taken < this.#size) {
        this.#taken++;
        return resolve();
      }
      const onAbort = () => {
        lane.delete(start);
        reject(signal?.reason);
      };
      const start = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      lane.add(start);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** The slot goes straight to the next one who waits. */
  #release(): void {
    const lane = this.#urgent.size > 0 ? this.#urgent : this.#patient;
    const [start] = lane;
    if (start === undefined) {
      this.#taken--;
      return;
    }
    lane.delete(start);
    start();
  }
}
