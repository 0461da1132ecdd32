import { Pool, type PoolClient } from "pg";
import { untilAborted } from "../abortable.ts";
import { DependencyUnavailableError, DomainError } from "../errors.ts";
import { type Logger, silentLogger } from "../logging.ts";
import type { PostgresConfig } from "./config.ts";
import { Lease } from "./lease.ts";
import type { Queryable, QueryOutcome, Statement } from "./queryable.ts";
import { fromDriver } from "./sql-errors.ts";
import { Transaction } from "./transaction.ts";

export type { Queryable, QueryOutcome, Statement } from "./queryable.ts";

export interface TransactionOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default: read committed. */
  readonly isolation?: "read committed" | "repeatable read" | "serializable";
  readonly readOnly?: boolean;
}

export interface PoolStats {
  /** Connections that are open. */
  readonly total: number;
  readonly idle: number;
  /** Callers that wait for a connection. */
  readonly waiting: number;
  readonly max: number;
}

/** What the server is. */
export interface ServerFacts {
  /** Object id of the type `vector`; undefined until the extension is there. */
  readonly vectorOid: number | undefined;
  /** PGlite: all clients share one session, one statement or transaction at a time. */
  readonly embedded: boolean;
}

const defaultAcquireTimeoutMs = 10_000;
const defaultMaxWaiting = 1_000;
const idleTimeoutMs = 30_000;

/** A pool of connections to one database. Connections are made when they are needed. */
export class Postgres implements Queryable, AsyncDisposable {
  readonly #config: PostgresConfig;
  readonly #pool: Pool;
  #facts: ServerFacts | undefined;
  #answers = 0;
  /** Connections that are not yet at rest though their callers have gone. */
  readonly #settling = new Set<Promise<void>>();

