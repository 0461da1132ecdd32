import { type Client, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../shared/gen/google/rpc/error_details_pb.js";
import {
  Health,
  HealthCheckResponse_ServingStatus,
} from "../../../shared/gen/health/v1/health_pb.js";
import {
  type Embedding,
  EmbeddingService,
} from "../../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { silentLogger } from "../../../shared/logging.ts";
import { createClient, createGrpcTransport } from "../../../shared/rpc/client.ts";
import { FakeOllama } from "../../../test/harness/fake-ollama.ts";
import { createApp, type EmbeddingOverrides } from "../app.ts";
import { readEmbeddingConfig } from "../config.ts";

export interface EmbeddingClients {
  readonly embedding: Client<typeof EmbeddingService>;
  readonly health: Client<typeof Health>;
}

/** The service on a free port, with no Ollama but where the environment names one. */
export async function startEmbedding(
  stack: AsyncDisposableStack,
  env: Record<string, string> = {},
  overrides: EmbeddingOverrides = {},
): Promise<EmbeddingClients> {
  const config = readEmbeddingConfig({
    env: {
      MAHAVISHNU_EMBEDDING_PORT: "0",
      OLLAMA_BASE_URL: "http://127.0.0.1:1",
      MAHAVISHNU_SHUTDOWN_GRACE_MS: "100",
      ...env,
    },
    file: {},
  });
  const app = stack.use(await createApp(config, { logger: silentLogger(), ...overrides }));
  const transport = stack.use(createGrpcTransport({ address: app.address, authToken: "secret" }));
  return {
    embedding: createClient(EmbeddingService, transport),
    health: createClient(Health, transport),
  };
}

/** The same with an Ollama that is a fake. */
export async function startWithOllama(
  stack: AsyncDisposableStack,
  env: Record<string, string> = {},
  overrides: EmbeddingOverrides = {},
): Promise<EmbeddingClients & { readonly fake: FakeOllama }> {
  const fake = stack.use(await FakeOllama.start());
  const clients = await startEmbedding(
    stack,
    { OLLAMA_BASE_URL: fake.url, ...env },
    { watchIntervalMs: 20, ...overrides },
  );
  return { fake, ...clients };
}

export async function untilServing({ health }: EmbeddingClients, serving: boolean): Promise<void> {
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  const wanted = serving ? SERVING : NOT_SERVING;
  for await (const { status } of health.watch({ service: EmbeddingService.typeName })) {
    if (status === wanted) return;
  }
}

export async function failure(call: Promise<unknown>): Promise<ConnectError> {
  return ConnectError.from(
    await call.then(
      () => "no failure",
      (error: unknown) => error,
    ),
  );
}

export function reasonOf(error: ConnectError): string | undefined {
  return error.findDetails(ErrorInfoSchema)[0]?.reason;
}

export function lengthOf(embedding: Embedding | undefined): number {
  const { result } = embedding ?? {};
  return result?.case === "vector" ? Math.hypot(...result.value.values) : 0;
}
