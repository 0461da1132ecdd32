import { exitCodes } from "./output.ts";

/** A terminal and npm both send the same signal: repeats within this time are one request. */
const repeatedMs = 1_000;
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Tells of Ctrl-C and its kin, each with its number from 1 on, in the place of dying of it. */
export class Interrupts implements Disposable {
  readonly #onSignal: () => void;
  #times = 0;
  #isOver = false;

  constructor(onInterrupt: (times: number) => void) {
    let last = -Infinity;
    this.#onSignal = () => {
      const now = performance.now();
      const isRepeated = now - last < repeatedMs;
      if (isRepeated) return;
      last = now;
      // Whatever is still to be closed takes too long.
      if (this.#isOver) process.exit(exitCodes.interrupted);
      onInterrupt(++this.#times);
    };
    for (const signal of signals) process.on(signal, this.#onSignal);
  }

  /** The process ends after an interrupt; what repeats that one must not kill it meanwhile. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    if (this.#times > 0) return;
    for (const signal of signals) process.off(signal, this.#onSignal);
  }
}
