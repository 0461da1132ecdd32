import { Code } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { sleep } from "../../shared/lifecycle.ts";
import { unavailable } from "./ingestion-peers.ts";
import { reflections } from "./migration-peers.ts";
import { count, describeMigration, failureOf } from "./migration-suite.ts";

describeMigration((scene) => {
  it("waits for peers that come back", async () => {
    scene.peers.bridge.records = reflections(20);
    let embeds = 0;
    let writes = 0;
    scene.peers.onEmbed = () => {
      if (++embeds === 2) unavailable();
    };
    scene.peers.onUpsert = () => {
      if (++writes === 3) unavailable();
    };
    expect(await scene.migrate()).toMatchObject({
      counts: [count("reflection", "F", [20, 20, 0, 0])],
      verification: { expected: 20n, found: 20n, verified: true },
    });
  });

  it("goes on where the bridge broke off", async () => {
    scene.peers.bridge.records = reflections(20);
    scene.peers.bridge.onPage = (page, reading) => {
      if (reading < 2 && page === 2 * (reading + 1)) unavailable();
    };
    expect(await scene.migrate()).toMatchObject({
      counts: [count("reflection", "F", [20, 20, 0, 0])],
      verification: { expected: 20n, found: 20n, verified: true },
    });
    expect(scene.peers.bridge.readings).toBe(3);
    expect(scene.peers.calls.embeddedTexts).toBe(20);
  });

  it("begins anew where the file is another one after the bridge broke off", async () => {
    scene.peers.bridge.records = reflections(20);
    scene.peers.bridge.onPage = (page, reading) => {
      if (reading > 0 || page < 4) return;
      scene.peers.bridge.records = [...reflections(3, "other"), ...reflections(20)];
      unavailable();
    };
    expect(await scene.migrate()).toMatchObject({
      counts: [count("reflection", "F", [23, 23, 0, 0])],
      verification: { expected: 23n, found: 23n, verified: true },
    });
    expect(scene.peers.calls.embeddedTexts).toBe(23);
  });

  it("ends where a peer stays away, and is continued by the next call", async () => {
    await scene.restart({ MAHAVISHNU_INGESTION_PATIENCE_MS: "100" });
    scene.peers.bridge.records = reflections(20);
    let embeds = 0;
    scene.peers.onEmbed = () => {
      if (++embeds > 2) unavailable();
    };
    const error = await failureOf(scene.migrate());
    expect(error.code).toBe(Code.Unavailable);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: "DEPENDENCY_UNAVAILABLE" },
    ]);
    scene.peers.onEmbed = () => {};
    const done = scene.peers.documents.size;
    expect(done).toBe(8);
    const before = scene.peers.calls.embeddedTexts;
    const last = await scene.migrate();
    expect(last).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [20, 20, 0, 0])],
      verification: { expected: 20n, found: 20n, verified: true },
    });
    expect(scene.peers.calls.embeddedTexts - before).toBe(20 - done);
    // It has come to its end: the next one is another.
    const next = await scene.migrate();
    expect(next.resumed).toBe(false);
    expect(next.migrationId).not.toBe(last.migrationId);
  });

  it("does not continue in another time zone, nor where the file has changed", async () => {
    await scene.restart({ MAHAVISHNU_INGESTION_PATIENCE_MS: "100" });
    scene.peers.bridge.records = reflections(8);
    let embeds = 0;
    scene.peers.onEmbed = () => {
      if (++embeds > 1) unavailable();
    };
    await failureOf(scene.migrate());
    await failureOf(scene.migrate({ sourceTimeZone: "Europe/Berlin" }));
    expect(await scene.recorded()).toBe(2);
    scene.peers.onEmbed = () => {};
    scene.peers.bridge.records = reflections(8, "other");
    expect(await scene.migrate({ sourceTimeZone: "Europe/Berlin" })).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [8, 8, 0, 0])],
    });
  });

  it("is stopped by its caller, and continued by the next call", async () => {
    scene.peers.bridge.records = reflections(20);
    const leaving = new AbortController();
    const { running, release } = await scene.migrateHeld(scene.service.client, leaving.signal);
    leaving.abort();
    expect((await failureOf(running)).code).toBe(Code.Canceled);
    for (let tries = 0; (await scene.recorded("cancelled")) === 0; tries++) {
      if (tries === 400) throw new Error("was never recorded as cancelled");
      await sleep(25);
    }
    release();
    expect(await scene.migrate()).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [20, 20, 0, 0])],
      verification: { verified: true },
    });
  });

  it("is interrupted by the end of its process, and continued by the next one", async () => {
    scene.peers.bridge.records = reflections(20);
    const { running, release } = await scene.migrateHeld();
    const closing = scene.service[Symbol.asyncDispose]();
    const error = await failureOf(running);
    expect(error.code).toBe(Code.Unavailable);
    release();
    await closing;
    scene.service = await scene.start();
    expect(await scene.migrate()).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [20, 20, 0, 0])],
      verification: { verified: true },
    });
  });

  it("takes up what a process left that was killed, without storing twice", async () => {
    scene.peers.bridge.records = reflections(12);
    const first = await scene.migrate();
    // As a SIGKILL leaves it: in progress, stored beyond its checkpoint, and its lease lapsed.
    await scene.pool().query(
      `update session_buddy_migrations set status = 'in_progress', ended_at = null, records = 0,
         digest = '', figures = '{"counts": [], "failures": [], "failedByReason": {}}',
         lease_token = 'gone', lease_until = clock_timestamp() - interval '1 ms'
       where tenant = $1`,
      [scene.tenant],
    );
    scene.peers.documents.delete(
      `${scene.tenant}/${[...scene.peers.documents.values()].at(-1)?.id}`,
    );
    const last = await scene.migrate();
    expect(last).toMatchObject({
      migrationId: first.migrationId,
      resumed: true,
      counts: [count("reflection", "F", [12, 12, 0, 0])],
      verification: { expected: 12n, found: 12n, verified: true },
    });
    expect(scene.peers.documents.size).toBe(12);
  });
});
