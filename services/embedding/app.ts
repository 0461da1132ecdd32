import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createLogger, type Logger } from "../../shared/logging.ts";
import type { App } from "../../shared/process.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { service, startRpcServer } from "../../shared/rpc/server.ts";
import { Admission, type AdmissionLimits, defaultAdmissionLimits } from "./admission.ts";
import { BatchingEmbedder } from "./batching-embedder.ts";
import { BuiltinEmbedder } from "./builtin-embedder.ts";
import type { EmbeddingConfig } from "./config.ts";
import { EmbeddingDesk } from "./embedding-desk.ts";
import { createHandlers } from "./handlers.ts";
import { MeteredEmbedder, meterQueue } from "./metered-embedder.ts";
import { ModelCatalog, type ModelStatus } from "./model-catalog.ts";
import { createProviders } from "./providers.ts";
import { VectorCache } from "./vector-cache.ts";

export interface EmbeddingOverrides {
  readonly logger?: Logger;
  /** Pause between two looks at the providers; default 15,000 ms. */
  readonly watchIntervalMs?: number;
  readonly admissionLimits?: AdmissionLimits;
}

/**
 * Starts the embedding service. It listens at once and serves, as its health says, when the
 * default model has embedded a text.
 */
export async function createApp(
  config: EmbeddingConfig,
  overrides: EmbeddingOverrides = {},
): Promise<App> {
  const logger = overrides.logger ?? createLogger("embedding", config.logLevel);
  await using opening = new Resources((part, error) =>
    logger.error({ err: error, part }, "failed to close"),
  );
  const health = new HealthRegistry();
  const cache = new VectorCache(config.cacheMegabytes * 1024 * 1024);
  opening.defer("cache", () => cache[Symbol.dispose]());
  const providers = createProviders({
    config,
    logger,
    cache,
    onNews: (provider) => catalog.doubt(provider),
  });
  for (const { puller } of providers) if (puller !== undefined) opening.use("puller", puller);
  const catalog: ModelCatalog<BatchingEmbedder> = new ModelCatalog({
    choice: config.provider,
    providers,
    // Not cached: it is faster than a hash of a long text is worth.
    builtin: new BatchingEmbedder(new MeteredEmbedder(new BuiltinEmbedder())),
    watchIntervalMs: overrides.watchIntervalMs ?? 15_000,
    onChange: (model) => {
      health.set(EmbeddingService.typeName, model.ready);
      announce(logger, model, config);
    },
  });
  const limits = { ...defaultAdmissionLimits, texts: config.queueTexts };
  const admission = new Admission(overrides.admissionLimits ?? limits);
  const queueGauge = meterQueue(() => admission.texts);
  opening.defer("queue gauge", () => queueGauge[Symbol.dispose]());
  opening.use("model catalog", catalog);
  const desk = new EmbeddingDesk(catalog, admission);
  const server = await startRpcServer({
    host: config.host,
    port: config.port,
    services: [service(EmbeddingService, createHandlers({ desk, catalog }))],
    health,
    logger,
    authToken: config.authToken,
  });
  opening.defer("server", () => server.shutdown(config.shutdownGraceMs));
  catalog.start().catch((error: unknown) => logger.debug({ err: error }, "stopped while starting"));
  const open = opening.move();
  return { address: server.address, [Symbol.asyncDispose]: () => open[Symbol.asyncDispose]() };
}

/** Says which model is used, and what that means. */
function announce(logger: Logger, model: ModelStatus, config: EmbeddingConfig): void {
  const { name, provider, dimension, description, lexical, ready } = model;
  const facts = { model: name, provider, dimension };
  if (lexical) {
    const help =
      config.provider === "builtin"
        ? "for search by meaning set MAHAVISHNU_EMBEDDING_PROVIDER=auto and have Ollama run"
        : `for search by meaning have Ollama run at ${config.ollamaBaseUrl} and run ` +
          `\`ollama pull ${config.ollamaModel}\`; this service then takes it up by itself`;
    logger.warn(
      facts,
      `embedding with the built-in model, which is LEXICAL: it compares words and spellings, not meaning; ${help}`,
    );
  } else if (ready) logger.info(facts, "embedding by meaning");
  else logger.warn(facts, description);
}
