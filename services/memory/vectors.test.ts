import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { startRpcServer } from "../../shared/rpc/server.ts";
import { service } from "../../shared/rpc/service.ts";
import { EmbeddingClient } from "./embedding-client.ts";
import { PeerGuard } from "./peer-guard.ts";
import { FakePeers } from "./testing/peers.ts";
import { eventually } from "./testing/running-service.ts";
import { VectorStoreClient } from "./vector-store-client.ts";
import { Vectors } from "./vectors.ts";

let resources = new Resources();
afterEach(async () => {
  await resources[Symbol.asyncDispose]();
  resources = new Resources();
});

/** A server that takes connections and never says a word. */
async function silentServer() {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    if (!server.listening) return;
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, "close");
  };
  resources.defer("silence", close);
  return { port: (server.address() as AddressInfo).port, close, reached: () => sockets.size > 0 };
}

it("a silent embedding service costs three queries their time, and is asked again by itself", async () => {
  const silence = await silentServer();
  const address = `127.0.0.1:${silence.port}`;
  const transport = createGrpcTransport({ address, retry: { maxAttempts: 1 } });
  resources.defer("client", () => transport.close());
  const guard = new PeerGuard("embedding", silentLogger(), { halfOpenAfterMs: 50 });
  const documents = new VectorStoreClient(new FakePeers().transports.vectorStore);
  const vectors = new Vectors(new EmbeddingClient(transport), documents, silentLogger(), guard);
  const call = { tenant: "t", signal: new AbortController().signal, deadline: undefined };
  const embed = (budgetMs: number) => vectors.embedQuery(call, "a query", budgetMs);

  for (let n = 0; n < 3; n++) {
    expect(guard.state).toBe("closed");
    expect(await embed(200)).toEqual({ vector: undefined, why: "the query could not be embedded" });
  }
  expect(silence.reached()).toBe(true);
  await eventually(() => guard.state === "open");
  // With a budget of an hour: waiting for silence would not end.
  expect(await embed(3_600_000)).toMatchObject({
    vector: undefined,
    why: expect.stringContaining("left alone"),
  });

  await silence.close();
  const server = await startRpcServer({
    host: "127.0.0.1",
    port: silence.port,
    services: [
      service(EmbeddingService, {
        embed: () => ({
          model: "m",
          dimension: 2,
          embeddings: [{ result: { case: "vector", value: { values: [3, 4] } } }],
        }),
      }),
    ],
    health: new HealthRegistry(),
    logger: silentLogger(),
  });
  resources.defer("server", () => server.shutdown(0));
  await eventually(async () => (await embed(1_000)).vector !== undefined);
  expect(guard.state).toBe("closed");
  expect(await embed(1_000)).toEqual({ vector: { model: "m", values: new Float32Array([3, 4]) } });
});
