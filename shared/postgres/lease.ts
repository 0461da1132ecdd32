import type { PoolClient } from "pg";
import { late, untilAborted, within } from "../abortable.ts";
import { DomainError } from "../errors.ts";
import { ask } from "./ask.ts";
import { requestCancel } from "./cancel-request.ts";
import type { QueryOutcome, Statement } from "./queryable.ts";
import { fromDriver, isConnectionLoss } from "./sql-errors.ts";
import { transactionStatus } from "./transaction-status.ts";

/** How long a connection may take to come to rest after an abort before it is destroyed. */
const settleTimeoutMs = 5_000;

/** What the client waits beyond the server's own timeout before it takes the server for gone. */
const timeoutMarginMs = 2_000;

export interface LeaseOptions {
  /** Of the server, in milliseconds; 0 for none. */
  readonly statementTimeoutMs: number;
  /** Takes over the end of a lease whose connection is still busy when it is disposed. */
  readonly onSettling: (settled: Promise<void>) => void;
}

/**
 * One connection, out of the pool until it is disposed. It goes back only at rest and whole: a
 * broken one is discarded, and one that still runs a statement whose caller has gone goes back
 * when that has ended.
 */
export class Lease implements AsyncDisposable {
  readonly #client: PoolClient;
  readonly #options: LeaseOptions;
  #broken: Error | undefined;
  /** Settles when the statement of a caller who has gone is over. */
  #abandoned: Promise<unknown> | undefined;

  constructor(client: PoolClient, options: LeaseOptions) {
    this.#client = client;
    this.#options = options;
    client.on("error", this.#onError);
  }

  async run<T = Record<string, unknown>>(
    statement: Statement,
    params: readonly unknown[] = [],
    signal?: AbortSignal,
  ): Promise<QueryOutcome<T> & { readonly command: string }> {
    signal?.throwIfAborted();
    if (this.#abandoned !== undefined) throw new Error("a statement before this one was abandoned");
    const running = ask(this.#client, statement, params);
    // The server's timeout is the first to act. PGlite has none, and a server that is gone says
    // nothing, so the client has one too.
    const { statementTimeoutMs } = this.#options;
    const limit = statementTimeoutMs === 0 ? 0 : statementTimeoutMs + timeoutMarginMs;
    try {
      const outcome = await untilAborted(within(running, limit), signal);
      if (outcome === late) {
        this.#abandon(running);
        throw new DomainError(
          "deadline_exceeded",
          "DEADLINE_EXCEEDED",
          "the database took too long",
        );
      }
      return {
        rows: outcome.rows as T[],
        rowCount: outcome.rowCount ?? 0,
        command: outcome.command,
      };
    } catch (error) {
      if (signal?.aborted && error === signal.reason) {
        this.#abandon(running);
        throw error;
      }
      // The driver's own trace leads to the socket; this one to who asked.
      if (error instanceof Error) Error.captureStackTrace(error);
      if (isConnectionLoss(error) && error instanceof Error) this.#broken = error;
      throw fromDriver(error);
    }
  }

  /** The connection is to be closed and not given back: its session is not as others expect. */
  discard(): void {
    this.#broken ??= new Error("the session was its user's own");
  }

  /** Ends the open transaction, or the connection where that fails. */
  async rollback(): Promise<void> {
    if (this.#broken !== undefined || this.#abandoned !== undefined) return;
    try {
      await this.run("rollback");
    } catch (error) {
      this.#broken ??= error instanceof Error ? error : new Error("rollback failed");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#abandoned === undefined) this.#release();
    else this.#options.onSettling(this.#settle(this.#abandoned));
  }

  /**
   * The caller is let go and the statement is cancelled. The embedded server can cancel only what
   * has not begun; there the connection waits for the end.
   */
  #abandon(running: Promise<unknown>): void {
    this.#abandoned = Promise.allSettled([running, requestCancel(this.#client)]);
  }

  async #settle(abandoned: Promise<unknown>): Promise<void> {
    if ((await within(abandoned, settleTimeoutMs)) === late) {
      this.#broken = new Error("the statement of a caller who has gone did not end");
    }
    this.#abandoned = undefined;
    if (transactionStatus(this.#client) !== "I") await this.rollback();
    this.#release();
  }

  #release(): void {
    this.#client.removeListener("error", this.#onError);
    this.#client.release(this.#broken);
  }

  readonly #onError = (error: Error): void => {
    this.#broken = error;
  };
}
