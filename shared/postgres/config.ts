import { ConfigError, type ConfigSources, kinds, readSettings, setting } from "../config.ts";
import { type PoolOwner, poolOwners, poolShare } from "./pool-budget.ts";

/** How one process reaches the database. */
export interface PostgresConfig {
  /** Connection string; may hold a password, so it is never logged. */
  readonly url: string;
  /** Most connections that this process holds at once. */
  readonly poolSize: number;
  /** A statement that takes longer is cancelled, in milliseconds; 0 for no limit. */
  readonly statementTimeoutMs: number;
  /** What the server's own views show as this client. */
  readonly applicationName: string;
  /** How long to wait for a connection, free or new, in milliseconds; default 10,000. */
  readonly acquireTimeoutMs?: number;
  /**
   * Settings of every session, as `jit=off`; names and values without spaces. The embedded server
   * knows none of them.
   */
  readonly sessionSettings?: readonly string[];
  /** Most callers that wait for a connection; more are refused as OVERLOADED. Default 1,000. */
  readonly maxWaiting?: number;
}

/** Settings of every process that uses the database; spread them into the process's own. */
export const postgresSettings = {
  postgresUrl: setting(
    "MAHAVISHNU_PG_URL",
    kinds.url(/^postgres(ql)?$/).optional(),
    "PostgreSQL as one URL; wins over the five single values",
    "postgresql.url",
  ),
  postgresHost: setting(
    "MAHAVISHNU_PG_HOST",
    kinds.text().optional(),
    "PostgreSQL's host; without it and a URL the embedded PostgreSQL is used",
    "postgresql.host",
  ),
  postgresPort: setting(
    "MAHAVISHNU_PG_PORT",
    kinds.integer(1, 65_535).optional(),
    "PostgreSQL's port (default 5432)",
    "postgresql.port",
  ),
  postgresDatabase: setting(
    "MAHAVISHNU_PG_DATABASE",
    kinds.text().optional(),
    "Database name (default mahavishnu)",
    "postgresql.database",
  ),
  postgresUser: setting(
    "MAHAVISHNU_PG_USER",
    kinds.text().optional(),
    "User name (default mahavishnu)",
    "postgresql.user",
  ),
  postgresPassword: setting(
    "MAHAVISHNU_PG_PASSWORD",
    kinds.text().optional(),
    "Password (default none)",
    "postgresql.password",
  ),
  postgresPoolSize: setting(
    "MAHAVISHNU_PG_POOL_SIZE",
    kinds.integer(poolOwners.length, 10_000).default(20),
    "Connections of the whole platform, shared out among its processes",
    "postgresql.pool_size",
  ),
  postgresMaxOverflow: setting(
    "MAHAVISHNU_PG_MAX_OVERFLOW",
    kinds.integer(0, 10_000).default(30),
    "Connections beyond the pool size; shared out with it",
    "postgresql.max_overflow",
  ),
  postgresStatementTimeoutMs: setting(
    "MAHAVISHNU_PG_STATEMENT_TIMEOUT_MS",
    kinds.integer(0, 86_400_000).default(30_000),
    "A statement that takes longer is cancelled, in milliseconds; 0 for no limit",
    "postgresql.statement_timeout_ms",
  ),
  embeddedPostgresPort: setting(
    "MAHAVISHNU_EMBEDDED_PG_PORT",
    kinds.integer(1, 65_535).default(54_329),
    "Port of the embedded PostgreSQL, used when no other one is configured",
  ),
};

/** What readSettings makes of `postgresSettings`. */
export interface PostgresValues {
  readonly postgresUrl?: string | undefined;
  readonly postgresHost?: string | undefined;
  readonly postgresPort?: number | undefined;
  readonly postgresDatabase?: string | undefined;
  readonly postgresUser?: string | undefined;
  readonly postgresPassword?: string | undefined;
  readonly postgresPoolSize: number;
  readonly postgresMaxOverflow: number;
  readonly postgresStatementTimeoutMs: number;
  readonly embeddedPostgresPort: number;
}

/** The configuration of one process, with its share of the platform's connections. */
export function postgresConfig(values: PostgresValues, owner: PoolOwner): PostgresConfig {
  return {
    url: postgresUrl(values),
    poolSize: poolShare(owner, values.postgresPoolSize + values.postgresMaxOverflow),
    statementTimeoutMs: values.postgresStatementTimeoutMs,
    applicationName: `mahavishnu-${owner}`,
  };
}

/** Where the database is: as configured, else the embedded one. */
export function postgresUrl(values: PostgresValues): string {
  return configuredUrl(values) ?? embeddedPostgresUrl(values.embeddedPostgresPort);
}

/**
 * The URL that the operator configured, or undefined where the embedded PostgreSQL is to be used.
 * Throws one ConfigError that names everything that is wrong.
 */
export function configuredPostgresUrl(sources: ConfigSources): string | undefined {
  return configuredUrl(readSettings(postgresSettings, sources));
}

/** Where the embedded PostgreSQL listens. */
export function embeddedPostgresUrl(port: number, host = "127.0.0.1"): string {
  return `postgres://mahavishnu@${host}:${port}/mahavishnu`;
}

/** `host:port` of a connection string: what may be shown of it. */
export function postgresAddress(url: string): string {
  const { hostname, port } = new URL(url);
  return `${decodeURIComponent(hostname) || "localhost"}:${port || "5432"}`;
}

function configuredUrl(values: PostgresValues): string | undefined {
  if (values.postgresUrl !== undefined) return values.postgresUrl;
  const { postgresHost: host, postgresPort: port, postgresDatabase: database } = values;
  const { postgresUser: user, postgresPassword: password } = values;
  if (host === undefined) {
    // Someone who sets these means a server of theirs; the embedded one would be a surprise.
    const meant = [
      port !== undefined && postgresSettings.postgresPort.env,
      database !== undefined && postgresSettings.postgresDatabase.env,
      user !== undefined && postgresSettings.postgresUser.env,
      password !== undefined && postgresSettings.postgresPassword.env,
    ].filter((name) => name !== false);
    if (meant.length === 0) return undefined;
    throw new ConfigError([`MAHAVISHNU_PG_HOST: is missing, while ${meant.join(", ")} is set`]);
  }
  const credentials =
    encodeURIComponent(user ?? "mahavishnu") +
    (password === undefined ? "" : `:${encodeURIComponent(password)}`);
  const path = encodeURIComponent(database ?? "mahavishnu");
  // A directory is a Unix socket; encoded, the URL stays one that anybody can parse.
  const name = host.startsWith("/")
    ? encodeURIComponent(host)
    : host.includes(":") && !host.startsWith("[")
      ? `[${host}]`
      : host;
  return `postgres://${credentials}@${name}:${port ?? 5432}/${path}`;
}
