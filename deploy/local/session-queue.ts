import type { PGlite } from "@electric-sql/pglite";

interface Waiting {
  readonly client: number;
  readonly message: Uint8Array;
  readonly onData: (data: Uint8Array) => void;
  readonly resolve: (bytes: number) => void;
  readonly reject: (error: Error) => void;
}

/** Protocol messages after which the server is ready for a query: Query, Sync, FunctionCall. */
const endsUnit = new Set(["Q", "S", "F"].map((type) => type.charCodeAt(0)));
/** The startup message has no type byte: it begins with its length, below 16 MiB. */
const startup = 0;
const sync = Uint8Array.of("S".charCodeAt(0), 0, 0, 0, 4);

/**
 * Shares the one session of PGlite among the clients of its socket. The queue that comes with the
 * socket server changes clients between any two protocol messages; since all of them use the one
 * unnamed statement and portal of the session, a client's Execute could then run what another one
 * bound, and be given its rows. Here a client keeps the session from its first message to the Sync
 * that ends the unit, and through an open transaction.
 */
export class SessionQueue {
  readonly #db: PGlite;
  readonly #onHeldTooLong: (client: number) => void;
  readonly #longestHoldMs: number;
  #waiting: Waiting[] = [];
  /** Whose turn it is until its unit or transaction ends. */
  #owner: number | undefined;
  #running: Promise<unknown> | undefined;
  #hold: NodeJS.Timeout | undefined;

  /**
   * `onHeldTooLong` is told of a client that keeps the session while it sends nothing and others
   * wait for longer than `longestHoldMs` (default 30,000); it should disconnect that client.
   */
  constructor(db: PGlite, onHeldTooLong: (client: number) => void, longestHoldMs = 30_000) {
    this.#db = db;
    this.#onHeldTooLong = onHeldTooLong;
    this.#longestHoldMs = longestHoldMs;
  }

  /** Runs one protocol message when it is the client's turn; resolves with the bytes answered. */
  enqueue(
    client: number,
    message: Uint8Array,
    onData: (data: Uint8Array) => void,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ client, message, onData, resolve, reject });
      this.#pump();
    });
  }

  getQueueLength(): number {
    return this.#waiting.length;
  }

  /** Forgets what a client that has gone still waited for. */
  clearQueueForHandler(client: number): void {
    const gone = this.#waiting.filter((one) => one.client === client);
    this.#waiting = this.#waiting.filter((one) => one.client !== client);
    for (const one of gone) one.reject(new Error("the client has gone"));
  }

  /** Ends the unit and the transaction of a client that has gone. */
  async clearTransactionIfNeeded(client: number): Promise<void> {
    await this.#running?.catch(() => {});
    if (this.#owner !== client) return;
    const cleaning = this.#db.runExclusive(async () => {
      await this.#db.execProtocolRaw(sync);
      if (this.#db.isInTransaction()) await this.#db.execProtocolRaw(query("rollback"));
    });
    this.#running = cleaning;
    await cleaning.catch(() => {});
    this.#running = undefined;
    this.#release();
    this.#pump();
  }

  #pump(): void {
    if (this.#running !== undefined) return;
    clearTimeout(this.#hold);
    const owner = this.#owner;
    const next = owner === undefined ? 0 : this.#waiting.findIndex((one) => one.client === owner);
    const [turn] = next < 0 ? [] : this.#waiting.splice(next, 1);
    if (turn === undefined) {
      if (owner !== undefined && this.#waiting.length > 0) this.#watch(owner);
      return;
    }
    this.#owner = turn.client;
    const running = this.#run(turn);
    this.#running = running;
    void running.then(() => {
      this.#running = undefined;
      this.#pump();
    });
  }

  async #run(turn: Waiting): Promise<void> {
    let bytes = 0;
    try {
      await this.#db.runExclusive(() =>
        this.#db.execProtocolRawStream(turn.message, {
          onRawData: (data) => {
            bytes += data.length;
            turn.onData(data);
          },
        }),
      );
      turn.resolve(bytes);
    } catch (error) {
      turn.reject(error instanceof Error ? error : new Error(String(error)));
    }
    const type = turn.message[0] ?? startup;
    const ended = type === startup || endsUnit.has(type);
    if (ended && !this.#db.isInTransaction()) this.#release();
  }

  #release(): void {
    this.#owner = undefined;
    clearTimeout(this.#hold);
  }

  #watch(owner: number): void {
    this.#hold = setTimeout(() => this.#onHeldTooLong(owner), this.#longestHoldMs);
    this.#hold.unref();
  }
}

/** A simple Query message. */
function query(text: string): Uint8Array {
  const body = Buffer.from(`${text}\0`);
  const message = Buffer.alloc(5 + body.length);
  message.write("Q", 0);
  message.writeInt32BE(4 + body.length, 1);
  body.copy(message, 5);
  return message;
}
