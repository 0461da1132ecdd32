import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createLogger, type Logger } from "../../shared/logging.ts";
import { Postgres } from "../../shared/postgres/postgres.ts";
import { postgresReadiness } from "../../shared/postgres/readiness.ts";
import type { App } from "../../shared/process.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { service, startRpcServer } from "../../shared/rpc/server.ts";
import type { VectorStoreConfig } from "./config.ts";
import { DatabaseProbe } from "./database-probe.ts";
import { vectorStoreHandlers } from "./handlers.ts";
import { IndexKeeper } from "./index-keeper.ts";
import { PostgresLanguageStore } from "./language-store.ts";
import { createMetrics } from "./metrics.ts";
import { PostgresDocumentStore } from "./postgres-store.ts";
import { watchReadiness } from "./readiness.ts";
import type { DocumentStore } from "./store.ts";
import { sweep } from "./sweeper.ts";
import { TextLanguage } from "./text-language.ts";

/** A probe that takes longer than this counts as failed. */
const probeTimeoutMs = 5_000;

/** Expired documents that one statement removes. */
const sweptAtOnce = 500;

/** So long nobody's query may be answered while a probe waits for its turn. */
const quietMs = 15_000;

/**
 * The vector-store process. It listens at once and serves as soon as the database answers and has
 * the schema; it stops serving while the database does not answer.
 */
export async function createApp(
  config: VectorStoreConfig,
  overrides: { readonly logger?: Logger } = {},
): Promise<App> {
  const logger = overrides.logger ?? createLogger("vector-store", config.logLevel);
  await using resources = new Resources((part, err) => logger.warn({ err, part }, "did not close"));

  const postgres = resources.use("postgres", new Postgres(config.postgres, logger));
  const store: PostgresDocumentStore = resources.use(
    "store",
    new PostgresDocumentStore(postgres, {
      onUnindexed: (collection, rows) => indexes.missing(collection, rows),
      maxCollections: config.maxCollections,
      exactScope: config.exactScope,
      knownScopes: {
        bytes: config.knownScopesMb * 2 ** 20,
        onFailure: (err) =>
          logger.warn({ err }, "a scope that is searched often could not be read"),
      },
      buildMemoryMb: config.buildMemoryMb,
    }),
  );
  const indexes = resources.use(
    "indexes",
    new IndexKeeper({
      build: (collection, order, signal) => store.buildIndex(collection, order, signal),
      enabled: config.autoIndex,
      besides: (signal) => store.buildsBesides(signal),
      logger,
    }),
  );
  const metrics = createMetrics(config.performanceMonitoring);
  resources.defer(
    "metrics",
    metrics.observePool(() => postgres.stats()),
  );

  const health = new HealthRegistry();
  const server = await startRpcServer({
    host: config.host,
    port: config.port,
    services: [
      service(
        VectorStoreService,
        vectorStoreHandlers({
          store,
          logger,
          metrics,
          bulkInFlight: config.bulkInFlight,
          batchInFlight: config.batchInFlight,
        }),
      ),
    ],
    health,
    logger,
    authToken: config.authToken,
  });
  resources.defer("server", () => server.shutdown(config.shutdownGraceMs));

  const stop = new AbortController();
  const languages = new PostgresLanguageStore(postgres, config.postgres, logger);
  const language = new TextLanguage(languages, config.textLanguage, stop.signal);
  const probe = new DatabaseProbe(postgres, quietMs);
  let schemaKnown = false;
  let leftovers: Promise<void> | undefined;
  let sweeping: Promise<void> | undefined;
  const sweeper = {
    collections: async (signal: AbortSignal) => await allCollections(store, signal),
    remove: (collection: string, limit: number, signal: AbortSignal) =>
      store.removeExpired(collection, limit, signal),
    removed: (collection: string, count: number) => {
      metrics.swept(collection, count);
      logger.debug({ collection, count }, "removed expired documents");
    },
    failed: (error: unknown) => logger.warn({ err: error }, "expired documents were not removed"),
    intervalMs: config.sweepIntervalMs,
    batch: sweptAtOnce,
  };
  const watching = watchReadiness(
    {
      check: async (signal) => {
        // Once the schema is there, that the database answers is all that can change.
        if (schemaKnown) return await probe.check(signal);
        const { ready, message, warning } = await postgresReadiness(postgres, { signal });
        if (!ready) throw new Error(message);
        await language.check(signal);
        schemaKnown = true;
        if (warning !== undefined) logger.warn(warning);
        leftovers = store
          .removeLeftovers(stop.signal)
          .catch((err) => logger.warn({ err }, "what is left of an index build was not removed"));
      },
      changed: (problem) => {
        health.set(VectorStoreService.typeName, problem === undefined);
        if (problem === undefined) {
          logger.info("serving");
          sweeping ??= sweep(sweeper, stop.signal);
        } else logger.warn({ err: problem }, `not serving: ${problem.message}`);
      },
      intervalMs: config.probeIntervalMs,
      timeoutMs: probeTimeoutMs,
    },
    stop.signal,
  );
  // Closed before the server: nothing may turn SERVING again while it drains.
  resources.defer("readiness", async () => {
    stop.abort();
    await watching;
    await Promise.all([leftovers, sweeping, language.settled()]);
  });

  const owned = resources.move();
  return {
    address: server.address,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

async function allCollections(store: DocumentStore, signal: AbortSignal): Promise<string[]> {
  const names: string[] = [];
  const page = 100;
  for (;;) {
    const found = await store.collections(names.at(-1), page, signal);
    names.push(...found.map((one) => one.name));
    if (found.length < page) return names;
  }
}
