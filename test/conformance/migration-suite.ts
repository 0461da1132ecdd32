import { type Client, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect } from "vitest";
import type {
  IngestionService,
  MigrateSessionBuddyResponse,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { newId } from "../../shared/ids.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore, type TestDatabase } from "../harness/postgres.ts";
import { FakePeers } from "./ingestion-peers.ts";
import { startIngestion, type TestIngestion } from "./ingestion-service.ts";

/** The file that is migrated where a test names no other. */
export const file = "/sb/reflection.duckdb";

/** Declares a suite of MigrateSessionBuddy for each store; the scene is a new one in each test. */
export function describeMigration(body: (scene: MigrationScene) => void): void {
  describeEachStore("MigrateSessionBuddy", (_, database) => {
    const scene = new MigrationScene(database);
    beforeEach(() => scene.open());
    afterEach(() => scene.service[Symbol.asyncDispose]());
    body(scene);
  });
}

/** The ingestion process with peers that tests control, for a tenant that no other test has. */
export class MigrationScene {
  peers!: FakePeers;
  service!: TestIngestion;
  tenant!: string;
  readonly database: () => TestDatabase;
  #pool: Postgres | undefined;

  constructor(database: () => TestDatabase) {
    this.database = database;
  }

  async open(): Promise<void> {
    this.tenant = newId();
    this.peers = new FakePeers();
    this.service = await this.start();
  }

  pool(): Postgres {
    this.#pool ??= this.database().open();
    return this.#pool;
  }

  start(env: Readonly<Record<string, string>> = {}): Promise<TestIngestion> {
    const small = {
      MAHAVISHNU_INGESTION_EMBED_BATCH: "4",
      MAHAVISHNU_INGESTION_PARALLEL_BATCHES: "2",
      ...env,
    };
    return startIngestion(this.database().url, this.peers, small, this.tenant);
  }

  async restart(env: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.service[Symbol.asyncDispose]();
    this.service = await this.start(env);
  }

  async migrate(
    request: { path?: string; dryRun?: boolean; sourceTimeZone?: string } = {},
    client: Client<typeof IngestionService> = this.service.client,
  ): Promise<MigrateSessionBuddyResponse> {
    let last: MigrateSessionBuddyResponse | undefined;
    for await (const one of client.migrateSessionBuddy({ path: file, ...request })) {
      expect(last?.done ?? false).toBe(false);
      last = one;
    }
    if (last?.done !== true) throw new Error("the migration did not end");
    return last;
  }

  /** Starts a migration whose embedder waits; `release` lets it go on. */
  async migrateHeld(client = this.service.client, signal?: AbortSignal) {
    const held = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    this.peers.onEmbed = () => {
      reached.resolve();
      return held.promise;
    };
    const running = (async () => {
      for await (const _ of client.migrateSessionBuddy(
        { path: file },
        signal === undefined ? {} : { signal },
      )) {
        // Only how it ends counts.
      }
    })();
    running.catch(() => {});
    await reached.promise;
    return {
      running,
      release: () => {
        this.peers.onEmbed = () => {};
        held.resolve();
      },
    };
  }

  /** How many migrations are recorded, of any status unless one is named. */
  async recorded(status = ""): Promise<number> {
    const { rows } = await this.pool().query<{ count: number }>(
      `select count(*)::int as count from session_buddy_migrations
       where tenant = $1 and ($2 = '' or status = $2)`,
      [this.tenant, status],
    );
    return rows[0]?.count ?? 0;
  }
}

export async function failureOf(running: Promise<unknown>): Promise<ConnectError> {
  const error = await running.then(
    () => undefined,
    (one: unknown) => one,
  );
  if (!(error instanceof ConnectError)) throw new Error("did not fail", { cause: error });
  return error;
}

/** The counts of a kind in an era: read, migrated, deduplicated, failed. */
export function count(
  kind: string,
  era: string,
  figures: readonly [number, number, number, number],
) {
  const [read, migrated, deduplicated, failed] = figures.map(BigInt);
  return { kind, era, read, migrated, deduplicated, failed };
}
