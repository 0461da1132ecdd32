import { type Client, createClient } from "@connectrpc/connect";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../../shared/gen/health/v1/health_pb.js";
import { MemoryService } from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { Resources, sleep } from "../../../shared/lifecycle.ts";
import { silentLogger } from "../../../shared/logging.ts";
import { createGrpcTransport } from "../../../shared/rpc/client.ts";
import type { PeerTransports } from "../app.ts";
import { createApp } from "../app.ts";
import { readMemoryConfig } from "../config.ts";

export interface RunningService extends AsyncDisposable {
  readonly client: Client<typeof MemoryService>;
  serving(): Promise<boolean>;
}

/** The memory process on a free port, over gRPC, with peers that are given; serving unless told. */
export async function startService(options: {
  readonly postgresUrl: string;
  readonly peers?: PeerTransports;
  readonly env?: Readonly<Record<string, string>>;
  /** Default true: resolves only when it serves. */
  readonly untilServing?: boolean;
}): Promise<RunningService> {
  await using resources = new Resources();
  const config = readMemoryConfig({
    env: {
      MAHAVISHNU_PG_URL: options.postgresUrl,
      MAHAVISHNU_MEMORY_PORT: "0",
      MAHAVISHNU_LOG_LEVEL: "silent",
      MAHAVISHNU_MEMORY_PROBE_INTERVAL_MS: "20",
      MAHAVISHNU_MEMORY_OUTBOX_INTERVAL_MS: "20",
      MAHAVISHNU_SHUTDOWN_GRACE_MS: "1000",
      ...options.env,
    },
    file: {},
  });
  const { peers } = options;
  const app = await createApp(config, { logger: silentLogger(), ...(peers && { peers }) });
  resources.use("app", app);
  const transport = createGrpcTransport({ address: app.address, retry: { maxAttempts: 1 } });
  resources.defer("client", () => transport.close());
  const health = createClient(Health, transport);
  const serving = async () =>
    (await health.check({ service: MemoryService.typeName })).status === ServingStatus.SERVING;
  if (options.untilServing !== false) await eventually(serving);
  const owned = resources.move();
  return {
    client: createClient(MemoryService, transport),
    serving,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

/** Resolves when the condition holds; rejects when it does not within 10 seconds. */
export async function eventually(condition: () => Promise<boolean> | boolean): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await condition()) return;
    await sleep(25);
  }
  throw new Error(`never came true: ${condition}`);
}
