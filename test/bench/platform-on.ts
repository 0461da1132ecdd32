import { Resources } from "../../shared/lifecycle.ts";
import { startTestPlatform, type TestPlatform } from "../harness/platform.ts";
import { postgresMissing, testDatabase } from "../harness/postgres.ts";

export interface BenchPlatform extends AsyncDisposable {
  readonly platform: TestPlatform["platform"];
  readonly store: string;
  readonly embedded: boolean;
}

/**
 * The whole platform as processes, on a database of its own: on the PostgreSQL that
 * MAHAVISHNU_TEST_PG_URL names, else on the embedded one.
 */
export async function startBenchPlatform(env: NodeJS.ProcessEnv = {}): Promise<BenchPlatform> {
  await using resources = new Resources();
  let postgresUrl: string | undefined;
  if (postgresMissing() === undefined) {
    const database = await testDatabase("postgres");
    resources.defer("database", () => database.close());
    postgresUrl = database.url;
  }
  const started = await startTestPlatform({
    env: { MAHAVISHNU_LOG_LEVEL: "warn", ...env },
    ...(postgresUrl === undefined ? {} : { postgresUrl }),
  });
  resources.use("platform", started);
  const owned = resources.move();
  return {
    platform: started.platform,
    store: postgresUrl === undefined ? "embedded PostgreSQL" : "PostgreSQL",
    embedded: postgresUrl === undefined,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
