/**
 * Bytes handed to the wire and not yet written, above which the sender waits. Enough to keep a
 * socket busy; a larger window only costs memory per stream.
 */
const maxUnsentBytes = 128 * 1024;
/** What a message counts for at least, so that tiny ones do not pile up by the thousands. */
const minMessageBytes = 256;

/** Counts what is under way to the wire, and makes a fast sender wait for it. */
export class Outbox {
  #unsent = 0;
  #wake: (() => void) | undefined;
  #closed = false;

  /** Call with a message's size before it is handed over; call the result once it is written. */
  sending(bytes: number): () => void {
    const counted = Math.max(bytes, minMessageBytes);
    this.#unsent += counted;
    return () => {
      this.#unsent -= counted;
      if (this.#unsent < maxUnsentBytes) this.#wakeUp();
    };
  }

  get full(): boolean {
    return !this.#closed && this.#unsent >= maxUnsentBytes;
  }

  /** Resolves when there is room, or when the call is over. */
  room(): Promise<void> {
    return new Promise((resolve) => {
      if (this.full) this.#wake = resolve;
      else resolve();
    });
  }

  /** The call is over: nobody will tell what was written. */
  close(): void {
    this.#closed = true;
    this.#wakeUp();
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
