/** Prefetched so that a fast peer does not wait for our scheduling; the bound of memory as well. */
const maxWaitingBytes = 64 * 1024;
const maxWaitingMessages = 16;

interface Reader<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The messages that arrive on a call, as an async iterator that holds the sender back: one more
 * message is asked for only while less than 64 KiB and 16 messages wait to be consumed.
 *
 * It replaces grpc-js's readable streams, whose async iterator destroys the call at its end, and
 * whose buffer counts messages instead of bytes.
 */
export class Inbox<T> implements AsyncIterableIterator<T> {
  readonly #ask: () => void;
  readonly #decode: (bytes: Buffer) => T;
  readonly #onGivenUp: () => void;
  readonly #messages: Buffer[] = [];
  readonly #readers: Reader<T>[] = [];
  #waitingBytes = 0;
  #asked = false;
  #ended = false;
  #failed = false;
  #error: unknown;

  /**
   * `ask` requests one message from the wire, which answers with `push`, `end` or `fail`;
   * `onGivenUp` learns that the reader stopped before the end.
   */
  constructor(ask: () => void, decode: (bytes: Buffer) => T, onGivenUp: () => void = () => {}) {
    this.#ask = ask;
    this.#decode = decode;
    this.#onGivenUp = onGivenUp;
  }

  /** Starts to read. */
  open(): void {
    this.#askIfRoom();
  }

  push(bytes: Buffer): void {
    this.#asked = false;
    if (this.#ended) return;
    const reader = this.#readers.shift();
    if (reader === undefined) {
      this.#messages.push(bytes);
      this.#waitingBytes += bytes.byteLength;
    } else this.#deliver(reader, bytes);
    this.#askIfRoom();
  }

  /** The sender is done; what waits can still be read. */
  end(): void {
    this.#ended = true;
    for (const reader of this.#readers.splice(0)) reader.resolve({ done: true, value: undefined });
  }

  /** The call failed. What waits can still be read, then the error follows. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failed = true;
    this.#error = error;
    this.#ended = true;
    for (const reader of this.#readers.splice(0)) reader.reject(error);
  }

  /** Throws away what waits and reads no more. */
  drop(): void {
    this.#messages.length = 0;
    this.#waitingBytes = 0;
    this.end();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return new Promise((resolve, reject) => {
      const bytes = this.#messages.shift();
      if (bytes !== undefined) {
        this.#waitingBytes -= bytes.byteLength;
        this.#deliver({ resolve, reject }, bytes);
        this.#askIfRoom();
      } else if (this.#failed) reject(this.#error);
      else if (this.#ended) resolve({ done: true, value: undefined });
      else {
        this.#readers.push({ resolve, reject });
        this.#askIfRoom();
      }
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.drop();
    this.#onGivenUp();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #deliver(reader: Reader<T>, bytes: Buffer): void {
    try {
      reader.resolve({ done: false, value: this.#decode(bytes) });
    } catch (error) {
      reader.reject(error);
    }
  }

  #askIfRoom(): void {
    if (this.#asked || this.#ended) return;
    if (this.#waitingBytes >= maxWaitingBytes || this.#messages.length >= maxWaitingMessages)
      return;
    this.#asked = true;
    this.#ask();
  }
}
