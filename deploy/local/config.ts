import { readEmbeddingConfig } from "../../services/embedding/config.ts";
import { readConfig as readHealthConfig } from "../../services/health/config.ts";
import { readIngestionConfig } from "../../services/ingestion/config.ts";
import { readMemoryConfig } from "../../services/memory/config.ts";
import { readSessionBuddyConfig } from "../../services/session-buddy/config.ts";
import { readConfig as readVectorStoreConfig } from "../../services/vector-store/config.ts";
import {
  ConfigError,
  type ConfigSources,
  configSources,
  kinds,
  readSettings,
  setting,
} from "../../shared/config.ts";
import { configuredPostgresUrl, postgresSettings } from "../../shared/postgres/config.ts";
import { processSettings } from "../../shared/process.ts";
import { configuredPorts } from "./free-ports.ts";
import { type Ports, serviceEntries } from "./services.ts";

const port = (variable: string, defaultPort: number, about: string) =>
  setting(variable, kinds.integer(1, 65_535).default(defaultPort), about);

export const localSettings = {
  dataDir: setting(
    "MAHAVISHNU_DATA_DIR",
    kinds.text().default("./data"),
    "Where all local state and logs live",
  ),
  host: processSettings.host,
  authToken: processSettings.authToken,
  shutdownGraceMs: processSettings.shutdownGraceMs,
  ...postgresSettings,
  ...Object.fromEntries(
    serviceEntries.map(({ name, key, defaultPort }) => [
      name,
      port(`MAHAVISHNU_${key}_PORT`, defaultPort, `Port of ${name}`),
    ]),
  ),
};

export interface LocalConfig {
  readonly dataDir: string;
  readonly host: string;
  readonly ports: Ports;
  /** Undefined: the embedded PostgreSQL. */
  readonly postgresUrl: string | undefined;
  readonly authToken: string | undefined;
  readonly shutdownGraceMs: number;
}

/** Reads what `npm start` needs. Throws one ConfigError that names what is wrong for any process. */
export function readLocalConfig(env: ConfigSources["env"]): LocalConfig {
  const sources = configSources(env);
  checkAll(sources);
  const { dataDir, host, authToken, shutdownGraceMs } = readSettings(localSettings, sources);
  const postgresUrl = configuredPostgresUrl(sources);
  return {
    dataDir,
    host,
    ports: configuredPorts(env),
    postgresUrl,
    authToken,
    shutdownGraceMs,
  };
}

/** The services read their own settings again; asked here too, a mistake is told before any starts. */
function checkAll(sources: ConfigSources): void {
  const problems = new Set<string>();
  const readers: ((sources: ConfigSources) => unknown)[] = [
    (from) => readSettings(localSettings, from),
    configuredPostgresUrl,
    readEmbeddingConfig,
    readHealthConfig,
    readIngestionConfig,
    readMemoryConfig,
    readSessionBuddyConfig,
    readVectorStoreConfig,
  ];
  for (const read of readers) {
    try {
      read(sources);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      for (const problem of error.problems) problems.add(problem);
    }
  }
  const ports = Object.entries(configuredPorts(sources.env));
  for (const [name, port] of ports) {
    const twin = ports.find(([other, taken]) => other > name && taken === port && port !== 0);
    if (twin !== undefined) problems.add(`port ${port} is given to both ${name} and ${twin[0]}`);
  }
  if (problems.size > 0) throw new ConfigError([...problems]);
}
