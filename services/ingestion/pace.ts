import { setImmediate as nextTurn } from "node:timers/promises";

/** How long to work before other work gets its turn. */
const turnMs = 15;

/** Lets others work from time to time. */
export class Pace {
  #since = performance.now();

  due(): boolean {
    return performance.now() - this.#since > turnMs;
  }

  async step(): Promise<void> {
    if (!this.due()) return;
    await nextTurn();
    this.#since = performance.now();
  }
}
