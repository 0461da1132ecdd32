import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { Resources } from "../../shared/lifecycle.ts";
import { embeddedPostgresUrl } from "../../shared/postgres/config.ts";
import { EmbeddedConnection } from "./embedded-postgres-connection.ts";
import { SharedSession } from "./embedded-postgres-session.ts";

export interface EmbeddedPostgresOptions {
  /** Where the database lives, made when missing; undefined keeps it in memory. */
  readonly dataDir?: string | undefined;
  /** A dump of a database's files to begin with, where there is none yet; saves making them. */
  readonly files?: Blob;
  /** Default 127.0.0.1. There is no authentication, so nothing but loopback is sensible. */
  readonly host?: string;
  /** 0 for any free port. */
  readonly port: number;
  /** Default 100: above the platform's 50, so that a person's psql fits beside it. */
  readonly maxConnections?: number;
  /**
   * A client that keeps a transaction open and silent for this long, while others wait for it, is
   * disconnected; milliseconds, default 30,000.
   */
  readonly longestHoldMs?: number;
  /** Told when the server inside has failed and is of no more use. Default: nothing. */
  readonly onFailure?: (error: unknown) => void;
}

export interface EmbeddedPostgres extends AsyncDisposable {
  readonly url: string;
  /** As bound. */
  readonly port: number;
  /** Clients that are connected now. */
  readonly connections: number;
}

/**
 * PostgreSQL with pgvector inside this process, behind a socket, so that services know one way to
 * a database. All clients share one session: one statement, or one open transaction, at a time;
 * session settings (`set` without `local`) are everybody's; there is no COPY FROM STDIN, and no
 * statement can be stopped while it runs.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const { dataDir, host = "127.0.0.1", longestHoldMs = 30_000 } = options;
  await using resources = new Resources();
  if (dataDir !== undefined) mkdirSync(dataDir, { recursive: true });
  const db = await PGlite.create({
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(options.files === undefined ? {} : { loadDataDir: options.files }),
    extensions: { vector },
  });
  resources.defer("database", () => db.close());
  const session = new SharedSession(db, longestHoldMs);
  const clients = new Clients(session, await session.greet(), options);
  const server = createServer((socket) => clients.add(socket));
  server.listen({ host, port: options.port, exclusive: true });
  await once(server, "listening");
  resources.defer("clients", () => clients.stop());
  resources.defer("socket", () => stopListening(server));
  const { port } = server.address() as AddressInfo;
  const owned = resources.move();
  return {
    url: embeddedPostgresUrl(port, host),
    port,
    get connections() {
      return clients.count;
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

class Clients {
  readonly #open = new Set<EmbeddedConnection>();
  readonly #session: SharedSession;
  readonly #greeting: Buffer;
  readonly #maxConnections: number;
  readonly #onFailure: (error: unknown) => void;
  #lastProcessId = 0;

  constructor(session: SharedSession, greeting: Buffer, options: EmbeddedPostgresOptions) {
    this.#session = session;
    this.#greeting = greeting;
    this.#maxConnections = options.maxConnections ?? 100;
    this.#onFailure = options.onFailure ?? (() => {});
  }

  get count(): number {
    return this.#open.size;
  }

  add(socket: Socket): void {
    this.#lastProcessId += 1;
    const connection = new EmbeddedConnection({
      socket,
      session: this.#session,
      processId: this.#lastProcessId,
      secret: randomInt(2 ** 31),
      greeting: this.#greeting,
      refused: this.#open.size >= this.#maxConnections,
      onCancel: (processId, secret) => {
        for (const one of this.#open) if (one.isNamed(processId, secret)) one.cancel();
      },
      onFailure: this.#onFailure,
    });
    this.#open.add(connection);
    void connection.closed.finally(() => this.#open.delete(connection));
  }

  async stop(): Promise<void> {
    const open = [...this.#open];
    for (const connection of open) connection.stop();
    await Promise.all(open.map((connection) => connection.closed));
  }
}

/** Does not wait for clients; they are told next. */
function stopListening(server: Server): void {
  server.close();
}
