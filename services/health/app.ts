import type { DescService } from "@bufbuild/protobuf";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { HealthService } from "../../shared/gen/mahavishnu/health/v1/health_service_pb.js";
import { IngestionService } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createLogger, type Logger } from "../../shared/logging.ts";
import { postgresAddress } from "../../shared/postgres/config.ts";
import { observePool } from "../../shared/postgres/pool-gauges.ts";
import { Postgres } from "../../shared/postgres/postgres.ts";
import type { App } from "../../shared/process.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { service, startRpcServer } from "../../shared/rpc/server.ts";
import { version } from "../../shared/version.ts";
import { observeComponents } from "./component-gauge.ts";
import type { Component } from "./component-health.ts";
import type { HealthConfig } from "./config.ts";
import { databaseComponent } from "./database.ts";
import { healthHandlers } from "./handlers.ts";
import { HealthChecker } from "./health-checker.ts";
import { HealthRecorder } from "./health-recorder.ts";
import { HealthWatch } from "./health-watch.ts";
import { ollamaComponent } from "./ollama-client.ts";
import { askForBridge, askForModel, type Inquiry, peerComponent } from "./peers.ts";
import { PostgresHealthHistoryStore, readDatabaseFacts } from "./postgres-store.ts";

/** A report younger than this is good enough for the next caller. */
const reuseMs = 1_000;

const dayMs = 86_400_000;

const ollamaUses = {
  auto: "preferred",
  ollama: "required",
  openai: "unused",
  builtin: "unused",
} as const;

/**
 * The health process. It needs nothing to start and serves at once, whatever is down: to say so is
 * its work.
 */
export async function createApp(
  config: HealthConfig,
  overrides: { readonly logger?: Logger } = {},
): Promise<App> {
  const logger = overrides.logger ?? createLogger("health", config.logLevel);
  const started = performance.now();
  await using resources = new Resources((part, err) => logger.warn({ err, part }, "did not close"));

  const postgres = resources.use("postgres", new Postgres(config.postgres, logger));
  resources.defer(
    "pool gauges",
    observePool(() => postgres.stats()),
  );
  const store = new PostgresHealthHistoryStore(postgres);
  const stop = new AbortController();
  const checker = new HealthChecker(
    [
      ...peers(config, resources),
      databaseComponent({ address: postgresAddress(config.postgres.url) }, (signal) =>
        readDatabaseFacts(postgres, signal),
      ),
      ollamaComponent({ url: config.ollamaUrl, use: ollamaUses[config.embeddingProvider] }),
    ],
    // Half of the polling, so that a poll always looks again.
    {
      timeoutMs: config.probeTimeoutMs,
      reuseMs: Math.min(reuseMs, config.pollIntervalMs / 2),
      lifetime: stop.signal,
    },
    {
      changed: ({ name, status, message }, before) =>
        logger.info({ component: name, status, before: before?.status, message }, "health changed"),
      failed: (component, err) => logger.warn({ err, component }, "a probe failed"),
    },
  );
  resources.defer("gauge", observeComponents(checker));

  if (config.monitoring) {
    const recorder = new HealthRecorder({
      checker,
      store,
      logger,
      intervalMs: config.sampleIntervalMs,
      retentionMs: config.retentionDays * dayMs,
    });
    const running = recorder.run(stop.signal);
    resources.defer("recorder", () => running);
  }
  resources.defer("probes", () => stop.abort());

  const health = new HealthRegistry();
  const server = await startRpcServer({
    host: config.host,
    port: config.port,
    services: [
      service(
        HealthService,
        healthHandlers({
          checker,
          watch: new HealthWatch(checker, config.pollIntervalMs),
          store,
          version,
          uptimeMs: () => performance.now() - started,
        }),
      ),
    ],
    health,
    logger,
    authToken: config.authToken,
  });
  resources.defer("server", () => server.shutdown(config.shutdownGraceMs));
  health.set(HealthService.typeName, true);

  const owned = resources.move();
  return {
    address: server.address,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

function peers(config: HealthConfig, resources: Resources): Component[] {
  const peer = (name: string, desc: DescService, address: string, inquire?: Inquiry) => {
    const transport = createGrpcTransport({ address, authToken: config.authToken });
    resources.defer(name, () => transport.close());
    return peerComponent({
      name,
      service: desc,
      address,
      transport,
      ...(inquire === undefined ? {} : { inquire }),
      inquiryTimeoutMs: Math.ceil(config.probeTimeoutMs * 0.8),
    });
  };
  const lexicalWanted = config.embeddingProvider === "builtin";
  return [
    peer("memory", MemoryService, config.memoryAddress),
    peer("ingestion", IngestionService, config.ingestionAddress),
    peer("vector-store", VectorStoreService, config.vectorStoreAddress),
    peer("embedding", EmbeddingService, config.embeddingAddress, askForModel(lexicalWanted)),
    peer("session-buddy", SessionBuddyService, config.sessionBuddyAddress, askForBridge),
  ];
}
