import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createLogger, type Logger } from "../../shared/logging.ts";
import type { App } from "../../shared/process.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { service, startRpcServer } from "../../shared/rpc/server.ts";
import { Admission, type AdmissionLimits } from "./admission.ts";
import { BuiltinEmbedder } from "./builtin-embedder.ts";
import type { EmbeddingConfig } from "./config.ts";
import { EmbeddingDesk } from "./embedding-desk.ts";
import { createHandlers } from "./handlers.ts";
import { MeteredEmbedder, meterQueue } from "./metered-embedder.ts";
import { ModelCatalog, type ModelStatus } from "./model-catalog.ts";
import { OllamaClient } from "./ollama-client.ts";
import { OllamaEmbedder } from "./ollama-embedder.ts";
import { OllamaObserver } from "./ollama-observer.ts";
import { Slots } from "./slots.ts";

export interface EmbeddingOverrides {
  readonly logger?: Logger;
  /** Pause between two looks at Ollama; default 15,000 ms. */
  readonly watchIntervalMs?: number;
  readonly admissionLimits?: AdmissionLimits;
}

/** A small question to Ollama, such as which models it has. */
const lookTimeoutMs = 3_000;

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
  const client = new OllamaClient(config.ollamaBaseUrl);
  const observer = new OllamaObserver(client, lookTimeoutMs);
  const slots = new Slots(config.concurrency);
  const catalog = new ModelCatalog({
    provider: config.provider,
    ollamaModel: config.ollamaModel,
    builtin: new MeteredEmbedder(new BuiltinEmbedder()),
    observe: (signal) => observer.observe(signal),
    createOllamaEmbedder: (modelName, { dimension, contextTokens }) =>
      new MeteredEmbedder(
        new OllamaEmbedder({
          client,
          modelName,
          dimension,
          contextTokens,
          slots,
          batchShape: { texts: config.batchSize, concurrency: config.concurrency },
          requestTimeoutMs: config.requestTimeoutMs,
        }),
        () => catalog.doubtOllama(),
      ),
    watchIntervalMs: overrides.watchIntervalMs ?? 15_000,
    onChange: (model) => {
      health.set(EmbeddingService.typeName, model.ready);
      announce(logger, model, config);
    },
  });
  const admission = new Admission(overrides.admissionLimits);
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
  } else if (ready) logger.info(facts, "embedding with Ollama");
  else logger.warn(facts, description);
}
