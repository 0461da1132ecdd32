import { z } from "zod";
import {
  type ConfigSources,
  configSources,
  kinds,
  readSettings,
  setting,
} from "../../shared/config.ts";
import { postgresConfig, postgresSettings } from "../../shared/postgres/config.ts";
import { processSettings } from "../../shared/process.ts";

/** A call that waits this long for a connection is refused, whatever its own deadline. */
const acquireTimeoutMs = 30_000;

/**
 * Statements of large scopes look dear enough to be compiled first, which takes longer than it saves
 * where nearly all of the time goes into comparing vectors.
 */
const sessionSettings = ["jit=off"];

export const vectorStoreSettings = {
  ...processSettings,
  ...postgresSettings,
  port: setting(
    "MAHAVISHNU_VECTOR_STORE_PORT",
    kinds.port().default(50053),
    "Port of the vector store",
  ),
  bulkInFlight: setting(
    "MAHAVISHNU_VECTOR_STORE_BULK_IN_FLIGHT",
    kinds.integer(1, 64).default(4),
    "Requests of one BulkUpsert stream that are written at the same time",
  ),
  batchInFlight: setting(
    "MAHAVISHNU_VECTOR_STORE_BATCH_IN_FLIGHT",
    kinds.integer(1, 64).default(4),
    "Searches of one BatchSearch that run at the same time",
  ),
  maxCollections: setting(
    "MAHAVISHNU_VECTOR_STORE_MAX_COLLECTIONS",
    kinds.integer(1, 10_000).default(100),
    "Most collections; each is a table with its indexes",
  ),
  exactScope: setting(
    "MAHAVISHNU_VECTOR_STORE_EXACT_SCOPE",
    kinds.integer(0, 10_000_000).default(50_000),
    "Up to so many documents that a search may find it compares every vector, and asks no index",
  ),
  knownScopesMb: setting(
    "MAHAVISHNU_VECTOR_STORE_KNOWN_SCOPES_MB",
    kinds.integer(0, 65_536).default(512),
    "Memory for vectors and words of the scopes that are searched often, in MiB: about 4.8 kB for a document of 60 words and 768 components; 0: none",
  ),
  autoIndex: setting(
    "MAHAVISHNU_VECTOR_STORE_AUTO_INDEX",
    kinds.flag().default(false),
    "On: a collection that is searched and has grown past the exact scope gets an HNSW index by itself; not on the embedded PostgreSQL, which would stand still meanwhile",
  ),
  buildMemoryMb: setting(
    "MAHAVISHNU_VECTOR_STORE_BUILD_MEMORY_MB",
    kinds.integer(16, 1_048_576).default(1_024),
    "Most memory that PostgreSQL takes to build one vector index, in MiB",
  ),
  probeIntervalMs: setting(
    "MAHAVISHNU_VECTOR_STORE_PROBE_INTERVAL_MS",
    kinds.integer(10, 600_000).default(2_000),
    "Time between looks at whether the database answers, in milliseconds",
  ),
  sweepIntervalMs: setting(
    "MAHAVISHNU_VECTOR_STORE_SWEEP_INTERVAL_MS",
    kinds.integer(10, 86_400_000).default(60_000),
    "Time between removals of expired documents, in milliseconds; they are never returned anyway",
  ),
  maxWaiting: setting(
    "MAHAVISHNU_VECTOR_STORE_MAX_WAITING",
    kinds.integer(1, 100_000).default(4_000),
    "Calls that may wait for a connection to the database; more are RESOURCE_EXHAUSTED",
  ),
  textLanguage: setting(
    "MAHAVISHNU_TEXT_LANGUAGE",
    z
      .string()
      .regex(/^[a-z_][a-z0-9_]{0,62}$/, "must be a text search configuration's name")
      .default("english"),
    "PostgreSQL's text search configuration for memories; another one indexes all texts anew at start",
    "postgresql.text_language",
  ),
  performanceMonitoring: setting(
    "MAHAVISHNU_ENABLE_PERFORMANCE_MONITORING",
    kinds.flag().default(true),
    "Off: memory makes no metrics and no spans beside those of its RPCs, the vector store no metrics, health keeps no samples",
    "memory_service.enable_performance_monitoring",
  ),
};

export type VectorStoreConfig = ReturnType<typeof readConfig>;

/** Throws one ConfigError that names every wrong or missing value. */
export function readConfig(sources: ConfigSources = configSources()) {
  const values = readSettings(vectorStoreSettings, sources);
  const { maxWaiting } = values;
  const postgres = {
    ...postgresConfig(values, "vector-store"),
    sessionSettings,
    maxWaiting,
    acquireTimeoutMs,
  };
  return { ...values, postgres };
}
