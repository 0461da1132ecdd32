import { isLoopback } from "../../shared/allowed-path.ts";
import {
  type ConfigSources,
  configSources,
  kinds,
  readSettings,
  setting,
} from "../../shared/config.ts";
import { postgresConfig, postgresSettings } from "../../shared/postgres/config.ts";
import { processSettings } from "../../shared/process.ts";

/** What this process can be told. */
export const ingestionSettings = {
  ...processSettings,
  ...postgresSettings,
  port: setting(
    "MAHAVISHNU_INGESTION_PORT",
    kinds.port().default(50052),
    "Port of the ingestion service",
  ),
  embeddingAddress: setting(
    "MAHAVISHNU_EMBEDDING_ADDRESS",
    kinds.address().default("127.0.0.1:50054"),
    "Where the embedding service listens",
  ),
  vectorStoreAddress: setting(
    "MAHAVISHNU_VECTOR_STORE_ADDRESS",
    kinds.address().default("127.0.0.1:50053"),
    "Where the vector store listens",
  ),
  sessionBuddyAddress: setting(
    "MAHAVISHNU_SESSION_BUDDY_ADDRESS",
    kinds.address().default("127.0.0.1:50055"),
    "Where the bridge to Session-Buddy listens",
  ),
  roots: setting(
    "MAHAVISHNU_INGESTION_ROOTS",
    kinds.paths().optional(),
    "Folders that may be ingested, separated by commas (default: any that the process can read " +
      "while it listens on loopback, none otherwise)",
    "ingestion.roots",
  ),
  ragSearch: setting(
    "MAHAVISHNU_ENABLE_RAG_SEARCH",
    kinds.flag().default(true),
    "Off: UnifiedSearch leaves memories of type RAG out, and QueryKnowledgeBase is refused",
    "memory_service.enable_rag_search",
  ),
  chunkSize: setting(
    "MAHAVISHNU_INGESTION_CHUNK_SIZE",
    kinds.integer(16, 8_192).default(1_024),
    "Tokens of a chunk, where a request names none",
    "ingestion.chunk_size",
  ),
  chunkOverlap: setting(
    "MAHAVISHNU_INGESTION_CHUNK_OVERLAP",
    kinds.integer(0, 4_096).default(20),
    "Tokens that a chunk shares with the one before, at most half of its size",
    "ingestion.chunk_overlap",
  ),
  maxFileBytes: setting(
    "MAHAVISHNU_INGESTION_MAX_FILE_BYTES",
    kinds.integer(1, 256 * 1024 * 1024).default(2 * 1024 * 1024),
    "Larger files are passed over",
    "ingestion.max_file_bytes",
  ),
  embedBatch: setting(
    "MAHAVISHNU_INGESTION_EMBED_BATCH",
    kinds.integer(1, 1_000).default(64),
    "Chunks of one call to the embedding service",
    "ingestion.embed_batch",
  ),
  parallelBatches: setting(
    "MAHAVISHNU_INGESTION_PARALLEL_BATCHES",
    kinds.integer(1, 64).default(4),
    "Batches of one ingestion that are embedded at the same time; as many again may be stored",
    "ingestion.parallel_batches",
  ),
  parallelIngestions: setting(
    "MAHAVISHNU_INGESTION_PARALLEL_INGESTIONS",
    kinds.integer(0, 64).default(2),
    "Ingestions that a process works on at the same time; more wait, and 0 leaves all to others",
    "ingestion.parallel_ingestions",
  ),
  leaseMs: setting(
    "MAHAVISHNU_INGESTION_LEASE_MS",
    kinds.integer(2_000, 600_000).default(30_000),
    "How long after the last sign of life of a process others take its ingestions over, in " +
      "milliseconds",
    "ingestion.lease_ms",
  ),
  patienceMs: setting(
    "MAHAVISHNU_INGESTION_PATIENCE_MS",
    kinds.integer(0, 3_600_000).default(60_000),
    "How long a peer or the database may fail before an ingestion does, in milliseconds",
    "ingestion.patience_ms",
  ),
};

export type IngestionConfig = ReturnType<typeof readIngestionConfig>;

/** Throws ConfigError, which names every mistake. */
export function readIngestionConfig(sources: ConfigSources = configSources()) {
  const values = readSettings(ingestionSettings, sources);
  return {
    ...values,
    roots: values.roots ?? (isLoopback(values.host) ? undefined : []),
    postgres: postgresConfig(values, "ingestion"),
  };
}
