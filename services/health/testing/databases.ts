import { randomUUID } from "node:crypto";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
import pg from "pg";
import { silentLogger } from "../../../shared/logging.ts";
import { migrate } from "../../../shared/postgres/migrate.ts";
import { migrationsDirectory } from "../../../shared/postgres/migration-files.ts";

/** A database with the schema in place. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
}

/** The embedded PostgreSQL, and a real one where there is a URL. */
export function databases(
  realUrl: string | undefined,
): { name: string; open: () => Promise<TestDatabase> }[] {
  const embedded = { name: "PGlite", open: openEmbedded };
  if (realUrl === undefined) return [embedded];
  return [embedded, { name: "PostgreSQL", open: () => openReal(realUrl) }];
}

export async function openEmbedded(): Promise<TestDatabase> {
  const db = await PGlite.create({ extensions: { vector } });
  const server = new PGLiteSocketServer({ db, port: 0, host: "127.0.0.1", maxConnections: 10 });
  await server.start();
  const url = `postgres://postgres@${server.getServerConn()}/postgres`;
  await migrate({ url, directory: migrationsDirectory, logger: silentLogger() });
  return {
    url,
    async [Symbol.asyncDispose]() {
      await server.stop();
      await db.close();
    },
  };
}

async function openReal(url: string): Promise<TestDatabase> {
  const name = `health_${randomUUID().replaceAll("-", "")}`;
  const own = new URL(url);
  own.pathname = `/${name}`;
  await run(url, `create database ${name}`);
  await migrate({ url: own.href, directory: migrationsDirectory, logger: silentLogger() });
  return {
    url: own.href,
    [Symbol.asyncDispose]: () => run(url, `drop database ${name} with (force)`),
  };
}

async function run(connectionString: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
