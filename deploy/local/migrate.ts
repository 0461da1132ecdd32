import { resolve } from "node:path";
import { configSources, readSettings } from "../../shared/config.ts";
import { createLogger } from "../../shared/logging.ts";
import { postgresSettings, postgresUrl } from "../../shared/postgres/config.ts";
import { migrate } from "../../shared/postgres/migrate.ts";

// Brings a configured PostgreSQL to the schema of this version: `npm run migrate`. `npm start`
// does the same by itself.
const url = postgresUrl(readSettings(postgresSettings, configSources()));
const directory = resolve(import.meta.dirname, "../../migrations");
const { applied, revision } = await migrate({ url, directory, logger: createLogger("migrate") });
console.log(`applied ${applied.length} migrations; the schema is at revision ${revision}`);
