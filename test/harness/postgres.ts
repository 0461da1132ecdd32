import { randomBytes } from "node:crypto";
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, describe } from "vitest";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { migrate } from "../../shared/postgres/migrate.ts";
import { migrationsDirectory } from "../../shared/postgres/migration-files.ts";
import { Postgres } from "../../shared/postgres/postgres.ts";
import {
  postgresMissing,
  realPostgres,
  type StoreKind,
  startPglite,
  storeKinds,
  type TestServer,
} from "./postgres-server.ts";

export type { StoreKind } from "./postgres-server.ts";
export { postgresMissing } from "./postgres-server.ts";

export interface TestDatabaseOptions {
  /** Applied at the start; default the project's own. `null` leaves the database empty. */
  readonly migrations?: string | null;
}

export interface OpenOptions {
  /** Default 10. */
  readonly poolSize?: number;
  /** Default 30,000. */
  readonly statementTimeoutMs?: number;
  readonly acquireTimeoutMs?: number;
  readonly maxWaiting?: number;
}

/** A database that belongs to one test file. */
export interface TestDatabase {
  readonly kind: StoreKind;
  readonly url: string;
  /** The database's name; on PGlite there is only one. */
  readonly name: string;
  /** A new pool; closed at the end, which fails when a connection of it is still in use. */
  open(options?: OpenOptions): Postgres;
  /** Removes every row of every table but the migrations' own, for a clean start of each test. */
  truncate(): Promise<void>;
  /** Closes the pools, then removes the database unless `keep`. Throws when anything leaked. */
  close(options?: { readonly keep?: boolean }): Promise<void>;
}

/**
 * A fresh, migrated database: on PGlite in a server of its own, on PostgreSQL as a new database.
 * Rejects where there is no PostgreSQL; see `postgresMissing`.
 */
export async function testDatabase(
  kind: StoreKind,
  { migrations = migrationsDirectory }: TestDatabaseOptions = {},
): Promise<TestDatabase> {
  const server = kind === "pglite" ? await startPglite() : await realPostgres();
  await using resources = new Resources();
  resources.use("server", server);
  const name = kind === "pglite" ? "postgres" : `mahavishnu_test_${randomBytes(6).toString("hex")}`;
  const url = kind === "pglite" ? server.url : withDatabase(server.url, name);
  if (kind === "postgres") {
    await administrate(server, `create database ${name}`);
    resources.defer("database", () => administrate(server, `drop database ${name} with (force)`));
  }
  if (migrations !== null) {
    await migrate({ url, directory: migrations, logger: silentLogger() });
  }
  return new OpenTestDatabase({ kind, url, name, server, resources: resources.move() });
}

class OpenTestDatabase implements TestDatabase {
  readonly kind: StoreKind;
  readonly url: string;
  readonly name: string;
  readonly #server: TestServer;
  readonly #resources: Resources;
  readonly #pools: Postgres[] = [];

  constructor(parts: {
    kind: StoreKind;
    url: string;
    name: string;
    server: TestServer;
    resources: Resources;
  }) {
    this.kind = parts.kind;
    this.url = parts.url;
    this.name = parts.name;
    this.#server = parts.server;
    this.#resources = parts.resources;
  }

  open(options: OpenOptions = {}): Postgres {
    const pool = new Postgres({
      url: this.url,
      poolSize: 10,
      statementTimeoutMs: 30_000,
      applicationName: "mahavishnu-test",
      ...options,
    });
    this.#pools.push(pool);
    return pool;
  }

  async truncate(): Promise<void> {
    await withClient(this.url, async (client) => {
      const { rows } = await client.query<{ tables: string | null }>(
        `select string_agg(format('%I.%I', schemaname, tablename), ', ') as tables
         from pg_tables where schemaname = 'public' and tablename <> 'schema_migrations'`,
      );
      const tables = rows[0]?.tables;
      if (tables) await client.query(`truncate ${tables} cascade`);
    });
  }

  async close({ keep = false } = {}): Promise<void> {
    const leaks: string[] = [];
    for (const pool of this.#pools) {
      if (!(await comesToRest(pool))) {
        const { total, idle, waiting } = pool.stats();
        leaks.push(`a pool has ${total - idle} connections in use and ${waiting} waiting`);
      }
    }
    // A pool with a leaked connection would wait for it without end.
    if (leaks.length === 0) {
      await Promise.all(this.#pools.map((pool) => pool[Symbol.asyncDispose]()));
    }
    const sessions = this.kind === "postgres" ? await this.#otherSessions() : 0;
    if (sessions > 0) leaks.push(`${sessions} connections to the database are open`);
    if (keep && this.kind === "postgres") {
      process.stderr.write(`kept the database of a failed test: ${this.name}\n`);
      this.#resources.move();
    } else {
      await this.#resources[Symbol.asyncDispose]();
    }
    if (leaks.length > 0) throw new Error(`leaked: ${leaks.join("; ")}`);
  }

  /** Sessions end a moment after their sockets. */
  async #otherSessions(): Promise<number> {
    return await withClient(this.#server.url, async (client) => {
      for (let tries = 0; ; tries++) {
        const { rows } = await client.query<{ count: number }>(
          "select count(*)::int as count from pg_stat_activity where datname = $1 and backend_type = 'client backend'",
          [this.name],
        );
        const count = rows[0]?.count ?? 0;
        if (count === 0 || tries === 40) return count;
        await sleep(50);
      }
    });
  }
}

/**
 * Declares the same suite for each store; `database()` gives the file's database inside hooks and
 * tests. Where there is no PostgreSQL its suite is skipped and says so by name.
 */
export function describeEachStore(
  name: string,
  body: (kind: StoreKind, database: () => TestDatabase) => void,
  options: TestDatabaseOptions = {},
): void {
  for (const kind of storeKinds) {
    const missing = kind === "postgres" ? postgresMissing() : undefined;
    const title = `${name} on ${kind === "pglite" ? "PGlite" : "PostgreSQL"}`;
    if (missing !== undefined) process.stderr.write(`SKIPPED: ${title}: ${missing}\n`);
    describe.skipIf(missing !== undefined)(title, () => {
      let database: TestDatabase | undefined;
      let failed = false;
      beforeAll(async () => {
        database = await testDatabase(kind, options);
      });
      afterEach(({ task }) => {
        failed ||= task.result?.state === "fail";
      });
      afterAll(() => database?.close({ keep: failed }));
      body(kind, () => {
        if (database === undefined) throw new Error("the database is there in hooks and tests");
        return database;
      });
    });
  }
}

/** True once nothing of the pool is in use; a statement whose caller has gone may take a while. */
async function comesToRest(pool: Postgres): Promise<boolean> {
  for (let tries = 0; tries < 120; tries++) {
    const { total, idle, waiting } = pool.stats();
    if (total === idle && waiting === 0) return true;
    await sleep(50);
  }
  return false;
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

async function administrate(server: TestServer, statement: string): Promise<void> {
  await withClient(server.url, (client) => client.query(statement));
}

async function withClient<T>(url: string, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
