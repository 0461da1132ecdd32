import { mkdirSync } from "node:fs";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { Resources } from "../../shared/lifecycle.ts";
import { embeddedPostgresUrl } from "../../shared/postgres/config.ts";
import { serveEmbedded } from "./embedded-socket.ts";

export interface EmbeddedPostgresOptions {
  /** Where the database lives, made when missing; undefined keeps it in memory. */
  readonly dataDir?: string | undefined;
  /** Default 127.0.0.1. There is no authentication, so nothing but loopback is sensible. */
  readonly host?: string;
  /** 0 for any free port. */
  readonly port: number;
  /** How long a silent client may keep the session while others wait; default 30,000 ms. */
  readonly longestHoldMs?: number;
}

export interface EmbeddedPostgres extends AsyncDisposable {
  readonly url: string;
  /** As bound. */
  readonly port: number;
}

/** Above the platform's 50, so that a person's psql and the tests fit beside it. */
const maxConnections = 100;

/**
 * PostgreSQL with pgvector inside this process, behind a socket, so that services know one way to
 * a database. All clients share one session: one statement, or one open transaction, at a time.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const { dataDir, host = "127.0.0.1" } = options;
  await using resources = new Resources();
  if (dataDir !== undefined) mkdirSync(dataDir, { recursive: true });
  const db = await PGlite.create({
    ...(dataDir === undefined ? {} : { dataDir }),
    extensions: { vector },
  });
  resources.defer("database", () => db.close());
  const socket = resources.use(
    "socket",
    await serveEmbedded({ ...options, db, host, maxConnections }),
  );
  const { port } = socket;
  const owned = resources.move();
  return {
    url: embeddedPostgresUrl(port, host),
    port,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
