import type { PGlite } from "@electric-sql/pglite";
import { finalStatus, query, startupMessage, sync } from "./embedded-postgres-wire.ts";

/** Who takes turns on the session. */
export interface SessionUser {
  /** Called when it keeps a transaction open, sends nothing, and others wait. */
  transactionTimedOut(): void;
}

interface Turn {
  readonly user: SessionUser;
  readonly messages: () => Buffer;
  readonly done: (answer: Buffer | undefined) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * PGlite's one session, shared out in turns. A turn is everything that a client sends up to a
 * Sync or a simple query, so that the steps of two clients never mix; who leaves a transaction
 * open has every turn until it ends.
 */
export class SharedSession {
  readonly #db: PGlite;
  readonly #longestHoldMs: number;
  readonly #waiting: Turn[] = [];
  #owner: SessionUser | undefined;
  #ownerTimer: NodeJS.Timeout | undefined;
  #running = false;
  /** Whose unnamed statement the session holds. */
  unnamedOwner: SessionUser | undefined;

  constructor(db: PGlite, longestHoldMs: number) {
    this.#db = db;
    this.#longestHoldMs = longestHoldMs;
  }

  /** What the server says to a client that connects. */
  greet(): Promise<Buffer> {
    return this.#execute(startupMessage({ user: "postgres", database: "postgres" }));
  }

  owns(user: SessionUser): boolean {
    return this.#owner === user;
  }

  /**
   * Resolves with the answer to `messages()`, which is asked when the turn has come; with
   * undefined when the turn was withdrawn.
   */
  take(user: SessionUser, messages: () => Buffer): Promise<Buffer | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    this.#waiting.push({ user, messages, done: resolve, failed: reject });
    void this.#run();
    return promise;
  }

  /** Gives up the turn that the user waits for; one that runs cannot be stopped. */
  withdraw(user: SessionUser): void {
    const at = this.#waiting.findIndex((turn) => turn.user === user);
    if (at !== -1) for (const turn of this.#waiting.splice(at, 1)) turn.done(undefined);
  }

  /** Ends what the user left open: rolls back, and runs `cleanUp`. */
  async leave(user: SessionUser, cleanUp: Buffer): Promise<void> {
    if (this.unnamedOwner === user) this.unnamedOwner = undefined;
    // Only a Sync ends the skipping after an error, and it would commit what is implicit: so the
    // rollback goes before it and after it.
    const open = this.owns(user) ? [query("rollback"), sync, query("rollback")] : [];
    const messages = Buffer.concat([...open, cleanUp]);
    if (messages.length > 0) await this.take(user, () => messages);
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let turn = this.#next(); turn !== undefined; turn = this.#next()) {
      await this.#serve(turn);
      // Sockets are heard between turns: who has gone or cancels gives up its turn.
      await new Promise(setImmediate);
    }
    this.#running = false;
  }

  #next(): Turn | undefined {
    const owner = this.#owner;
    if (owner === undefined) return this.#waiting.shift();
    const at = this.#waiting.findIndex((turn) => turn.user === owner);
    return at === -1 ? undefined : this.#waiting.splice(at, 1)[0];
  }

  async #serve(turn: Turn): Promise<void> {
    try {
      const answer = await this.#execute(turn.messages());
      this.#own(finalStatus(answer) === "I" ? undefined : turn.user);
      turn.done(answer);
    } catch (error) {
      this.#own(undefined);
      turn.failed(error);
    }
  }

  #own(user: SessionUser | undefined): void {
    clearTimeout(this.#ownerTimer);
    this.#owner = user;
    if (user === undefined) return;
    this.#ownerTimer = setTimeout(() => {
      if (this.#waiting.length > 0) user.transactionTimedOut();
      else this.#own(user);
    }, this.#longestHoldMs).unref();
  }

  async #execute(messages: Buffer): Promise<Buffer> {
    const answer: Buffer[] = [];
    await this.#db.runExclusive(() =>
      this.#db.execProtocolRawStream(messages, {
        // The bytes lie in memory that is used again.
        onRawData: (data) => void answer.push(Buffer.from(data)),
      }),
    );
    return Buffer.concat(answer);
  }
}
