import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
import pg from "pg";

/** A database with this service's table in it. */
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

const schema = [
  "create extension if not exists vector;",
  readFileSync(resolve(import.meta.dirname, "../../../migrations/0004_health.sql"), "utf8"),
].join("\n");

export async function openEmbedded(): Promise<TestDatabase> {
  const db = await PGlite.create({ extensions: { vector } });
  await db.exec(schema);
  const server = new PGLiteSocketServer({ db, port: 0, host: "127.0.0.1", maxConnections: 10 });
  await server.start();
  return {
    url: `postgres://postgres@${server.getServerConn()}/postgres`,
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
  await run(own.href, schema);
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
