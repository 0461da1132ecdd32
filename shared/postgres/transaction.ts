import type { Lease } from "./lease.ts";
import type { Queryable, QueryOutcome, Statement } from "./queryable.ts";

/** The statements of one transaction, one after the other; refuses to run after its end. */
export class Transaction implements Queryable {
  readonly #lease: Lease;
  readonly #signal: AbortSignal | undefined;
  readonly #running = new Set<Promise<unknown>>();
  #over = false;

  constructor(lease: Lease, signal: AbortSignal | undefined) {
    this.#lease = lease;
    this.#signal = signal;
  }

  query<T = Record<string, unknown>>(
    statement: Statement,
    params: readonly unknown[] = [],
    signal: AbortSignal | undefined = this.#signal,
  ): Promise<QueryOutcome<T>> {
    const running = this.#inTurn(() => this.#lease.run<T>(statement, params, signal));
    this.#running.add(running);
    const forget = () => this.#running.delete(running);
    running.then(forget, forget);
    return running;
  }

  /** Waits for statements that nobody waited for, so that none runs after the commit. */
  async finish(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    this.#over = true;
  }

  /** Refuses what has not begun, and waits for what has. */
  async abort(): Promise<void> {
    this.#over = true;
    await Promise.allSettled(this.#running);
  }

  async #inTurn<T>(run: () => Promise<T>): Promise<T> {
    if (this.#running.size > 0) await Promise.allSettled(this.#running);
    if (this.#over) throw new Error("the transaction is over");
    return await run();
  }
}
