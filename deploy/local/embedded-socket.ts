import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { PGlite } from "@electric-sql/pglite";
import { PGLiteSocketHandler, type PGLiteSocketHandlerOptions } from "@electric-sql/pglite-socket";
import { SessionQueue } from "./session-queue.ts";

export interface EmbeddedSocketOptions {
  readonly db: PGlite;
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** Further clients are disconnected at once. */
  readonly maxConnections: number;
  /** How long a silent client may keep the session while others wait; default 30,000 ms. */
  readonly longestHoldMs?: number;
}

export interface EmbeddedSocket extends AsyncDisposable {
  /** As bound. */
  readonly port: number;
}

/**
 * Serves PGlite to many clients over PostgreSQL's wire protocol. The handler of a connection is
 * the socket package's own; the turns that clients take are ours, see SessionQueue.
 */
export async function serveEmbedded(options: EmbeddedSocketOptions): Promise<EmbeddedSocket> {
  const sockets = new Map<number, { handler: PGLiteSocketHandler; socket: Socket }>();
  const queue = new SessionQueue(
    options.db,
    (client) => sockets.get(client)?.socket.destroy(),
    options.longestHoldMs,
  );
  // The package's type names its own class, which it does not export; ours has the same methods.
  const queryQueue = queue as unknown as PGLiteSocketHandlerOptions["queryQueue"];
  const server = createServer((socket) => {
    if (sockets.size >= options.maxConnections) {
      socket.destroy();
      return;
    }
    const handler = new PGLiteSocketHandler({ queryQueue, closeOnDetach: true });
    sockets.set(handler.handlerId, { handler, socket });
    socket.once("close", () => sockets.delete(handler.handlerId));
    handler.attach(socket).catch(() => socket.destroy());
  });
  server.listen({ host: options.host, port: options.port, exclusive: true });
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const { handler } of sockets.values()) await handler.detach(true);
      await closed;
    },
  };
}
