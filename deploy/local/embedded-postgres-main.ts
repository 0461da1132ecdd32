import { join } from "node:path";
import { configSources, kinds, readSettings, setting } from "../../shared/config.ts";
import { Resources } from "../../shared/lifecycle.ts";
import { exitCodes, processSettings, runProcess } from "../../shared/process.ts";
import { lockDataDir } from "./data-dir-lock.ts";
import { startEmbeddedPostgres } from "./embedded-postgres.ts";

const settings = {
  logLevel: processSettings.logLevel,
  dataDir: setting(
    "MAHAVISHNU_DATA_DIR",
    kinds.text().default("./data"),
    "Where all local state lives",
  ),
  port: setting(
    "MAHAVISHNU_EMBEDDED_PG_PORT",
    kinds.port().default(54_329),
    "Port of the embedded PostgreSQL; 0 for any free one",
  ),
};

await runProcess(
  "embedded-postgres",
  () => readSettings(settings, configSources()),
  async ({ dataDir, port }, { logger }) => {
    await using resources = new Resources((part, err) => logger.warn({ err, part }, "not closed"));
    resources.use("lock", lockDataDir(dataDir, "embedded-postgres"));
    const server = await startEmbeddedPostgres({
      dataDir: join(dataDir, "postgres"),
      port,
      // Its supervisor starts the process anew, and what was acknowledged is on disk.
      onFailure: (err) => {
        logger.fatal({ err }, "the database failed");
        process.exit(exitCodes.failure);
      },
    });
    resources.use("server", server);
    const owned = resources.move();
    return {
      address: `127.0.0.1:${server.port}`,
      [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
    };
  },
);
