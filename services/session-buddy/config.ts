import { join } from "node:path";
import { z } from "zod";
import { isLoopback } from "../../shared/allowed-path.ts";
import {
  type ConfigSources,
  configSources,
  kinds,
  readSettings,
  setting,
  type Values,
} from "../../shared/config.ts";
import { processSettings } from "../../shared/process.ts";
import { WallTime } from "./wall-time.ts";

/** What this process can be told. */
export const sessionBuddySettings = {
  ...processSettings,
  port: setting(
    "MAHAVISHNU_SESSION_BUDDY_PORT",
    kinds.port().default(50055),
    "Port of the Session-Buddy bridge",
  ),
  dataDir: setting(
    "MAHAVISHNU_DATA_DIR",
    kinds.text().default("./data"),
    "Folder that holds all local state",
  ),
  file: setting(
    "MAHAVISHNU_SESSION_BUDDY_FILE",
    kinds.text().optional(),
    "Session-Buddy's DuckDB file; `session-buddy/reflection.duckdb` under the data folder when not set",
    "session_buddy.file",
  ),
  timeZone: setting(
    "MAHAVISHNU_SESSION_BUDDY_TIME_ZONE",
    z.string().refine(isTimeZone, "must be an IANA time zone such as Europe/Berlin").optional(),
    "Time zone of the machine where Session-Buddy runs; this machine's when not set",
    "session_buddy.time_zone",
  ),
  graphFiles: setting(
    "MAHAVISHNU_SESSION_BUDDY_GRAPH_FILES",
    kinds.paths().optional(),
    "Session-Buddy's knowledge graph files, separated by commas (default: " +
      "`knowledge_graph*.duckdb` beside its DuckDB file)",
    "session_buddy.graph_files",
  ),
  roots: setting(
    "MAHAVISHNU_SESSION_BUDDY_ROOTS",
    kinds.paths().optional(),
    "Folders whose DuckDB files ExportRecords may read beside the configured one, separated by " +
      "commas (default: any that the process can read while it listens on loopback, none otherwise)",
    "session_buddy.roots",
  ),
  embeddingAddress: setting(
    "MAHAVISHNU_EMBEDDING_ADDRESS",
    kinds.address().default("127.0.0.1:50054"),
    "Where the embedding service listens",
  ),
};

export type SessionBuddyConfig = Omit<Values<typeof sessionBuddySettings>, "file" | "timeZone"> & {
  /** Session-Buddy's DuckDB file. */
  readonly file: string;
  /** IANA name of the zone that Session-Buddy's times are in. */
  readonly timeZone: string;
};

/** Throws ConfigError, which names every mistake. */
export function readSessionBuddyConfig(
  sources: ConfigSources = configSources(),
): SessionBuddyConfig {
  const values = readSettings(sessionBuddySettings, sources);
  return {
    ...values,
    file: values.file ?? join(values.dataDir, "session-buddy", "reflection.duckdb"),
    roots: values.roots ?? (isLoopback(values.host) ? undefined : []),
    timeZone: values.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
  };
}

function isTimeZone(name: string): boolean {
  try {
    new WallTime(name);
    return true;
  } catch {
    return false;
  }
}
