import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll } from "vitest";
import {
  BadRequestSchema,
  ErrorInfoSchema,
} from "../../../shared/gen/google/rpc/error_details_pb.js";
import {
  Health,
  HealthCheckResponse_ServingStatus,
} from "../../../shared/gen/health/v1/health_pb.js";
import { MemoryType } from "../../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import type { DocumentSchema } from "../../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import { VectorStoreService } from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { silentLogger } from "../../../shared/logging.ts";
import type { App } from "../../../shared/process.ts";
import { createGrpcTransport, type GrpcTransport } from "../../../shared/rpc/client.ts";
import { rejection } from "../../../shared/rpc/testing/conditions.ts";
import { testDatabase } from "../../../test/harness/postgres.ts";
import { createApp } from "../app.ts";
import { readConfig } from "../config.ts";

export type DocumentInit = MessageInitShape<typeof DocumentSchema>;

export const model = "model-a";

export function document(content: string, given: DocumentInit = {}): DocumentInit {
  return { content, memoryType: MemoryType.RAG, sourceSystem: "test", ...given };
}

export function start(url: string, env: Record<string, string> = {}): Promise<App> {
  const config = readConfig({
    env: {
      MAHAVISHNU_PG_URL: url,
      MAHAVISHNU_VECTOR_STORE_PORT: "0",
      MAHAVISHNU_VECTOR_STORE_PROBE_INTERVAL_MS: "20",
      MAHAVISHNU_SHUTDOWN_GRACE_MS: "1000",
      ...env,
    },
    file: {},
  });
  return createApp(config, { logger: silentLogger() });
}

/** Resolves when the service serves, or does not; rejects after 20 s. */
export async function until(transport: GrpcTransport, serving: boolean): Promise<void> {
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  const wanted = serving ? SERVING : NOT_SERVING;
  const stop = new AbortController();
  const watch = createClient(Health, transport).watch(
    { service: VectorStoreService.typeName },
    { signal: AbortSignal.any([stop.signal, AbortSignal.timeout(20_000)]) },
  );
  for await (const { status } of watch) if (status === wanted) break;
  stop.abort();
}

/** The error with which the call fails, and the fields that its BadRequest names. */
export async function refusal(call: Promise<unknown>) {
  const error = ConnectError.from(await rejection(call));
  const [info] = error.findDetails(ErrorInfoSchema);
  const fields = error
    .findDetails(BadRequestSchema)
    .flatMap((one) => one.fieldViolations.map((violation) => violation.field));
  return { code: error.code, reason: info?.reason, metadata: info?.metadata, fields };
}

/** The vector store's process on PGlite, one for all tests of a suite. */
export class ServiceSuite {
  readonly #stack = new AsyncDisposableStack();
  #client: Client<typeof VectorStoreService> | undefined;
  #tenants = 0;

  /** Declares the hooks; call it at the top of a suite. */
  constructor() {
    beforeAll(async () => {
      const database = await testDatabase("pglite");
      this.#stack.defer(() => database.close());
      const app = this.#stack.use(await start(database.url));
      const transport = this.#stack.use(createGrpcTransport({ address: app.address }));
      this.#client = createClient(VectorStoreService, transport);
      await until(transport, true);
    });
    afterAll(() => this.#stack.disposeAsync());
  }

  get client(): Client<typeof VectorStoreService> {
    if (this.#client === undefined) throw new Error("the service is there in hooks and tests");
    return this.#client;
  }

  /** Options of calls of a tenant that nobody else is. */
  readonly newTenant = () => ({ headers: { "x-mahavishnu-tenant": `tenant-${++this.#tenants}` } });
}
