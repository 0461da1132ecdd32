import {
  type ConfigSources,
  configSources,
  kinds,
  readSettings,
  setting,
  type Values,
} from "../../shared/config.ts";
import { processSettings } from "../../shared/process.ts";

/** What this process can be told. */
export const embeddingSettings = {
  ...processSettings,
  port: setting(
    "MAHAVISHNU_EMBEDDING_PORT",
    kinds.port().default(50054),
    "Port of the embedding service",
  ),
  provider: setting(
    "MAHAVISHNU_EMBEDDING_PROVIDER",
    kinds.oneOf(["auto", "ollama", "builtin"]).default("auto"),
    "Who makes the default vectors: `ollama`, `builtin`, or `auto` for Ollama when it answers",
    "embedding.provider",
  ),
  ollamaBaseUrl: setting(
    "OLLAMA_BASE_URL",
    kinds.url(/^https?$/).default("http://127.0.0.1:11434"),
    "Where Ollama listens",
    "ollama_base_url",
  ),
  // `llm_model` of the YAML file names a model that writes, not one that embeds.
  ollamaModel: setting(
    "OLLAMA_MODEL",
    kinds.text().default("nomic-embed-text"),
    "The embedding model asked of Ollama",
    "embedding_model",
  ),
  batchSize: setting(
    "MAHAVISHNU_EMBEDDING_BATCH_SIZE",
    kinds.integer(1, 256).default(32),
    "Texts sent to Ollama in one request",
    "embedding.batch_size",
  ),
  concurrency: setting(
    "MAHAVISHNU_EMBEDDING_CONCURRENCY",
    kinds.integer(1, 64).default(4),
    "Requests to Ollama at once",
    "embedding.concurrency",
  ),
  requestTimeoutMs: setting(
    "MAHAVISHNU_EMBEDDING_TIMEOUT_MS",
    kinds.integer(100, 600_000).default(60_000),
    "How long one request to Ollama may take, in milliseconds; the first one loads the model",
    "embedding.timeout_ms",
  ),
};

export type EmbeddingConfig = Values<typeof embeddingSettings>;

/** Throws ConfigError, which names every mistake. */
export function readEmbeddingConfig(sources: ConfigSources = configSources()): EmbeddingConfig {
  return readSettings(embeddingSettings, sources);
}
