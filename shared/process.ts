import { ConfigError, kinds, setting } from "./config.ts";
import { stopSignal } from "./lifecycle.ts";
import { createLogger, type Logger, type LogLevel, logLevels } from "./logging.ts";
import { startTelemetry } from "./telemetry.ts";

/** Settings that every process has. */
export const processSettings = {
  host: setting("MAHAVISHNU_HOST", kinds.text().default("127.0.0.1"), "Address to listen on"),
  logLevel: setting(
    "MAHAVISHNU_LOG_LEVEL",
    kinds.oneOf(logLevels).default("info"),
    "Least severe level that is logged",
  ),
  authToken: setting(
    "MAHAVISHNU_AUTH_TOKEN",
    kinds.text().optional(),
    "When set, every call but health and reflection needs it as a Bearer token",
  ),
  otlpEndpoint: setting(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    kinds.url(/^https?$/).optional(),
    "Where traces and metrics are sent; nothing is sent when it is not set",
  ),
  shutdownGraceMs: setting(
    "MAHAVISHNU_SHUTDOWN_GRACE_MS",
    kinds.integer(0, 600_000).default(10_000),
    "How long calls in flight may take to end after SIGTERM, in milliseconds",
  ),
};

/** What every process's configuration holds. */
export interface ProcessConfig {
  readonly logLevel: LogLevel;
  readonly otlpEndpoint?: string | undefined;
}

/** A running process: where it listens, and how it is stopped. */
export interface App extends AsyncDisposable {
  /** `host:port` as bound. */
  readonly address: string;
}

/** Exit codes, as in sysexits.h: 78 tells a supervisor that starting again will not help. */
export const exitCodes = { ok: 0, failure: 1, configuration: 78 } as const;

/**
 * The life of a process: read the configuration, open the app, wait for a signal, close. Every
 * mistake in the configuration is printed, one a line; a failed start is one line in the log.
 */
export async function runProcess<C extends ProcessConfig>(
  name: string,
  readConfig: () => C,
  createApp: (config: C, overrides: { logger: Logger }) => Promise<App>,
): Promise<never> {
  const config = readOrExit(name, readConfig);
  const logger = createLogger(name, config.logLevel);
  process.on("unhandledRejection", (error) => logger.error({ err: error }, "unhandled rejection"));
  process.on("uncaughtException", (error) => {
    logger.fatal({ err: error }, "uncaught exception");
    process.exit(exitCodes.failure);
  });
  const stop = stopSignal();
  try {
    await using _telemetry = await startTelemetry({
      service: name,
      otlpEndpoint: config.otlpEndpoint,
      logger,
    });
    await using app = await createApp(config, { logger });
    logger.info({ address: app.address, pid: process.pid }, "listening");
    const signal = await stop;
    logger.info({ signal }, "stopping");
  } catch (error) {
    logger.fatal({ err: error }, error instanceof Error ? error.message : "failed to start");
    process.exit(exitCodes.failure);
  }
  logger.info("stopped");
  process.exit(exitCodes.ok);
}

function readOrExit<C>(name: string, readConfig: () => C): C {
  try {
    return readConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) process.stderr.write(`${name}: ${problem}\n`);
    process.exit(exitCodes.configuration);
  }
}
