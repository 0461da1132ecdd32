/** Wakes those who wait; a ring that nobody waits for wakes the next one at once. */
export class Alarm {
  #rung = false;
  #ringing = Promise.withResolvers<void>();

  ring(): void {
    this.#rung = true;
    this.#ringing.resolve();
  }

  /** Resolves with a ring, or after `ms`; rejects with the signal's reason when it aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#rung) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, ms);
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        await Promise.race([promise, this.#ringing.promise]);
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      }
    }
    if (this.#rung) {
      this.#rung = false;
      this.#ringing = Promise.withResolvers<void>();
    }
  }
}
