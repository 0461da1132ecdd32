import {
  type ConfigSources,
  configSources,
  kinds,
  readSettings,
  setting,
} from "../../shared/config.ts";
import { postgresConfig, postgresSettings } from "../../shared/postgres/config.ts";
import { processSettings } from "../../shared/process.ts";
import type { FeatureSwitches } from "./feature-switches.ts";

const on = () => kinds.flag().default(true);

export const memorySettings = {
  ...processSettings,
  ...postgresSettings,
  port: setting(
    "MAHAVISHNU_MEMORY_PORT",
    kinds.port().default(50051),
    "Port of the memory service",
  ),
  embeddingAddress: setting(
    "MAHAVISHNU_EMBEDDING_ADDRESS",
    kinds.address().default("127.0.0.1:50054"),
    "Where the embedding service is",
  ),
  vectorStoreAddress: setting(
    "MAHAVISHNU_VECTOR_STORE_ADDRESS",
    kinds.address().default("127.0.0.1:50053"),
    "Where the vector store is",
  ),
  sessionBuddyAddress: setting(
    "MAHAVISHNU_SESSION_BUDDY_ADDRESS",
    kinds.address().default("127.0.0.1:50055"),
    "Where the bridge to Session-Buddy is",
  ),
  probeIntervalMs: setting(
    "MAHAVISHNU_MEMORY_PROBE_INTERVAL_MS",
    kinds.integer(10, 600_000).default(1_000),
    "Time between looks at whether database and vector store answer, in milliseconds",
  ),
  outboxIntervalMs: setting(
    "MAHAVISHNU_MEMORY_OUTBOX_INTERVAL_MS",
    kinds.integer(10, 600_000).default(1_000),
    "Time between looks at whether work waits in the outbox, in milliseconds",
  ),
  recoveryDelayMs: setting(
    "MAHAVISHNU_MEMORY_RECOVERY_DELAY_MS",
    kinds.integer(300, 600_000).default(30_000),
    "How long a store may take before the worker completes it in its place, in milliseconds",
  ),
  enabled: setting(
    "MAHAVISHNU_MEMORY_ENABLED",
    on(),
    "Off: the memory service refuses every call",
    "memory_service.enabled",
  ),
  ragSearch: setting(
    "MAHAVISHNU_ENABLE_RAG_SEARCH",
    on(),
    "Off: UnifiedSearch leaves memories of type RAG out, and QueryKnowledgeBase is refused",
    "memory_service.enable_rag_search",
  ),
  agentMemory: setting(
    "MAHAVISHNU_ENABLE_AGENT_MEMORY",
    on(),
    "Off: turns and memories of type AGENT are refused, and searches leave them out",
    "memory_service.enable_agent_memory",
  ),
  reflectionSearch: setting(
    "MAHAVISHNU_ENABLE_REFLECTION_SEARCH",
    on(),
    "Off: searches do not ask Session-Buddy",
    "memory_service.enable_reflection_search",
  ),
  crossSystemSharing: setting(
    "MAHAVISHNU_ENABLE_CROSS_SYSTEM_SHARING",
    on(),
    "Off: insights are kept, and not handed to Session-Buddy",
    "memory_service.enable_cross_system_sharing",
  ),
  performanceMonitoring: setting(
    "MAHAVISHNU_ENABLE_PERFORMANCE_MONITORING",
    on(),
    "Off: memory makes no metrics and no spans beside those of its RPCs, the vector store no metrics, health keeps no samples",
    "memory_service.enable_performance_monitoring",
  ),
};

export type MemoryConfig = ReturnType<typeof readMemoryConfig>;

/** Throws one ConfigError that names every wrong or missing value. */
export function readMemoryConfig(sources: ConfigSources = configSources()) {
  const values = readSettings(memorySettings, sources);
  const { enabled, ragSearch, agentMemory, reflectionSearch } = values;
  const { crossSystemSharing, performanceMonitoring } = values;
  const switches: FeatureSwitches = {
    enabled,
    ragSearch,
    agentMemory,
    reflectionSearch,
    crossSystemSharing,
    performanceMonitoring,
  };
  return {
    ...values,
    switches,
    // A thousand callers at once are served one after the other; each waits as long as its own
    // deadline lets it.
    postgres: { ...postgresConfig(values, "memory"), acquireTimeoutMs: 60_000, maxWaiting: 4_000 },
  };
}
