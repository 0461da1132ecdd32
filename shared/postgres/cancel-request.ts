import { connect } from "node:net";
import type { ClientBase } from "pg";

/** What node-postgres knows of the session; its types leave it out. */
interface Session {
  readonly host: string;
  readonly port: number;
  readonly processID: number | null;
  readonly secretKey: number | null;
}

const cancelRequestCode = 80_877_102;

/**
 * Asks the server to cancel what the client's session runs, over a connection of its own as the
 * protocol wants it, outside the pool. Resolves once the server has closed that connection: the
 * signal has then reached the session, and cannot hit a statement that is sent later. Never
 * rejects; a request that does not get through leaves the statement to its timeout.
 */
export function requestCancel(client: ClientBase, timeoutMs = 5_000): Promise<void> {
  const { host, port, processID, secretKey } = client as unknown as Session;
  if (processID === null || secretKey === null) return Promise.resolve();
  const message = Buffer.alloc(16);
  message.writeInt32BE(16, 0);
  message.writeInt32BE(cancelRequestCode, 4);
  message.writeInt32BE(processID, 8);
  message.writeInt32BE(secretKey, 12);
  return new Promise((resolve) => {
    const socket = host.startsWith("/") ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
    socket.setTimeout(timeoutMs, () => socket.destroy());
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.on("connect", () => socket.end(message));
    socket.resume();
  });
}
