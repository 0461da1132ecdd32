import { setImmediate } from "node:timers";

/**
 * Shares the event loop among long computations: each works for a slice, then asks for its next
 * turn. One computation has a turn in each round of the loop, so that sockets and timers are
 * served after every slice, however many computations there are.
 */
export class CpuTurns {
  readonly #waiting: (() => void)[] = [];
  #scheduled = false;

  /** Computations that wait for their turn. */
  get waiting(): number {
    return this.#waiting.length;
  }

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#waiting.shift()?.();
      if (this.#waiting.length > 0) this.#schedule();
    });
  }
}
