import {
  type ConfigSources,
  configSources,
  kinds,
  readSettings,
  setting,
} from "../../shared/config.ts";
import { postgresConfig, postgresSettings } from "../../shared/postgres/config.ts";
import { processSettings } from "../../shared/process.ts";

const address = (env: string, port: number, whose: string) =>
  setting(env, kinds.address().default(`127.0.0.1:${port}`), `Where ${whose} listens`);

export const healthSettings = {
  ...processSettings,
  ...postgresSettings,
  port: setting("MAHAVISHNU_HEALTH_PORT", kinds.port().default(50056), "Port of this service"),
  memoryAddress: address("MAHAVISHNU_MEMORY_ADDRESS", 50051, "the memory service"),
  ingestionAddress: address("MAHAVISHNU_INGESTION_ADDRESS", 50052, "the ingestion service"),
  vectorStoreAddress: address("MAHAVISHNU_VECTOR_STORE_ADDRESS", 50053, "the vector store"),
  embeddingAddress: address("MAHAVISHNU_EMBEDDING_ADDRESS", 50054, "the embedding service"),
  sessionBuddyAddress: address("MAHAVISHNU_SESSION_BUDDY_ADDRESS", 50055, "the bridge"),
  ollamaUrl: setting(
    "OLLAMA_BASE_URL",
    kinds.url(/^https?$/).default("http://127.0.0.1:11434"),
    "Where Ollama listens",
    "ollama_base_url",
  ),
  embeddingProvider: setting(
    "MAHAVISHNU_EMBEDDING_PROVIDER",
    kinds.oneOf(["auto", "ollama", "openai", "builtin"]).default("auto"),
    "Who makes the default vectors: `ollama`, `openai`, `builtin`, or `auto` for the first that answers: the OpenAI-compatible endpoint where one is set, Ollama, the built-in model",
    "embedding.provider",
  ),
  probeTimeoutMs: setting(
    "MAHAVISHNU_HEALTH_PROBE_TIMEOUT_MS",
    kinds.integer(10, 60_000).default(1_000),
    "How long the probe of one component may take, in milliseconds",
  ),
  pollIntervalMs: setting(
    "MAHAVISHNU_HEALTH_POLL_INTERVAL_MS",
    kinds.integer(10, 3_600_000).default(2_000),
    "Time between probes while somebody watches, in milliseconds",
  ),
  monitoring: setting(
    "MAHAVISHNU_ENABLE_PERFORMANCE_MONITORING",
    kinds.flag().default(true),
    "Off: memory makes no metrics and no spans beside those of its RPCs, the vector store no metrics, health keeps no samples",
    "memory_service.enable_performance_monitoring",
  ),
  sampleIntervalMs: setting(
    "MAHAVISHNU_HEALTH_SAMPLE_INTERVAL_MS",
    kinds.integer(1_000, 86_400_000).default(30_000),
    "Time between samples that are kept, in milliseconds",
  ),
  retentionDays: setting(
    "MAHAVISHNU_HEALTH_RETENTION_DAYS",
    kinds.integer(1, 3_650).default(7),
    "How long samples are kept, in days",
  ),
};

export type HealthConfig = ReturnType<typeof readConfig>;

/** Throws one ConfigError that names every wrong or missing value. */
export function readConfig(sources: ConfigSources = configSources()) {
  const values = readSettings(healthSettings, sources);
  // Nothing here waits longer than a probe, and neither should the end of the process.
  const acquireTimeoutMs = 2 * values.probeTimeoutMs;
  return { ...values, postgres: { ...postgresConfig(values, "health"), acquireTimeoutMs } };
}
