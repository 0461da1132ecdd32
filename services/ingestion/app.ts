import type { Transport } from "@connectrpc/connect";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { IngestionService } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createLogger, type Logger } from "../../shared/logging.ts";
import { observePool } from "../../shared/postgres/pool-gauges.ts";
import { Postgres } from "../../shared/postgres/postgres.ts";
import { postgresReadiness } from "../../shared/postgres/readiness.ts";
import type { App } from "../../shared/process.ts";
import { createClient, createGrpcTransport } from "../../shared/rpc/client.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { service, startRpcServer } from "../../shared/rpc/server.ts";
import type { IngestionConfig } from "./config.ts";
import { DocumentConverter } from "./document-converter.ts";
import { DocumentSplitter } from "./document-splitter.ts";
import { DocumentStream } from "./document-stream.ts";
import { GrpcEmbedder } from "./embedding-client.ts";
import { FolderThreads } from "./folder-reader.ts";
import { createHandlers } from "./handlers.ts";
import { servingPeer } from "./health-client.ts";
import { reportEvents, streamEvents } from "./ingestion-events.ts";
import { Ingestions } from "./ingestions.ts";
import { KnowledgeBase } from "./knowledge-base.ts";
import { createMetrics } from "./metrics.ts";
import { GrpcMemoryTarget } from "./migration/memory-store-client.ts";
import { reportMigrations } from "./migration/migration-events.ts";
import { Migrations } from "./migration/migrations.ts";
import { PostgresMigrationStore } from "./migration/postgres-migration-store.ts";
import { GrpcRecordSource } from "./migration/session-buddy-client.ts";
import { PostgresFileStore } from "./postgres-file-store.ts";
import { PostgresJobStore } from "./postgres-job-store.ts";
import { Readiness } from "./readiness.ts";
import { GrpcPassageStore } from "./vector-store-client.ts";

export interface IngestionOverrides {
  readonly logger?: Logger;
  /** In place of connections to the peers' addresses. */
  readonly embeddingTransport?: Transport;
  readonly vectorStoreTransport?: Transport;
  readonly sessionBuddyTransport?: Transport;
  /** Pause between two looks at what the process needs; default 2,000 ms. */
  readonly readinessIntervalMs?: number;
}

/**
 * Starts the ingestion service. It listens at once, and serves, as its health says, while the
 * database and its schema, the embedding service and the vector store are there.
 */
export async function createApp(
  config: IngestionConfig,
  overrides: IngestionOverrides = {},
): Promise<App> {
  const logger = overrides.logger ?? createLogger("ingestion", config.logLevel);
  await using opening = new Resources((part, error) =>
    logger.error({ err: error, part }, "failed to close"),
  );
  if (config.roots?.length === 0) {
    logger.warn("no folder may be ingested: MAHAVISHNU_INGESTION_ROOTS names none");
  }
  const postgres = opening.use("postgres", new Postgres(config.postgres, logger));
  opening.defer(
    "pool gauges",
    observePool(() => postgres.stats()),
  );
  const peer = (address: string) => {
    const transport = createGrpcTransport({ address, authToken: config.authToken });
    opening.defer(`connection to ${address}`, () => transport.close());
    return transport;
  };
  const embedding = overrides.embeddingTransport ?? peer(config.embeddingAddress);
  const vectorStore = overrides.vectorStoreTransport ?? peer(config.vectorStoreAddress);
  const embedder = new GrpcEmbedder(createClient(EmbeddingService, embedding));
  const vectorStoreClient = createClient(VectorStoreService, vectorStore);
  const passages = new GrpcPassageStore(vectorStoreClient);
  // Only migrations need it: this process serves without it.
  const sessionBuddy = overrides.sessionBuddyTransport ?? peer(config.sessionBuddyAddress);

  const metrics = createMetrics(() => ingestions.size);
  opening.defer("metrics", () => metrics[Symbol.dispose]());
  const stores = { jobs: new PostgresJobStore(postgres), files: new PostgresFileStore(postgres) };
  const events = reportEvents(logger, metrics);
  const threads = opening.use(
    "folder threads",
    new FolderThreads({ maxFileBytes: config.maxFileBytes }),
  );
  const ingestions = new Ingestions(config, { ...stores, embedder, passages, threads, events });
  opening.use("ingestions", ingestions);
  const converter = opening.use("document converter", new DocumentConverter());
  const streamParts = {
    ...stores,
    ...{ embedder, passages, converter, splitter: new DocumentSplitter(threads) },
    ...streamEvents(logger, metrics),
  };
  const settings = {
    include: [],
    exclude: [],
    chunkSize: config.chunkSize,
    chunkOverlap: config.chunkOverlap,
  };
  const migrations = new Migrations(config, {
    store: new PostgresMigrationStore(postgres),
    source: new GrpcRecordSource(createClient(SessionBuddyService, sessionBuddy)),
    embedder,
    passages,
    target: new GrpcMemoryTarget(vectorStoreClient),
    events: reportMigrations(logger, metrics),
  });
  opening.use("migrations", migrations);
  const knowledgeBase = new KnowledgeBase(embedder, passages, (error) => {
    metrics.wordsOnly();
    logger.warn({ err: error }, "a question is answered by words alone");
  });

  const health = new HealthRegistry();
  const server = await startRpcServer({
    host: config.host,
    port: config.port,
    services: [
      service(
        IngestionService,
        createHandlers({
          ingestions,
          knowledgeBase,
          migrations,
          openStream: (work, repoId) =>
            DocumentStream.open(work, repoId, settings, config, streamParts),
          parallelBatches: config.parallelBatches,
          chunkDefaults: config,
          ragSearch: config.ragSearch,
          onAnswered: (ms) => metrics.answered(ms),
          onFault: (error) => logger.error({ err: error }, "an ingestion was not stopped"),
        }),
      ),
    ],
    health,
    logger,
    authToken: config.authToken,
  });
  opening.defer("server", () => server.shutdown(config.shutdownGraceMs));
  // Before the server waits for its streams, so that they can tell how their ingestions ended.
  opening.defer("running ingestions", () => ingestions.interrupt());
  opening.defer("running migrations", () => migrations.interrupt());

  const readiness = opening.use(
    "readiness",
    new Readiness({
      requirements: [
        { name: "postgresql", check: (signal) => requireSchema(postgres, signal) },
        servingPeer("embedding", EmbeddingService, embedding),
        servingPeer("vector-store", VectorStoreService, vectorStore),
      ],
      onChange: (ready) => health.set(IngestionService.typeName, ready),
      logger,
      ...(overrides.readinessIntervalMs === undefined
        ? {}
        : { intervalMs: overrides.readinessIntervalMs }),
    }),
  );
  readiness.start();
  ingestions.work();
  const open = opening.move();
  return { address: server.address, [Symbol.asyncDispose]: () => open[Symbol.asyncDispose]() };
}

async function requireSchema(postgres: Postgres, signal: AbortSignal): Promise<void> {
  const { ready, message } = await postgresReadiness(postgres, { signal });
  if (!ready) throw new Error(message);
}
