import { createServer } from "node:net";
import { expect, test } from "vitest";
import { Postgres } from "./postgres.ts";
import { withRetry } from "./retry.ts";

// What needs a server is in test/conformance/postgres.test.ts.

const config = (port: number) => ({
  url: `postgres://mahavishnu@127.0.0.1:${port}/mahavishnu`,
  poolSize: 2,
  statementTimeoutMs: 1_000,
  applicationName: "test",
  acquireTimeoutMs: 300,
});

/** A port where the server does with each connection as it is told. */
async function serverThat(on: (socket: import("node:net").Socket) => void) {
  const sockets = new Set<import("node:net").Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    on(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" ? (address?.port ?? 0) : 0,
    connections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("says that the database is down where nobody listens", async () => {
  const gone = await serverThat(() => {});
  await gone[Symbol.asyncDispose]();
  await using postgres = new Postgres(config(gone.port));
  await expect(postgres.ping()).rejects.toMatchObject({
    name: "DependencyUnavailableError",
    kind: "unavailable",
    facts: { dependency: "postgresql" },
    message: "the database does not answer",
  });
});

test("says so where the other side hangs up, and tries again when asked to", async () => {
  await using server = await serverThat((socket) => socket.destroy());
  await using postgres = new Postgres(config(server.port));
  const failed = withRetry(() => postgres.ping(), { attempts: 3, initialDelayMs: 1 });
  await expect(failed).rejects.toMatchObject({ reason: "DEPENDENCY_UNAVAILABLE" });
  expect(server.connections()).toBe(3);
});

test("does not wait for ever where nobody answers", async () => {
  await using server = await serverThat(() => {});
  await using postgres = new Postgres(config(server.port));
  await expect(postgres.ping()).rejects.toMatchObject({ kind: "unavailable" });
  const asked = postgres.ping(AbortSignal.timeout(50));
  await expect(asked).rejects.toMatchObject({ name: "TimeoutError" });
});
