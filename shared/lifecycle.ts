/** Something that was opened and must be closed. */
export interface Closeable {
  readonly name: string;
  close(): Promise<void> | void;
}

/** Called for each part that fails to close; closing goes on. */
export type CloseFailure = (name: string, error: unknown) => void;

/**
 * What is opened is pushed, what is pushed is closed: last in, first out. One failure does not
 * stop the rest. `await using` it while starting, so that a failed start unwinds too, and
 * `move()` it out once all is open.
 */
export class Resources implements AsyncDisposable {
  #open: Closeable[] = [];
  readonly #onFailure: CloseFailure;

  constructor(onFailure: CloseFailure = () => {}) {
    this.#onFailure = onFailure;
  }

  defer(name: string, close: () => Promise<unknown> | unknown): void {
    this.#open.push({
      name,
      close: async () => {
        await close();
      },
    });
  }

  use<T extends AsyncDisposable>(name: string, resource: T): T {
    this.defer(name, () => resource[Symbol.asyncDispose]());
    return resource;
  }

  /** Hands everything over to a new owner; this one then closes nothing. */
  move(): Resources {
    const moved = new Resources(this.#onFailure);
    moved.#open = this.#open;
    this.#open = [];
    return moved;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let part = this.#open.pop(); part !== undefined; part = this.#open.pop()) {
      try {
        await part.close();
      } catch (error) {
        this.#onFailure(part.name, error);
      }
    }
  }
}

/** Repeats of a signal within this time are one request: a terminal and npm both send it. */
const repeatedSignalMs = 1_000;

/**
 * Resolves with the first SIGTERM or SIGINT, or when the parent that holds our IPC channel dies.
 * A further signal a second or more later ends the process at once.
 */
export function stopSignal(): Promise<NodeJS.Signals | "disconnect"> {
  return new Promise((resolve) => {
    let stoppingSince: number | undefined;
    const onSignal = (signal: NodeJS.Signals) => {
      if (stoppingSince !== undefined && performance.now() - stoppingSince > repeatedSignalMs) {
        process.exit(130);
      }
      stoppingSince ??= performance.now();
      resolve(signal);
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
    if (process.channel !== undefined) {
      process.channel?.unref();
      process.once("disconnect", () => resolve("disconnect"));
    }
  });
}

/** Sleeps; rejects with the signal's reason when it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
