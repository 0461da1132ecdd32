import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, it } from "vitest";
import { IngestionStatus } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import type { MigrateSessionBuddyResponse } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { silentLogger } from "../../shared/logging.ts";
import { HealthRegistry } from "../../shared/rpc/health.ts";
import { service, startRpcServer } from "../../shared/rpc/server.ts";
import { FakeBridge, reflections } from "../conformance/migration-peers.ts";
import type { IngestionProcess } from "../harness/ingestion-process.ts";
import { IngestionScene } from "../harness/ingestion-scene.ts";
import { describeEachStore } from "../harness/postgres.ts";

const count = 60;
const limit = 120_000;

describeEachStore("a process that stands still past its lease, and goes on", (_, database) => {
  let resources: Resources;
  let scene: IngestionScene;
  let bridge: FakeBridge;

  beforeEach(async () => {
    await database()
      .open()
      .query("truncate rag_ingestions, rag_files, session_buddy_migrations, memories cascade");
    resources = new Resources();
    bridge = new FakeBridge();
    const server = await startRpcServer({
      host: "127.0.0.1",
      port: 0,
      health: new HealthRegistry(),
      logger: silentLogger(),
      services: [service(SessionBuddyService, bridge.methods)],
    });
    resources.use("bridge", server);
    scene = resources.use(
      "scene",
      await IngestionScene.open(database().url, {
        MAHAVISHNU_SESSION_BUDDY_ADDRESS: server.address,
        MAHAVISHNU_INGESTION_LEASE_MS: "3000",
      }),
    );
  }, limit);
  afterEach(() => resources[Symbol.asyncDispose]());

  /** What is stored; a row that is written again has another `xmin`. */
  async function stored(): Promise<readonly { readonly id: string; readonly xmin: string }[]> {
    const { rows } = await database()
      .open()
      .query<{ id: string; xmin: string }>(
        'select id, xmin::text as xmin from memories order by id collate "C"',
      );
    return rows;
  }

  /** Resolves when what was on its way is written: a write that has begun is not taken back. */
  async function atRest(): Promise<void> {
    let before = -1;
    for (let tries = 0; tries < 100; tries++) {
      const { length } = await stored();
      if (length === before) return;
      before = length;
      await sleep(300);
    }
    throw new Error("writing does not come to rest");
  }

  async function statusOf({ client }: IngestionProcess, ingestionId: string) {
    return (await client.getIngestion({ ingestionId })).ingestion?.status;
  }

  async function migrate({ client }: IngestionProcess): Promise<MigrateSessionBuddyResponse> {
    let last: MigrateSessionBuddyResponse | undefined;
    for await (const one of client.migrateSessionBuddy({ path: "/sb/file.duckdb" })) last = one;
    if (last?.done !== true) throw new Error("the migration did not end");
    return last;
  }

  /** As a caller who is told to come again while the one that stands still has its lease. */
  async function migratePatiently(process: IngestionProcess): Promise<MigrateSessionBuddyResponse> {
    for (let tries = 0; ; tries++) {
      try {
        return await migrate(process);
      } catch (error) {
        if (ConnectError.from(error).code !== Code.Aborted || tries === 150) throw error;
        await sleep(200);
      }
    }
  }

  it(
    "writes nothing more of an ingestion that another one has ended",
    async () => {
      for (let n = 0; n < count; n++) await scene.plant({ [`d${n % 7}/${n}.md`]: `# File ${n}\n` });
      const first = scene.process;
      const { reached, release } = scene.holdAfter(5);
      let id = "";
      const request = { path: scene.folder, repoId: "repo", detached: true };
      for await (const { progress } of first.client.ingestRepository(request)) {
        id = progress?.ingestionId ?? "";
        break;
      }
      await reached;
      await atRest();
      first.signal("SIGSTOP");
      const second = await scene.startBeside();
      release();
      let last: unknown;
      for await (const { progress } of second.client.watchIngestion({ ingestionId: id })) {
        last = progress;
      }
      expect(last).toMatchObject({
        status: IngestionStatus.COMPLETED,
        chunksStored: BigInt(count),
        filesFailed: 0n,
      });
      const before = await stored();
      expect(before).toHaveLength(count);
      first.signal("SIGCONT");
      // While it takes itself for the holder it tells its own figures.
      for (let tries = 0; tries < 600; tries++) {
        if ((await statusOf(first, id)) === IngestionStatus.COMPLETED) break;
        await sleep(50);
      }
      expect(await statusOf(first, id)).toBe(IngestionStatus.COMPLETED);
      expect(await stored()).toEqual(before);
      const { rows } = await database()
        .open()
        .query("select status, chunks_stored::int from rag_ingestions");
      expect(rows).toEqual([{ status: "completed", chunks_stored: count }]);
      // It is as good as new.
      await second.end("SIGTERM");
      for await (const { progress } of first.client.ingestRepository({ ...request })) {
        last = progress;
      }
      expect(last).toMatchObject({ status: IngestionStatus.COMPLETED, chunksStored: 0n });
      expect(await stored()).toEqual(before);
    },
    limit,
  );

  it(
    "writes nothing more of a migration that another one has ended, and says so",
    async () => {
      bridge.records = reflections(count);
      const first = scene.process;
      const { reached, release } = scene.holdAfter(3);
      const stopped = migrate(first).catch((error: unknown) => ConnectError.from(error));
      await reached;
      await atRest();
      first.signal("SIGSTOP");
      const second = await scene.startBeside();
      release();
      const verification = { expected: BigInt(count), found: BigInt(count), verified: true };
      const ended = await migratePatiently(second);
      expect(ended).toMatchObject({
        resumed: true,
        counts: [{ read: BigInt(count), migrated: BigInt(count), deduplicated: 0n, failed: 0n }],
        verification,
      });
      const before = await stored();
      expect(before).toHaveLength(count);
      first.signal("SIGCONT");
      expect(await stopped).toMatchObject({ code: Code.Aborted });
      expect(await stored()).toEqual(before);
      const { rows } = await database()
        .open()
        .query("select id, status from session_buddy_migrations");
      expect(rows).toEqual([{ id: ended.migrationId, status: "completed" }]);
      // It is as good as new.
      expect(await migrate(first)).toMatchObject({
        resumed: false,
        counts: [{ migrated: 0n, deduplicated: BigInt(count) }],
      });
      expect(await stored()).toEqual(before);
    },
    limit,
  );
});
