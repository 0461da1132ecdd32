import { Client } from "pg";
import { untilAborted } from "../abortable.ts";
import type { Logger } from "../logging.ts";
import { type Migration, MigrationError, readMigrations } from "./migration-files.ts";
import { fromDriver } from "./sql-errors.ts";
import { transactionStatus } from "./transaction-status.ts";

export { MigrationError, requiredRevision } from "./migration-files.ts";

export interface MigrateOptions {
  readonly url: string;
  /** Holds NNNN_name.sql. */
  readonly directory: string;
  readonly logger: Logger;
  readonly signal?: AbortSignal | undefined;
}

export interface MigrationResult {
  /** Names of the files that this run applied, in order. */
  readonly applied: readonly string[];
  /** The schema's revision now. */
  readonly revision: number;
}

/** Any constant will do; it must differ from other uses of advisory locks in the database. */
const lockKey = 7_205_512_043_371_846_001n;

/**
 * Applies what is missing, each file in a transaction of its own whose first writing is the file's
 * row in `schema_migrations`. Several processes may do this at the same time: a lock that lives
 * as long as the transaction lets one in, and the others find its work done. (A session's lock
 * would not do: on the embedded server all clients are one session.)
 *
 * Throws MigrationError, having changed nothing, when a file that was applied has been edited or
 * removed, when a new file is numbered below an applied one, and when the database is newer than
 * the directory; and when a file fails, with all of that file undone.
 */
export async function migrate(options: MigrateOptions): Promise<MigrationResult> {
  const { url, directory, logger, signal } = options;
  const migrations = readMigrations(directory);
  const client = new Client({
    connectionString: url,
    application_name: "mahavishnu-migrate",
    connectionTimeoutMillis: 30_000,
    keepAlive: true,
  });
  // The statement in flight rejects as well; without a listener the process would end.
  client.on("error", () => {});
  try {
    signal?.throwIfAborted();
    return await untilAborted(applyAll(client, migrations, logger), signal);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw fromDriver(error);
  } finally {
    // A statement in flight after an abort ends with its connection.
    await client.end().catch(() => {});
  }
}

async function applyAll(
  client: Client,
  migrations: readonly Migration[],
  logger: Logger,
): Promise<MigrationResult> {
  await client.connect();
  await inTransaction(client, async () => {
    await client.query(
      `create table if not exists schema_migrations (
         version integer primary key,
         name text not null,
         checksum text not null,
         applied_at timestamptz not null default now()
       )`,
    );
  });
  const applied: string[] = [];
  for (;;) {
    const next = await inTransaction(client, () => applyNext(client, migrations, logger));
    if (next === undefined) break;
    applied.push(next);
  }
  return { applied, revision: migrations.at(-1)?.version ?? 0 };
}

/** Applies the first file that is missing and returns its name; undefined when none is. */
async function applyNext(
  client: Client,
  migrations: readonly Migration[],
  logger: Logger,
): Promise<string | undefined> {
  const { rows } = await client.query<AppliedMigration>(
    "select version, name, checksum from schema_migrations order by version",
  );
  const [next] = pendingMigrations(migrations, rows);
  if (next === undefined) return undefined;
  const startedAt = performance.now();
  await client.query(
    "insert into schema_migrations (version, name, checksum) values ($1, $2, $3)",
    [next.version, next.name, next.checksum],
  );
  try {
    await client.query(next.sql);
  } catch (error) {
    throw new MigrationError(`${next.name}: ${describe(error)}`, { cause: fromDriver(error) });
  }
  // By then a part of it is committed, and the number says that all of it is.
  if (transactionStatus(client) !== "T") {
    throw new MigrationError(`${next.name}: must not end the transaction that it runs in`);
  }
  const ms = Math.round(performance.now() - startedAt);
  logger.info({ migration: next.name, ms }, "applied a migration");
  return next.name;
}

export interface AppliedMigration {
  readonly version: number;
  readonly name: string;
  readonly checksum: string;
}

/** What is still to be applied; throws MigrationError where the two do not fit together. */
export function pendingMigrations(
  migrations: readonly Migration[],
  applied: readonly AppliedMigration[],
): Migration[] {
  const revision = applied.at(-1)?.version ?? 0;
  const known = new Map(migrations.map((one) => [one.version, one]));
  const newest = migrations.at(-1)?.version ?? 0;
  if (revision > newest) {
    throw new MigrationError(
      `the database is at revision ${revision}, and this code knows revisions up to ${newest}: ` +
        "update Mahavishnu Memory",
    );
  }
  for (const row of applied) {
    const file = known.get(row.version);
    if (file === undefined) {
      throw new MigrationError(`${row.name} was applied and is missing here; put it back`);
    }
    if (file.checksum !== row.checksum) {
      throw new MigrationError(
        `${file.name} was changed after it was applied; restore it and put the change into a new file`,
      );
    }
  }
  const done = new Set(applied.map((row) => row.version));
  const pending = migrations.filter((one) => !done.has(one.version));
  const out = pending.find((one) => one.version < revision);
  if (out !== undefined) {
    throw new MigrationError(
      `${out.name} is numbered below revision ${revision}, which is applied; give it a number above`,
    );
  }
  return pending;
}

async function inTransaction<T>(client: Client, fn: () => Promise<T>): Promise<T> {
  await client.query("begin");
  try {
    await client.query("select pg_advisory_xact_lock($1)", [lockKey]);
    // Building an index takes as long as it takes.
    await client.query("set local statement_timeout = 0");
    const result = await fn();
    const { command } = await client.query("commit");
    if (command !== "COMMIT") throw new MigrationError("the transaction was rolled back");
    return result;
  } catch (error) {
    await client.query("rollback").catch(() => {});
    throw error;
  }
}

/** A migration's author needs the server's own words, and a schema holds no payload. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return "failed";
  const hint = /extension "vector" is not available/.test(error.message)
    ? "; install pgvector on the database server"
    : "";
  return `${error.message}${hint}`;
}
