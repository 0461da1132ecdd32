/** A terminal and npm both send the same signal: repeats within this time are one request. */
const repeatedMs = 1_000;
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Tells of Ctrl-C and its kin, each with its number from 1 on, in the place of dying of it. */
export class Interrupts implements Disposable {
  readonly #onSignal: () => void;

  constructor(onInterrupt: (times: number) => void) {
    let times = 0;
    let last = -Infinity;
    this.#onSignal = () => {
      const now = performance.now();
      const isRepeated = now - last < repeatedMs;
      if (isRepeated) return;
      last = now;
      onInterrupt(++times);
    };
    for (const signal of signals) process.on(signal, this.#onSignal);
  }

  [Symbol.dispose](): void {
    for (const signal of signals) process.off(signal, this.#onSignal);
  }
}
