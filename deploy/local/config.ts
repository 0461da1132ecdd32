import { configSources, kinds, readSettings, setting } from "../../shared/config.ts";
import { configuredPostgresUrl, postgresSettings } from "../../shared/postgres/config.ts";
import { processSettings } from "../../shared/process.ts";
import { configuredPorts, embeddedPostgres } from "./free-ports.ts";
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
  /** Those that this machine must have free. */
  readonly portsToBind: Ports;
  /** Undefined: the embedded PostgreSQL. */
  readonly postgresUrl: string | undefined;
  readonly authToken: string | undefined;
  readonly shutdownGraceMs: number;
}

/** Reads what `npm start` needs; the services read and check the rest themselves. */
export function readLocalConfig(env: NodeJS.ProcessEnv): LocalConfig {
  const sources = configSources(env);
  const { dataDir, host, authToken, shutdownGraceMs } = readSettings(localSettings, sources);
  const postgresUrl = configuredPostgresUrl(sources);
  const ports = configuredPorts(env);
  const { [embeddedPostgres]: _, ...servicePorts } = ports;
  return {
    dataDir,
    host,
    ports,
    portsToBind: postgresUrl === undefined ? ports : servicePorts,
    postgresUrl,
    authToken,
    shutdownGraceMs,
  };
}