  constructor(config: PostgresConfig, logger: Logger = silentLogger()) {
    this.#config = config;
    this.#pool = new Pool({
      connectionString: config.url,
      max: config.poolSize,
      application_name: config.applicationName,
      connectionTimeoutMillis: config.acquireTimeoutMs ?? defaultAcquireTimeoutMs,
      idleTimeoutMillis: idleTimeoutMs,
      keepAlive: true,
      ...(config.sessionSettings === undefined
        ? {}
        : { options: config.sessionSettings.map((one) => `-c ${one}`).join(" ") }),
      ...(config.statementTimeoutMs > 0 ? { statement_timeout: config.statementTimeoutMs } : {}),
    });
    // Between pool and lease, and at its end, nobody else listens to a connection: one that breaks
    // just then would end the process. Whoever uses it next learns of it.
    this.#pool.on("connect", (client) => {
      client.on("error", () => {});
    });
    // It has left the pool already; the next caller gets a new one.
    this.#pool.on("error", (error) =>
      logger.debug({ err: fromDriver(error) }, "an idle connection broke"),
    );
  }

  async query<T = Record<string, unknown>>(
    statement: Statement,
    params: readonly unknown[] = [],
    signal?: AbortSignal,
  ): Promise<QueryOutcome<T>> {
    await using lease = await this.#lease(signal);
    const outcome = await lease.run<T>(statement, params, signal);
    this.#answers += 1;
    return outcome;
  }

  /**
   * Runs `fn` in a transaction: commits when it resolves, rolls back when it rejects or the signal
   * aborts. `tx` is of no use once `fn` is over. `fn` must not wait for another service: on the
   * embedded server an open transaction keeps every other client out.
   */
  async transaction<T>(
    fn: (tx: Queryable) => Promise<T>,
    options: TransactionOptions | AbortSignal = {},
  ): Promise<T> {
    const chosen = options instanceof AbortSignal ? { signal: options } : options;
    const { signal } = chosen;
    await using lease = await this.#lease(signal);
    const tx = new Transaction(lease, signal);
    await lease.run(beginStatement(chosen), [], signal);
    this.#answers += 1;
    let result: T;
    try {
      result = await untilAborted(fn(tx), signal);
      await tx.finish();
    } catch (error) {
      await tx.abort();
      await lease.rollback();
      throw error;
    }
    const { command } = await lease.run("commit", [], signal);
    if (command !== "COMMIT") {
      // The server answers the commit of a failed transaction with a rollback, and no error.
      throw new Error("a statement of the transaction failed and its error was ignored");
    }
    return result;
  }

  /**
   * Runs `fn` on a connection of its own, one of the pool's, without a time limit for statements.
   * It is closed afterwards, so `fn` may change settings and take locks of the session; but not on
   * the embedded server, where the session is everybody's.
   */
  async session<T>(fn: (session: Queryable) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { embedded } = await this.facts(signal);
    await using lease = await this.#lease(signal, 0);
    lease.discard();
    if (!embedded) await lease.run("set statement_timeout = 0", [], signal);
    return await fn({
      query: (statement, params, own = signal) => lease.run(statement, params, own),
    });
  }

  /** Resolves when the database answers. */
  async ping(signal?: AbortSignal): Promise<void> {
    await this.query("select 1", [], signal);
  }

  stats(): PoolStats {
    return {
      total: this.#pool.totalCount,
      idle: this.#pool.idleCount,
      waiting: this.#pool.waitingCount,
      max: this.#config.poolSize,
    };
  }

  /** How many queries and transactions the server has answered: while it rises, it is there. */
  get answers(): number {
    return this.#answers;
  }

  /** What the server is; asked once, and again while the extension `vector` is not there. */
  async facts(signal?: AbortSignal): Promise<ServerFacts> {
    if (this.#facts?.vectorOid !== undefined) return this.#facts;
    await using lease = await this.#lease(signal);
    this.#facts = await readFacts(lease, signal);
    return this.#facts;
  }

  /**
   * Object id of the type `vector` on this server, for `encodeVectorArray`. Throws
   * DependencyUnavailableError where the extension is not installed.
   */
  async vectorOid(signal?: AbortSignal): Promise<number> {
    const { vectorOid } = await this.facts(signal);
    if (vectorOid !== undefined) return vectorOid;
    throw new DependencyUnavailableError(
      "postgresql",
      "the database lacks the extension vector; run the migrations",
    );
  }

  /** Waits for statements in flight, then closes every connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#pool.ending) return;
    await Promise.all([this.#pool.end(), ...this.#settling]);
  }

  async #lease(
    signal: AbortSignal | undefined,
    statementTimeoutMs = this.#config.statementTimeoutMs,
  ): Promise<Lease> {
    signal?.throwIfAborted();
    return new Lease(await this.#connect(signal), {
      statementTimeoutMs,
      onSettling: (settled) => {
        this.#settling.add(settled);
        void settled.finally(() => this.#settling.delete(settled));
      },
    });
  }

  async #connect(signal: AbortSignal | undefined): Promise<PoolClient> {
    const maxWaiting = this.#config.maxWaiting ?? defaultMaxWaiting;
    if (this.#pool.waitingCount >= maxWaiting) throw overloaded();
    const connecting = this.#pool.connect();
    try {
      return await untilAborted(connecting, signal);
    } catch (error) {
      if (signal?.aborted && error === signal.reason) {
        // The connection comes later, when nobody waits for it any more.
        connecting.then(
          (client) => client.release(),
          () => {},
        );
        throw error;
      }
      throw acquireError(error);
    }
  }
}

function beginStatement({ isolation, readOnly }: TransactionOptions): string {
  return [
    "begin",
    ...(isolation === undefined ? [] : [`isolation level ${isolation}`]),
    ...(readOnly ? ["read only"] : []),
  ].join(" ");
}

async function readFacts(lease: Lease, signal: AbortSignal | undefined): Promise<ServerFacts> {
  const { rows } = await lease.run<{ oid: number | null; embedded: boolean }>(
    `select to_regtype('vector')::oid::int8::float8 as oid,
            version() ~* 'pglite|emscripten' as embedded`,
    [],
    signal,
  );
  return { vectorOid: rows[0]?.oid ?? undefined, embedded: rows[0]?.embedded ?? false };
}

function overloaded(cause?: unknown): DomainError {
  return new DomainError(
    "resource_exhausted",
    "OVERLOADED",
    "too many requests wait for the database",
    { retryAfterMs: 1_000, cause },
  );
}

/** How the pool says that no connection came free in time; there is no code. */
const waitedInVain = "timeout exceeded when trying to connect";

function acquireError(error: unknown): unknown {
  if (error instanceof Error && error.message === waitedInVain) return overloaded(error);
  const known = fromDriver(error);
  if (known instanceof DomainError) return known;
  return new DependencyUnavailableError("postgresql", "the database cannot be reached", error);
}
