import { mkdir, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import {
  RecordKind,
  type Record as RecordMessage,
} from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import {
  type ExportBegin,
  type ExportEnd,
  type ExportRecordsRequestSchema,
  type RowFault,
  SessionBuddyService,
} from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
import {
  collectionTables,
  eraA,
  eraB,
  eraGraph,
  oldestReflections,
  wrapped,
} from "./testing/era-tables.ts";
import {
  holdFile,
  makeFile,
  script,
  startBridge,
  temporaryFolder,
} from "./testing/session-buddy-files.ts";

let folder: string;
let file: string;
let resources: Resources;

beforeEach(async () => {
  resources = new Resources((_, error) => {
    throw error;
  });
  folder = resources.use("folder", await temporaryFolder()).path;
  file = join(folder, "reflection.duckdb");
});

afterEach(() => resources[Symbol.asyncDispose]());

type Bridge = Client<typeof SessionBuddyService>;

async function start(env: Readonly<Record<string, string>> = {}): Promise<Bridge> {
  const app = resources.use("app", await startBridge(folder, {}, env));
  const transport = createGrpcTransport({ address: app.address, retry: { maxAttempts: 1 } });
  resources.defer("client", () => transport.close());
  return createClient(SessionBuddyService, transport);
}

interface Exported {
  readonly begin: ExportBegin;
  readonly end: ExportEnd;
  readonly records: readonly RecordMessage[];
  readonly faults: readonly RowFault[];
  readonly record: (id: string) => RecordMessage | undefined;
}

async function exported(
  bridge: Bridge,
  request: MessageInitShape<typeof ExportRecordsRequestSchema> = {},
  tenant = "default",
): Promise<Exported> {
  const headers = { [tenantHeader]: tenant };
  const records: RecordMessage[] = [];
  const faults: RowFault[] = [];
  let begin: ExportBegin | undefined;
  let end: ExportEnd | undefined;
  for await (const part of bridge.exportRecords(request, { headers })) {
    expect(end).toBeUndefined();
    if (part.begin !== undefined) {
      expect(records).toEqual([]);
      begin = part.begin;
    }
    end = part.end;
    records.push(...part.records);
    faults.push(...part.faults);
  }
  if (begin === undefined || end === undefined) throw new Error("the stream is not whole");
  expect(Number(end.records)).toBe(records.length);
  expect(Number(end.faults)).toBe(faults.length);
  expect(end.rows).toBe(begin.recordRows);
  expect(end.rows).toBe(end.records + end.folded + end.faults + end.leftOut);
  const record = (id: string) => records.find((one) => one.id === id);
  return { begin, end, records, faults, record };
}

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

const seconds = (iso: string) => BigInt(Date.parse(iso) / 1_000);

describe("a file of every era", () => {
  test("A, oldest: rows with and without metadata, tags of both kinds, local times", async () => {
    await script(
      file,
      `${eraA}
       insert into conversations values
         ('c', 'we met a zebra', [i for i in range(384)]::float[384], 'p1', '2026-01-15 04:07:00', '{"a": {"b": 1}}'),
         ('w', '${wrapped(0x68, 0x69, 0x20, 0xed, 0xa0, 0x80)}', null, null, null, '"{\\"a\\": 2}"');
       insert into reflections values ('r', 'a lesson', null, null, ['one'], '2026-07-15 12:00:00', null);
       insert into reflection_tags values ('r', 'two'), ('r', 'one');`,
    );
    const bridge = await start();
    const { begin, record } = await exported(bridge, { sourceTimeZone: "America/Los_Angeles" });
    expect(begin).toMatchObject({ eras: ["A"], unknownTables: [], file, recordRows: 3n });
    expect(begin.sourceTimeZone).toBe("America/Los_Angeles");
    expect(record("c")).toMatchObject({
      kind: RecordKind.CONVERSATION,
      content: "we met a zebra",
      project: "p1",
      era: "A",
      metadata: { a: { b: 1 } },
      origins: [{ era: "A", file: "reflection.duckdb", table: "conversations", id: "c" }],
    });
    expect(record("c")?.createTime?.seconds).toBe(seconds("2026-01-15T12:07:00Z"));
    expect(record("w")).toMatchObject({ content: "hi \ufffd", metadata: { a: 2 } });
    expect(record("w")?.createTime).toBeUndefined();
    expect(record("r")).toMatchObject({
      kind: RecordKind.REFLECTION,
      tags: ["one", "two"],
      metadata: {},
    });
    expect(record("r")?.createTime?.seconds).toBe(seconds("2026-07-15T19:00:00Z"));
  });

  test("A without a column for the project", async () => {
    await script(
      file,
      `${oldestReflections} insert into reflections values
        ('r', 'old lesson', null, ['t'], '2025-09-03 10:00:00', '{"project": "named within"}');`,
    );
    const { record } = await exported(await start());
    expect(record("r")).toMatchObject({ project: "named within", tags: ["t"], era: "A" });
  });

  test("B: JSON within JSON, UTC times, zero vectors; a text that is no JSON is kept", async () => {
    const conversation = JSON.stringify({
      id: "c",
      content: "we spoke of vectors",
      project: "p",
      timestamp: "2025-11-02T10:00:00.250000+00:00",
      metadata: JSON.stringify({ session: "s1" }),
      type: "conversation",
    });
    const reflection = JSON.stringify({
      id: "r",
      content: "index late",
      tags: ["index"],
      timestamp: "2025-11-02T10:00:00",
      type: "reflection",
    });
    await script(
      file,
      `create schema vectors;
       create table vectors.default (id varchar primary key, vector float[384], metadata varchar,
         created_at timestamp default current_timestamp);
       insert into vectors.default values
         ('c', [0 for i in range(384)]::float[384], '${conversation}', '2025-11-02 02:00:00'),
         ('r', null, '${reflection}', '2025-11-02 02:00:00'),
         ('m', null, '{"content": "cut off', '2025-11-02 02:00:00'),
         ('n', null, null, null)`,
    );
    const { record, faults } = await exported(await start(), {
      sourceTimeZone: "America/Los_Angeles",
    });
    const at = (time: { seconds: bigint; nanos: number } | undefined) =>
      time && [time.seconds, time.nanos];
    expect(record("c")).toMatchObject({
      kind: RecordKind.CONVERSATION,
      content: "we spoke of vectors",
      project: "p",
      collection: "default",
      metadata: { session: "s1" },
      era: "B",
      origins: [{ table: "vectors.default" }],
    });
    expect(at(record("c")?.createTime)).toEqual([seconds("2025-11-02T10:00:00Z"), 250_000_000]);
    expect(record("r")).toMatchObject({ kind: RecordKind.REFLECTION, tags: ["index"] });
    expect(at(record("r")?.createTime)).toEqual([seconds("2025-11-02T10:00:00Z"), 0]);
    expect(record("m")).toMatchObject({ content: '{"content": "cut off', metadata: {} });
    expect(at(record("m")?.createTime)).toEqual([seconds("2025-11-02T10:00:00Z"), 0]);
    expect(faults).toMatchObject([{ origin: { era: "B", table: "vectors.default", id: "n" } }]);
  });

  test.each(["C", "E"] as const)("%s: a pair of tables for each collection", async (era) => {
    await script(
      file,
      `${collectionTables("mahavishnu_project", era)} ${collectionTables("other", era)}
       insert into mahavishnu_project_conversations (id, content, metadata, created_at, updated_at)
         values ('c', 'a conversation', '{"project": "p"}', '2026-02-01 10:00:00', '2026-02-02 10:00:00');
       insert into other_reflections (id, content, tags, created_at, updated_at)
         values ('r', 'a lesson', ['t'], '2026-02-01 10:00:00', '2026-02-01 10:00:00');`,
    );
    const { begin, record } = await exported(await start());
    expect(begin.eras).toEqual([era]);
    expect(record("c")).toMatchObject({
      project: "p",
      collection: "mahavishnu_project",
      kind: RecordKind.CONVERSATION,
      era,
    });
    expect(record("c")?.updateTime?.seconds).toBe(seconds("2026-02-02T10:00:00Z"));
    // The default of E's column makes an insight of every row that does not name it.
    const kind = era === "C" ? RecordKind.REFLECTION : RecordKind.INSIGHT;
    expect(record("r")).toMatchObject({ collection: "other", kind, tags: ["t"] });
  });

  test("D and the graph: files beside, one of them held, one cut short", async () => {
    await makeFile(
      file,
      "adapter",
      "insert into reflections_v2 (id, content, insight_type) values ('new', 'new words', null)",
    );
    const insert = (id: string) =>
      `insert into mine_reflections (id, content, insight_type, created_at, updated_at)
       values ('${id}', 'words of ${id}', null, '2026-02-01 10:00:00', '2026-02-01 10:00:00')`;
    const beside = join(folder, "reflection_mine.duckdb");
    await script(beside, `${collectionTables("mine", "D")} ${insert("d1")}`);
    const broken = join(folder, "reflection_broken.duckdb");
    await script(broken, `${collectionTables("broken", "D")}`);
    await truncate(broken, 8_192);
    await script(
      join(folder, "knowledge_graph_team.duckdb"),
      `${eraGraph}
       insert into kg_entities values
         ('e1', 'pgvector', 'library', ['needs an index', 'is exact without'], '{"stars": 5}', '2026-01-01', '2026-01-02', '{"project": "p"}'),
         ('e2', 'PostgreSQL', 'database', null, null, null, null, null);
       insert into kg_relationships values
         ('k1', 'e1', 'e2', 'extends', '{"since": 2021}', null, null),
         ('k2', 'gone', 'e2', 'uses', null, null, null);`,
    );
    const holder = resources.use("holder", await holdFile(beside));
    await holder.run(insert("d2"));
    const bridge = await start();
    const { begin, records, record, faults } = await exported(bridge);
    expect(begin.eras).toEqual(["D", "F", "KG"]);
    expect(begin.unreadFiles).toHaveLength(1);
    expect(begin.unreadFiles[0]).toContain("reflection_broken.duckdb");
    expect(records.map(({ id }) => id)).toEqual(["new", "e1", "e2", "d1", "d2"]);
    expect(record("d2")?.origins[0]).toMatchObject({ era: "D", file: "reflection_mine.duckdb" });
    expect(record("e1")).toMatchObject({
      kind: RecordKind.ENTITY,
      content: "pgvector (library)\nneeds an index\nis exact without",
      tags: ["library"],
      project: "p",
      collection: "team",
      metadata: {
        name: "pgvector",
        properties: { stars: 5 },
        relations: [
          { relation_type: "extends", to_name: "PostgreSQL", properties: { since: 2021 } },
        ],
      },
    });
    expect(faults).toMatchObject([{ origin: { table: "kg_relationships", id: "k2" } }]);

    const found = await bridge.searchReflections({ query: "words" });
    expect(found.hits.map(({ record: hit }) => hit?.id).sort()).toEqual(["d1", "d2", "new"]);
    expect(found).toMatchObject({ stale: true });
    const status = await bridge.getStatus({});
    expect(status.message).toContain("reflection_broken.duckdb");
    expect(status.tables).toContainEqual(
      expect.objectContaining({ file: "reflection_mine.duckdb", table: "mine_reflections" }),
    );
  });

  test("A + B + C + F at once: each record once, with all its origins; others' tables named", async () => {
    const old = JSON.stringify({ content: "the same words", type: "reflection" });
    await makeFile(
      file,
      "migration",
      `insert into reflections_v2 (id, content, category, tags, timestamp, metadata) values
         ('f1', 'The same words!', 'context', ['t'], '2026-07-01 10:00:00', null),
         ('f2', 'the same words', 'context', null, now(), null),
         ('f3', 'only new', 'context', null, now(), null);
       insert into conversations_v2 (id, content, category) values ('fc', 'x < y', 'context');
       ${eraA}
       insert into reflections (id, content) values ('a1', 'the same words'), ('a2', 'only old');
       insert into conversations (id, content) values ('ac', 'x < y'), ('ac2', 'x > y'), ('blank', ' ');
       ${eraB}
       insert into vectors.default (id, metadata) values ('b1', '${old}');
       ${collectionTables("default", "C")}
       insert into default_reflections (id, content, created_at, updated_at)
         values ('c1', 'the  same words', now(), now()), ('c2', 'only in the middle', now(), now());
       create table shopping (item varchar);
       create table conversations_of_others (id varchar, content varchar)`,
    );
    const bridge = await start();
    const { begin, end, records, record, faults } = await exported(bridge);
    expect(begin.eras).toEqual(["A", "B", "C", "F"]);
    expect(begin.unknownTables.sort()).toEqual(["conversations_of_others", "shopping"]);
    expect(records.map(({ id }) => id).sort()).toEqual(
      ["a2", "ac2", "c2", "f1", "f2", "f3", "fc"].sort(),
    );
    expect(record("f1")?.origins.map(({ era, id }) => `${era} ${id}`)).toEqual([
      "F f1",
      "C c1",
      "B b1",
      "A a1",
    ]);
    expect(record("fc")?.origins.map(({ id }) => id)).toEqual(["fc", "ac"]);
    expect(end).toMatchObject({ rows: 12n, records: 7n, folded: 4n, faults: 1n, leftOut: 0n });
    expect(faults).toMatchObject([{ origin: { era: "A", id: "blank" } }]);

    const { hits } = await bridge.searchReflections({ query: "same words" });
    expect(hits.map(({ record: hit }) => hit?.id)).toEqual(["f1", "f2"]);
    expect(hits[0]?.record?.origins).toHaveLength(4);
    const status = await bridge.getStatus({});
    expect(status).toMatchObject({ totalRecords: 7n, eras: ["A", "B", "C", "F"] });
    expect(status.unknownTables.sort()).toEqual(["conversations_of_others", "shopping"]);
  });

  test("F: times with a zone are real ones whatever the source zone", async () => {
    await script(
      file,
      `create table reflections_v2 (id varchar, content varchar, created_at timestamptz, updated_at varchar);
       insert into reflections_v2 values
         ('r', 'words', '2026-07-01 10:00:00+00', '2026-07-01T10:00:00+02:00')`,
    );
    const { record } = await exported(await start(), { sourceTimeZone: "Asia/Kolkata" });
    expect(record("r")?.createTime?.seconds).toBe(seconds("2026-07-01T10:00:00Z"));
    expect(record("r")?.updateTime?.seconds).toBe(seconds("2026-07-01T08:00:00Z"));
  });
});

describe("an export", () => {
  test("goes on while another process holds the file, and has what is only in its log", async () => {
    await makeFile(file, "adapter");
    const holder = resources.use("holder", await holdFile(file));
    await holder.run(
      "insert into reflections_v2 (id, content) values ('late', 'not checkpointed')",
    );
    const bridge = await start();
    const { begin, records } = await exported(bridge);
    expect(begin.lockHolder).toContain(`(PID ${holder.pid})`);
    expect(records.map(({ id }) => id)).toEqual(["late"]);
    expect(await readdir(join(folder, "data", "session-buddy", "snapshots"))).toEqual([]);
  });

  test("comes in parts of bounded size, texts of a megabyte too, and can be left", async () => {
    await makeFile(
      file,
      "adapter",
      `insert into reflections_v2 (id, content) select 'r' || i, 'lesson ' || i from range(1200) t(i);
       insert into conversations_v2 (id, content, category)
         select 'big' || i, repeat('lorem ipsum ', 87382), 'context' from range(5) t(i)`,
    );
    const bridge = await start();
    const sizes: number[] = [];
    for await (const { records } of bridge.exportRecords({})) sizes.push(records.length);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(1_205);
    expect(Math.max(...sizes)).toBe(100);
    expect(sizes.slice(0, 6)).toEqual([0, 1, 1, 1, 1, 1]);
    const leave = new AbortController();
    const left = bridge.exportRecords({}, { signal: leave.signal })[Symbol.asyncIterator]();
    await left.next();
    leave.abort();
    const snapshots = join(folder, "data", "session-buddy", "snapshots");
    await expect.poll(() => readdir(snapshots), { timeout: 10_000, interval: 20 }).toEqual([]);
  });

  test("reads the kinds asked for, and of tenants' records only the caller's", async () => {
    const bridge = await start();
    const headers = { [tenantHeader]: "t1" };
    await bridge.storeInsight({ content: "of the first tenant" }, { headers });
    await bridge.storeReflection({ content: "of everyone's default tenant" });
    expect((await exported(bridge)).end).toMatchObject({ records: 1n, leftOut: 1n });
    const first = await exported(bridge, { kinds: [RecordKind.INSIGHT] }, "t1");
    expect(first.records.map(({ content }) => content)).toEqual(["of the first tenant"]);
    expect(first.records[0]?.metadata).not.toHaveProperty("mahavishnu");
  });

  test("reads another file where it may, and makes none", async () => {
    const other = join(folder, "other", "old.duckdb");
    await mkdir(join(folder, "other"));
    await script(other, `${eraA} insert into reflections (id, content) values ('r', 'elsewhere')`);
    await script(
      join(folder, "other", "knowledge_graph.duckdb"),
      `${eraGraph}
      insert into kg_entities (id, name, entity_type) values ('e', 'thing', 'kind')`,
    );
    const bridge = await start({ MAHAVISHNU_SESSION_BUDDY_ROOTS: join(folder, "other") });
    const { begin, records } = await exported(bridge, { path: other });
    expect(begin.file).toBe(other);
    expect(records.map(({ id }) => id)).toEqual(["r", "e"]);
    expect(await failure(bridge.exportRecords({ path: file }))).toMatchObject({
      code: Code.PermissionDenied,
      reason: "PATH_REFUSED",
    });
    const absent = join(folder, "other", "absent.duckdb");
    expect(await failure(bridge.exportRecords({ path: absent }))).toMatchObject({
      code: Code.NotFound,
    });
    expect(await readdir(join(folder, "other"))).not.toContain("absent.duckdb");
  });

  test("says what is wrong with a file or a request", async () => {
    const bridge = await start();
    const at = (name: string) => join(folder, name);
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
