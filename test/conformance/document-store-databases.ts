import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
import pg from "pg";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { Resources } from "../../shared/lifecycle.ts";
import { Postgres } from "../../shared/postgres/postgres.ts";

/** A database of its own for one test file, with the vector store's schema. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
  readonly postgres: Postgres;
  readonly store: PostgresDocumentStore;
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
  const name = `vs_test_${randomBytes(6).toString("hex")}`;
  await onServer(server, `create database ${name}`);
  resources.defer("database", () => onServer(server, `drop database ${name} with (force)`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  return await openAt(url.href, resources);
}

async function openAt(url: string, resources: Resources): Promise<TestDatabase> {
  const migration = join(import.meta.dirname, "../../migrations/0001_vector_store.sql");
  await onServer(url, readFileSync(migration, "utf8"));
  const postgres = resources.use(
    "pool",
    new Postgres({
      url,
      poolSize: 10,
      statementTimeoutMs: 30_000,
      applicationName: "vector-store-test",
    }),
  );
  const owned = resources.move();
  return {
    url,
    postgres,
    store: new PostgresDocumentStore(postgres),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

async function onServer(url: string, sql: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
