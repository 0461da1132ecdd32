import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
import { Client } from "pg";
import { Resources } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { migrate } from "../../shared/postgres/migrate.ts";
import { Postgres } from "../../shared/postgres/postgres.ts";

/** A migrated database of its own. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
  readonly postgres: Postgres;
}

export interface DatabaseKind {
  readonly name: string;
  readonly open: () => Promise<TestDatabase>;
}

const realUrl = process.env["MAHAVISHNU_TEST_PG_URL"];

/** Where the suites run: on the embedded PostgreSQL always, on a real one where one is named. */
export const databaseKinds: readonly DatabaseKind[] = [
  { name: "PGlite", open: openEmbedded },
  ...(realUrl === undefined ? [] : [{ name: "PostgreSQL", open: () => openReal(realUrl) }]),
];

async function openEmbedded(): Promise<TestDatabase> {
  await using resources = new Resources();
  const db = await PGlite.create({ extensions: { vector } });
  resources.defer("pglite", () => db.close());
  const server = new PGLiteSocketServer({ db, host: "127.0.0.1", port: 0, maxConnections: 40 });
  await server.start();
  resources.defer("socket", () => server.stop());
  const { port } = new URL(`tcp://${server.getServerConn()}`);
  return await openAt(`postgres://postgres@127.0.0.1:${port}/postgres`, resources);
}

async function openReal(server: string): Promise<TestDatabase> {
  await using resources = new Resources();
  const name = `ingestion_test_${randomBytes(6).toString("hex")}`;
  await onServer(server, `create database ${name}`);
  resources.defer("database", () => onServer(server, `drop database ${name} with (force)`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  return await openAt(url.href, resources);
}

async function openAt(url: string, resources: Resources): Promise<TestDatabase> {
  const directory = join(import.meta.dirname, "../../migrations");
  await migrate({ url, directory, logger: silentLogger() });
  const postgres = resources.use(
    "pool",
    new Postgres({
      url,
      poolSize: 8,
      statementTimeoutMs: 30_000,
      applicationName: "ingestion-test",
    }),
  );
  const owned = resources.move();
  return { url, postgres, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

async function onServer(url: string, sql: string): Promise<void> {
  const client = new Client(url);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
