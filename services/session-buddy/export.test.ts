import { mkdir, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { RecordKind } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
import { sceneOfEachTest } from "./testing/bridge-scene.ts";
import { eraA, eraGraph } from "./testing/era-tables.ts";
import { exported } from "./testing/exported.ts";
import { holdFile, makeFile, script } from "./testing/session-buddy-files.ts";

const scene = sceneOfEachTest();

async function failure(stream: AsyncIterable<unknown>) {
  try {
    for await (const _ of stream);
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const info = error.findDetails(ErrorInfoSchema)[0];
    return { code: error.code, reason: info?.reason, message: error.rawMessage };
  }
  throw new Error("did not fail");
}

describe("an export", () => {
  test("goes on while another process holds the file, and has what is only in its log", async () => {
    await makeFile(scene.file, "adapter");
    const holder = scene.resources.use("holder", await holdFile(scene.file));
    await holder.run(
      "insert into reflections_v2 (id, content) values ('late', 'not checkpointed')",
    );
    const bridge = await scene.start();
    const { begin, records } = await exported(bridge);
    expect(begin.lockHolder).toContain(`(PID ${holder.pid})`);
    expect(records.map(({ id }) => id)).toEqual(["late"]);
    expect(await readdir(join(scene.folder, "data", "session-buddy", "snapshots"))).toEqual([]);
  });

  test("comes in parts of bounded size, texts of a megabyte too, and can be left", async () => {
    await makeFile(
      scene.file,
      "adapter",
      `insert into reflections_v2 (id, content) select 'r' || i, 'lesson ' || i from range(1200) t(i);
       insert into conversations_v2 (id, content, category)
         select 'big' || i, repeat('lorem ipsum ', 87382), 'context' from range(5) t(i)`,
    );
    const bridge = await scene.start();
    const sizes: number[] = [];
    for await (const { records } of bridge.exportRecords({})) sizes.push(records.length);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(1_205);
    expect(Math.max(...sizes)).toBe(100);
    expect(sizes.slice(0, 6)).toEqual([0, 1, 1, 1, 1, 1]);
    const leave = new AbortController();
    const left = bridge.exportRecords({}, { signal: leave.signal })[Symbol.asyncIterator]();
    await left.next();
    leave.abort();
    const snapshots = join(scene.folder, "data", "session-buddy", "snapshots");
    await expect.poll(() => readdir(snapshots), { timeout: 10_000, interval: 20 }).toEqual([]);
  });

  test("reads the kinds asked for, and of tenants' records only the caller's", async () => {
    const bridge = await scene.start();
    const headers = { [tenantHeader]: "t1" };
    await bridge.storeInsight({ content: "of the first tenant" }, { headers });
    await bridge.storeReflection({ content: "of everyone's default tenant" });
    expect((await exported(bridge)).end).toMatchObject({ records: 1n, leftOut: 1n });
    const first = await exported(bridge, { kinds: [RecordKind.INSIGHT] }, "t1");
    expect(first.records.map(({ content }) => content)).toEqual(["of the first tenant"]);
    expect(first.records[0]?.metadata).not.toHaveProperty("mahavishnu");
  });

  test("reads another file where it may, and makes none", async () => {
    const other = join(scene.folder, "other", "old.duckdb");
    await mkdir(join(scene.folder, "other"));
    await script(other, `${eraA} insert into reflections (id, content) values ('r', 'elsewhere')`);
    await script(
      join(scene.folder, "other", "knowledge_graph.duckdb"),
      `${eraGraph}
      insert into kg_entities (id, name, entity_type) values ('e', 'thing', 'kind')`,
    );
    const bridge = await scene.start(
      {},
      { MAHAVISHNU_SESSION_BUDDY_ROOTS: join(scene.folder, "other") },
    );
    const { begin, records } = await exported(bridge, { path: other });
    expect(begin.file).toBe(other);
    expect(records.map(({ id }) => id)).toEqual(["r", "e"]);
    expect(await failure(bridge.exportRecords({ path: scene.file }))).toMatchObject({
      code: Code.PermissionDenied,
      reason: "PATH_REFUSED",
    });
    const absent = join(scene.folder, "other", "absent.duckdb");
    expect(await failure(bridge.exportRecords({ path: absent }))).toMatchObject({
      code: Code.NotFound,
    });
    expect(await readdir(join(scene.folder, "other"))).not.toContain("absent.duckdb");
  });

  test("says what is wrong with a file or a request", async () => {
    const bridge = await scene.start();
    const at = (name: string) => join(scene.folder, name);
    await writeFile(at("empty.duckdb"), "");
    await writeFile(at("notes.duckdb"), "these are my notes ".repeat(1_000));
    await script(
      at("cut.duckdb"),
      `${eraA} insert into reflections (id, content)
      select 'r' || i, 'words ' || i from range(20000) t(i)`,
    );
    await truncate(at("cut.duckdb"), 12_288);
    for (const [name, why] of [
      ["empty.duckdb", "empty"],
      ["notes.duckdb", "no DuckDB file"],
      ["cut.duckdb", "cut short"],
    ] as const) {
      const refused = await failure(bridge.exportRecords({ path: at(name) }));
      expect(refused.code).toBe(Code.Unavailable);
      expect(refused.message).toContain(why);
    }
    expect(await readFile(at("empty.duckdb"))).toHaveLength(0);
    for (const request of [
      { sourceTimeZone: "Mars/Olympus" },
      { kinds: [RecordKind.UNSPECIFIED] },
      { path: "relative.duckdb" },
    ]) {
      const refused = await failure(bridge.exportRecords(request));
      expect(refused.code).toBe(Code.InvalidArgument);
    }
  });
});
