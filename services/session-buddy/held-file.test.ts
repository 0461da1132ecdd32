import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Delivery } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { insight, until } from "./testing/bridge-calls.ts";
import { sceneOfEachTest, serving } from "./testing/bridge-scene.ts";
import { holdFile, makeFile, query } from "./testing/session-buddy-files.ts";

const scene = sceneOfEachTest();

describe("while another process holds the file", () => {
  test("reading goes on from copies, writing waits, all heals when it is free", async () => {
    await makeFile(
      scene.file,
      "adapter",
      "insert into reflections_v2 (id, content) values ('a', 'first zebra')",
    );
    const holder = await holdFile(scene.file);
    const bridge = await scene.start();
    await holder.run("insert into reflections_v2 (id, content) values ('b', 'second zebra')");
    await until(async () => (await bridge.searchReflections({ query: "zebra" })).hits.length === 2);
    expect(await serving(bridge)).toBe(true);

    const status = await bridge.getStatus({});
    expect(status.lockHolder).toContain(`(PID ${holder.pid})`);
    expect(status.readable).toBe(true);
    expect(status.snapshotAge).toBeDefined();
    expect(status.message).toContain("holds the file");
    expect(await readdir(join(scene.folder, "data", "session-buddy", "snapshots"))).toEqual([]);

    const queued = await bridge.storeInsight(insight);
    expect(queued).toMatchObject({ deduplicated: false, delivery: Delivery.QUEUED });
    await holder.run("insert into reflections_v2 (id, content) values ('c', 'third zebra')");

    await holder[Symbol.asyncDispose]();
    await until(async () => (await bridge.getStatus({})).queuedWrites === 0n);
    expect(await bridge.storeInsight(insight)).toMatchObject({ id: queued.id, deduplicated: true });
    await until(async () => (await bridge.searchReflections({ query: "zebra" })).hits.length === 3);
    expect(await query(scene.file, "select count(*)::int as n from reflections_v2")).toEqual([
      { n: 4 },
    ]);
  });

  test("an answer from an older copy is flagged", async () => {
    await makeFile(
      scene.file,
      "adapter",
      "insert into reflections_v2 (id, content) values ('a', 'first zebra')",
    );
    const holder = scene.resources.use("holder", await holdFile(scene.file));
    const bridge = await scene.start({ mirror: { refreshIntervalMs: 600_000 } });
    expect(await bridge.searchReflections({ query: "zebra" })).toMatchObject({ stale: false });
    await holder.run("insert into reflections_v2 (id, content) values ('b', 'second zebra')");
    const late = await bridge.searchReflections({ query: "zebra" });
    expect(late.hits).toHaveLength(1);
    expect(late).toMatchObject({ stale: true });
    expect(late.message).toContain("changed");
  });

  test("a free file is not kept from others", async () => {
    const bridge = await scene.start();
    await bridge.storeInsight(insight);
    await bridge.searchReflections({ query: "pool" });
    const holder = await holdFile(scene.file);
    await holder[Symbol.asyncDispose]();
  });
});
