import { type Client, createClient } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus,
} from "../../../shared/gen/health/v1/health_pb.js";
import { VectorStoreService } from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { silentLogger } from "../../../shared/logging.ts";
import type { App } from "../../../shared/process.ts";
import { createGrpcTransport, type GrpcTransport } from "../../../shared/rpc/client.ts";
import { createApp } from "../app.ts";
import { readConfig } from "../config.ts";

/** The vector store's process within this one, on the database of the URL. */
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

/** A client of a vector store that serves; both end with the stack. */
export async function startedClient(
  stack: AsyncDisposableStack,
  url: string,
  env: Record<string, string> = {},
): Promise<Client<typeof VectorStoreService>> {
  const app = stack.use(await start(url, env));
  const transport = stack.use(createGrpcTransport({ address: app.address }));
  await until(transport, true);
  return createClient(VectorStoreService, transport);
}
