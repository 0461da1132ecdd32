import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { unavailable } from "./ingestion-peers.ts";
import { startIngestion } from "./ingestion-service.ts";
import { reflections } from "./migration-peers.ts";
import { count, describeMigration, failureOf, file } from "./migration-suite.ts";

describeMigration((scene) => {
  it("writes nothing more once its lease may be another's, and says so", async () => {
    await scene.restart({ MAHAVISHNU_INGESTION_LEASE_MS: "2000" });
    scene.peers.bridge.records = reflections(20);
    const { running, release } = await scene.migrateHeld();
    // As another process finds it that takes it over.
    await scene
      .pool()
      .query("update session_buddy_migrations set lease_token = 'another' where tenant = $1", [
        scene.tenant,
      ]);
    const error = await failureOf(running);
    expect(error.code).toBe(Code.Aborted);
    release();
    expect(scene.peers.documents.size).toBe(0);
    // It is the other's to end.
    expect(await scene.recorded("in_progress")).toBe(1);
    await scene
      .pool()
      .query(
        "update session_buddy_migrations set lease_until = clock_timestamp() where tenant = $1",
        [scene.tenant],
      );
    expect(await scene.migrate()).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [20, 20, 0, 0])],
    });
  });

  it("refuses a second migration of the file, in this process and in another", async () => {
    scene.peers.bridge.records = reflections(8);
    const { running, release } = await scene.migrateHeld();
    await using another = await startIngestion(scene.database().url, scene.peers, {}, scene.tenant);
    for (const client of [scene.service.client, another.client]) {
      const error = await failureOf(scene.migrate({}, client));
      expect(error.code).toBe(Code.Aborted);
      expect(error.findDetails(ErrorInfoSchema)).toMatchObject([
        { reason: "CONFLICT", metadata: { path: file, migration_id: expect.any(String) } },
      ]);
    }
    // Others are not in its way: a dry run, another file, another tenant.
    await scene.migrate({ dryRun: true });
    release();
    await running;
    expect(scene.peers.documents.size).toBe(8);
  });

  it("lets one of two go on that come at once", async () => {
    await scene.restart({ MAHAVISHNU_INGESTION_PATIENCE_MS: "100" });
    scene.peers.bridge.records = reflections(8);
    scene.peers.onEmbed = unavailable;
    await failureOf(scene.migrate());
    const held = Promise.withResolvers<void>();
    scene.peers.onEmbed = () => held.promise;
    const both = [scene.migrate(), scene.migrate()];
    const loser = Promise.any(both.map(failureOf));
    expect((await loser).code).toBe(Code.Aborted);
    held.resolve();
    const winner = await Promise.any(both);
    expect(winner).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [8, 8, 0, 0])],
    });
  });
});
