import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, expect, test } from "vitest";
import {
  EmbeddingService,
  type ListModelsResponseSchema,
} from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import {
  type GetStatusResponseSchema,
  SessionBuddyService,
} from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import type { ComponentHealth } from "./component-health.ts";
import { HealthChecker } from "./health-checker.ts";
import { askForBridge, askForModel, type PeerOptions, peerComponent } from "./peers.ts";
import { eventually } from "./testing/components.ts";
import { startPeer, startSilence } from "./testing/peer-servers.ts";

const resources = new Resources();
afterEach(() => resources[Symbol.asyncDispose]());

const never = new Promise<never>(() => {});
type PeerTest = Pick<PeerOptions, "service" | "address" | "inquire"> & { authToken?: string };

/** What a probe of the peer finds, each time it is called. */
function prober({ authToken, ...peer }: PeerTest): () => Promise<ComponentHealth | undefined> {
  const transport = createGrpcTransport({ address: peer.address, authToken });
  resources.defer("transport", () => transport.close());
  const component = peerComponent({ name: "peer", transport, inquiryTimeoutMs: 200, ...peer });
  const lifetime = new AbortController().signal;
  const checker = new HealthChecker([component], { timeoutMs: 500, reuseMs: 0, lifetime });
  return async () => (await checker.report()).components[0];
}

test("follows a peer that serves, stops serving, dies and comes back", async () => {
  const peer = await startPeer(MemoryService);
  resources.use("peer", peer);
  const probe = prober({ service: MemoryService, address: peer.address });
  expect(await probe()).toMatchObject({
    status: "healthy",
    message: "serving",
    metadata: { address: peer.address },
  });

  peer.serve(false);
  expect(await probe()).toMatchObject({ status: "unhealthy", message: "not serving" });

  await peer[Symbol.asyncDispose]();
  await eventually(async () => (await probe())?.message === `not reachable at ${peer.address}`);
  expect(await probe()).toMatchObject({ status: "unhealthy" });

  resources.use("peer again", await startPeer(MemoryService, {}, { port: peer.port }));
  await eventually(async () => (await probe())?.status === "healthy");
});

test("a peer that hangs is not waited for", async () => {
  const silence = resources.use("silence", await startSilence());
  expect(await prober({ service: MemoryService, address: silence.address })()).toMatchObject({
    status: "unhealthy",
    message: "did not answer within 500 ms",
  });
});

test("another service at the peer's address is told apart", async () => {
  const peer = resources.use("peer", await startPeer(MemoryService));
  expect(await prober({ service: EmbeddingService, address: peer.address })()).toMatchObject({
    status: "unhealthy",
    message: `what answers at ${peer.address} does not serve mahavishnu.embedding.v1.EmbeddingService`,
  });
});

test("a peer that serves but does not say how it is, is degraded", async () => {
  const hanging = resources.use(
    "hanging",
    await startPeer(EmbeddingService, { listModels: () => never }),
  );
  const inquire = askForModel(false);
  expect(
    await prober({ service: EmbeddingService, address: hanging.address, inquire })(),
  ).toMatchObject({
    status: "degraded",
    message: "serving, but does not say how it is: DeadlineExceeded",
  });

  const locked = resources.use("locked", await startPeer(EmbeddingService, {}, { authToken: "x" }));
  const asked = { service: EmbeddingService, address: locked.address, inquire };
  expect((await prober(asked)())?.message).toContain("Unauthenticated");
  expect((await prober({ ...asked, authToken: "x" })())?.message).toContain("Unimplemented");
});

test("says which model embeds, and that a lexical one is less", async () => {
  const lexical = { name: "lexical-v1", provider: "builtin", dimension: 768, lexical: true };
  const meaning = { name: "nomic", provider: "ollama", dimension: 768 };
  let models: MessageInitShape<typeof ListModelsResponseSchema>["models"] = [];
  const peer = resources.use(
    "peer",
    await startPeer(EmbeddingService, { listModels: () => ({ models: models ?? [] }) }),
  );
  const probe = (lexicalWanted: boolean) =>
    prober({
      service: EmbeddingService,
      address: peer.address,
      inquire: askForModel(lexicalWanted),
    })();

  expect(await probe(false)).toMatchObject({ status: "degraded", message: "no model" });
  models = [{ ...lexical, isDefault: true, ready: true }, meaning];
  expect(await probe(false)).toMatchObject({
    status: "degraded",
    message: "lexical-v1 compares words, not meaning",
    metadata: { model: "lexical-v1", provider: "builtin", dimension: 768, lexical: true },
  });
  expect(await probe(true)).toMatchObject({ status: "healthy" });
  models = [{ ...meaning, isDefault: true, ready: false }];
  expect(await probe(false)).toMatchObject({ status: "degraded", message: "nomic is not ready" });
  models = [{ ...meaning, isDefault: true, ready: true }, lexical];
  expect(await probe(false)).toMatchObject({ status: "healthy", message: "embeds with nomic" });
});

test("says who holds Session-Buddy's file and what waits for it", async () => {
  let answer: MessageInitShape<typeof GetStatusResponseSchema> = {};
  const peer = resources.use(
    "peer",
    await startPeer(SessionBuddyService, { getStatus: () => answer }),
  );
  const probe = prober({
    service: SessionBuddyService,
    address: peer.address,
    inquire: askForBridge,
  });
  const free = { file: "/data/buddy.duckdb", readable: true, totalRecords: 7n };
  answer = free;
  expect(await probe()).toMatchObject({
    status: "healthy",
    metadata: { file: "/data/buddy.duckdb", total_records: 7, queued_writes: 0 },
  });
  answer = { ...free, lockHolder: "python3.13 (PID 4711)", queuedWrites: 1n };
  expect(await probe()).toMatchObject({
    status: "degraded",
    message: "python3.13 (PID 4711) holds the file; 1 write waits",
    metadata: { lock_holder: "python3.13 (PID 4711)", queued_writes: 1 },
  });
  answer = { ...free, queuedWrites: 3n };
  expect(await probe()).toMatchObject({ status: "degraded", message: "3 writes wait" });
  answer = { readable: false };
  expect(await probe()).toMatchObject({ status: "degraded", message: "the file cannot be read" });
});
