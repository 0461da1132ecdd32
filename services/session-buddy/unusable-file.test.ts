import { chmod, mkdir, open, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { failure, insight, until } from "./testing/bridge-calls.ts";
import { sceneOfEachTest, serving } from "./testing/bridge-scene.ts";
import { makeFile, script } from "./testing/session-buddy-files.ts";

const scene = sceneOfEachTest();

describe("a file that cannot be used", () => {
  test("cut short: says so, and recovers when it is repaired", async () => {
    await makeFile(
      scene.file,
      "adapter",
      "insert into reflections_v2 (id, content) select 'r' || i, 'zebra ' || i from range(5000) t(i)",
    );
    const whole = await readFile(scene.file);
    await truncate(scene.file, Math.floor(whole.length / 2));
    const bridge = await scene.start();
    const search = () => bridge.searchReflections({ query: "zebra" });
    const refused = await failure(search());
    expect(refused).toMatchObject({
      code: Code.Unavailable,
      info: { reason: "DEPENDENCY_UNAVAILABLE" },
    });
    expect(refused.message).toContain("damaged");
    expect(await serving(bridge)).toBe(false);
    expect(await bridge.getStatus({})).toMatchObject({ readable: false, totalRecords: 0n });
    expect((await failure(bridge.storeInsight(insight))).code).toBe(Code.Unavailable);

    await writeFile(scene.file, whole);
    await until(() => serving(bridge));
    expect((await search()).hits).toHaveLength(10);
  });

  test("no DuckDB file at all: it is left alone", async () => {
    await writeFile(scene.file, "these are my notes ".repeat(1000));
    const bridge = await scene.start();
    expect((await failure(bridge.storeInsight(insight))).code).toBe(Code.Unavailable);
    expect(await readFile(scene.file, "utf8")).toMatch(/^these are my notes/);
  });

  test("damaged while running: the service says it serves no more", async () => {
    const bridge = await scene.start();
    await until(() => serving(bridge));
    const handle = await open(scene.file, "r+");
    await handle.write(Buffer.alloc(8192, 0x5a), 0, 8192, 0);
    await handle.close();
    await until(async () => !(await serving(bridge)));
  });

  test("a path that cannot be made", async () => {
    await writeFile(join(scene.folder, "note"), "a file, no folder");
    const bridge = await scene.start(
      {},
      { MAHAVISHNU_SESSION_BUDDY_FILE: join(scene.folder, "note", "x.duckdb") },
    );
    const refused = await failure(bridge.searchReflections({ query: "zebra" }));
    expect(refused.code).toBe(Code.Unavailable);
    expect(refused.message).toContain("no directory");
  });

  // The super-user may write everywhere.
  test.skipIf(process.getuid?.() === 0)(
    "a folder that is read-only: read, not written",
    async () => {
      const closed = join(scene.folder, "closed");
      const path = join(closed, "reflection.duckdb");
      await mkdir(closed);
      await makeFile(
        path,
        "adapter",
        "insert into reflections_v2 (id, content) values ('a', 'zebra')",
      );
      await chmod(path, 0o444);
      await chmod(closed, 0o555);
      scene.resources.defer("rights", () => chmod(closed, 0o755));
      const bridge = await scene.start({}, { MAHAVISHNU_SESSION_BUDDY_FILE: path });
      expect((await bridge.searchReflections({ query: "zebra" })).hits).toHaveLength(1);
      expect((await failure(bridge.storeInsight(insight))).message).toContain("permission denied");
    },
  );

  test("an older file gets the newest tables beside its own when something is stored", async () => {
    await script(
      scene.file,
      `create table conversations (id varchar, content varchar);
       insert into conversations values ('a', 'older words'); create table mine (a int)`,
    );
    const bridge = await scene.start();
    await until(() => serving(bridge));
    const before = await bridge.getStatus({});
    expect(before).toMatchObject({ eras: ["A"], unknownTables: ["mine"], totalRecords: 1n });
    await bridge.storeInsight(insight);
    await until(async () => (await bridge.getStatus({})).eras.join() === "A,F");
  });
});
