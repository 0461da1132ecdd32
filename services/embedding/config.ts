import { z } from "zod";
import {
  ConfigError,
  type ConfigSources,
  configSources,
  kinds,
  readSettings,
  setting,
  type Values,
} from "../../shared/config.ts";
import { processSettings } from "../../shared/process.ts";

/** An object: in the YAML file as it is, in the environment as JSON. */
function object<T>(schema: z.ZodType<T>) {
  return z.preprocess((raw, context) => {
    if (typeof raw !== "string") return raw;
    try {
      return JSON.parse(raw);
    } catch {
      context.addIssue({ code: "custom", message: "must be a JSON object" });
      return z.NEVER;
    }
  }, schema);
}

const modelKnowledge = z
  .strictObject({
    query_prefix: z.string(),
    document_prefix: z.string(),
    context_tokens: z.number().int().min(16),
    least_dimension: z.number().int().min(1),
  })
  .partial()
  .transform((given) => ({
    prefixes: {
      ...(given.query_prefix === undefined ? {} : { query: given.query_prefix }),
      ...(given.document_prefix === undefined ? {} : { document: given.document_prefix }),
    },
    ...(given.context_tokens === undefined ? {} : { contextTokens: given.context_tokens }),
    ...(given.least_dimension === undefined
      ? {}
      : { matryoshka: { least: given.least_dimension } }),
  }));

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
    kinds.oneOf(["auto", "ollama", "openai", "builtin"]).default("auto"),
    "Who makes the default vectors: `ollama`, `openai`, `builtin`, or `auto` for the first that answers: the OpenAI-compatible endpoint where one is set, Ollama, the built-in model",
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
  ollamaHeaders: setting(
    "OLLAMA_HEADERS",
    object(z.record(z.string().min(1), z.string()).optional()),
    "HTTP headers sent to Ollama, as a JSON object; credentials in its URL are sent as one, too",
    "ollama_headers",
  ),
  ollamaKeepAlive: setting(
    "OLLAMA_KEEP_ALIVE",
    z
      .string()
      .regex(/^(-?\d+|-?(\d+(\.\d+)?(ms|s|m|h))+)$/, "must be a duration such as 30m, or seconds")
      .default("30m"),
    "How long Ollama keeps the model loaded after a request: `30m`, seconds, or `-1` for ever",
    "embedding.keep_alive",
  ),
  pull: setting(
    "MAHAVISHNU_EMBEDDING_PULL",
    kinds.flag().default(false),
    "Have Ollama fetch the model when it is missing",
    "embedding.pull",
  ),
  openAiUrl: setting(
    "MAHAVISHNU_EMBEDDING_OPENAI_URL",
    kinds.url(/^https?$/).optional(),
    "An OpenAI-compatible endpoint: its base URL, which `/embeddings` follows; where it has no path, `/v1/embeddings`",
    "embedding.openai.url",
  ),
  openAiKey: setting(
    "MAHAVISHNU_EMBEDDING_OPENAI_KEY",
    kinds.text().optional(),
    "The key for that endpoint, where it needs one",
  ),
  openAiModel: setting(
    "MAHAVISHNU_EMBEDDING_OPENAI_MODEL",
    kinds.text().optional(),
    "The model asked of that endpoint",
    "embedding.openai.model",
  ),
  dimensions: setting(
    "MAHAVISHNU_EMBEDDING_DIMENSIONS",
    kinds.integer(0, 65_536).default(0),
    "Components of the default model's vectors; fewer than it has only where it was trained for that (Matryoshka); 0 for all",
    "embedding.dimensions",
  ),
  models: setting(
    "MAHAVISHNU_EMBEDDING_MODELS",
    object(z.record(z.string().min(1), modelKnowledge).optional()),
    "What is known of models, over the built-in table: by name `query_prefix`, `document_prefix`, `context_tokens`, `least_dimension` (Matryoshka); as a JSON object",
    "embedding.models",
  ),
  batchSize: setting(
    "MAHAVISHNU_EMBEDDING_BATCH_SIZE",
    kinds.integer(1, 2_048).default(64),
    "Texts sent in one request",
    "embedding.batch_size",
  ),
  batchCharacters: setting(
    "MAHAVISHNU_EMBEDDING_BATCH_CHARACTERS",
    kinds.integer(1_000, 4_000_000).default(65_536),
    "Characters sent in one request; a longer text is sent alone",
    "embedding.batch_characters",
  ),
  concurrency: setting(
    "MAHAVISHNU_EMBEDDING_CONCURRENCY",
    kinds.integer(1, 64).default(4),
    "Requests at once; best as many as the provider works on at once",
    "embedding.concurrency",
  ),
  orderCheck: setting(
    "MAHAVISHNU_EMBEDDING_ORDER_CHECK",
    kinds.integer(0, 1_000).default(2),
    "One batch in so many carries a text of known vector, which tells whether the provider keeps the order: 1 all, 0 none; the first ones, and those after a failure, are all checked",
    "embedding.order_check",
  ),
  requestTimeoutMs: setting(
    "MAHAVISHNU_EMBEDDING_TIMEOUT_MS",
    kinds.integer(100, 600_000).default(60_000),
    "How long one request may take, in milliseconds; the first one loads the model",
    "embedding.timeout_ms",
  ),
  queueTexts: setting(
    "MAHAVISHNU_EMBEDDING_QUEUE",
    kinds.integer(1, 1_000_000).default(20_000),
    "Texts of unary calls that may be inside at once; more are RESOURCE_EXHAUSTED",
    "embedding.queue",
  ),
  cacheMegabytes: setting(
    "MAHAVISHNU_EMBEDDING_CACHE_MB",
    kinds.integer(0, 65_536).default(64),
    "Memory for vectors that were made before, in MiB; 0 keeps none",
    "embedding.cache_mb",
  ),
};

export type EmbeddingConfig = Values<typeof embeddingSettings>;

/** Throws ConfigError, which names every mistake. */
export function readEmbeddingConfig(sources: ConfigSources = configSources()): EmbeddingConfig {
  const config = readSettings(embeddingSettings, sources);
  const { provider, openAiUrl, openAiModel } = config;
  const problems: string[] = [];
  if (provider === "openai" && openAiUrl === undefined) {
    problems.push("MAHAVISHNU_EMBEDDING_OPENAI_URL: is missing, and the provider is openai");
  }
  if ((provider === "openai" || openAiUrl !== undefined) && openAiModel === undefined) {
    problems.push("MAHAVISHNU_EMBEDDING_OPENAI_MODEL: is missing, and the endpoint is set");
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}
