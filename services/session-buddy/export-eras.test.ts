import { truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { RecordKind } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { sceneOfEachTest } from "./testing/bridge-scene.ts";
import {
  collectionTables,
  eraA,
  eraB,
  eraGraph,
  oldestReflections,
  wrapped,
} from "./testing/era-tables.ts";
import { exported } from "./testing/exported.ts";
import { holdFile, makeFile, script } from "./testing/session-buddy-files.ts";

const scene = sceneOfEachTest();

const seconds = (iso: string) => BigInt(Date.parse(iso) / 1_000);

describe("a file of every era", () => {
  test("A, oldest: rows with and without metadata, tags of both kinds, local times", async () => {
    await script(
      scene.file,
      `${eraA}
       insert into conversations values
         ('c', 'we met a zebra', [i for i in range(384)]::float[384], 'p1', '2026-01-15 04:07:00', '{"a": {"b": 1}}'),
         ('w', '${wrapped(0x68, 0x69, 0x20, 0xed, 0xa0, 0x80)}', null, null, null, '"{\\"a\\": 2}"');
       insert into reflections values ('r', 'a lesson', null, null, ['one'], '2026-07-15 12:00:00', null);
       insert into reflection_tags values ('r', 'two'), ('r', 'one');`,
    );
    const bridge = await scene.start();
    const { begin, record } = await exported(bridge, { sourceTimeZone: "America/Los_Angeles" });
    expect(begin).toMatchObject({
      eras: ["A"],
      unknownTables: [],
      file: scene.file,
      recordRows: 3n,
    });
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
      scene.file,
      `${oldestReflections} insert into reflections values
        ('r', 'old lesson', null, ['t'], '2025-09-03 10:00:00', '{"project": "named within"}');`,
    );
    const { record } = await exported(await scene.start());
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
      scene.file,
      `create schema vectors;
       create table vectors.default (id varchar primary key, vector float[384], metadata varchar,
         created_at timestamp default current_timestamp);
       insert into vectors.default values
         ('c', [0 for i in range(384)]::float[384], '${conversation}', '2025-11-02 02:00:00'),
         ('r', null, '${reflection}', '2025-11-02 02:00:00'),
         ('m', null, '{"content": "cut off', '2025-11-02 02:00:00'),
         ('n', null, null, null)`,
    );
    const { record, faults } = await exported(await scene.start(), {
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
      scene.file,
      `${collectionTables("mahavishnu_project", era)} ${collectionTables("other", era)}
       insert into mahavishnu_project_conversations (id, content, metadata, created_at, updated_at)
         values ('c', 'a conversation', '{"project": "p"}', '2026-02-01 10:00:00', '2026-02-02 10:00:00');
       insert into other_reflections (id, content, tags, created_at, updated_at)
         values ('r', 'a lesson', ['t'], '2026-02-01 10:00:00', '2026-02-01 10:00:00');`,
    );
    const { begin, record } = await exported(await scene.start());
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
      scene.file,
      "adapter",
      "insert into reflections_v2 (id, content, insight_type) values ('new', 'new words', null)",
    );
    const insert = (id: string) =>
      `insert into mine_reflections (id, content, insight_type, created_at, updated_at)
       values ('${id}', 'words of ${id}', null, '2026-02-01 10:00:00', '2026-02-01 10:00:00')`;
    const beside = join(scene.folder, "reflection_mine.duckdb");
    await script(beside, `${collectionTables("mine", "D")} ${insert("d1")}`);
    const broken = join(scene.folder, "reflection_broken.duckdb");
    await script(broken, `${collectionTables("broken", "D")}`);
    await truncate(broken, 8_192);
    await script(
      join(scene.folder, "knowledge_graph_team.duckdb"),
      `${eraGraph}
       insert into kg_entities values
         ('e1', 'pgvector', 'library', ['needs an index', 'is exact without'], '{"stars": 5}', '2026-01-01', '2026-01-02', '{"project": "p"}'),
         ('e2', 'PostgreSQL', 'database', null, null, null, null, null);
       insert into kg_relationships values
         ('k1', 'e1', 'e2', 'extends', '{"since": 2021}', null, null),
         ('k2', 'gone', 'e2', 'uses', null, null, null);`,
    );
    const holder = scene.resources.use("holder", await holdFile(beside));
    await holder.run(insert("d2"));
    const bridge = await scene.start();
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
      scene.file,
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
    const bridge = await scene.start();
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
      scene.file,
      `create table reflections_v2 (id varchar, content varchar, created_at timestamptz, updated_at varchar);
       insert into reflections_v2 values
         ('r', 'words', '2026-07-01 10:00:00+00', '2026-07-01T10:00:00+02:00')`,
    );
    const { record } = await exported(await scene.start(), { sourceTimeZone: "Asia/Kolkata" });
    expect(record("r")?.createTime?.seconds).toBe(seconds("2026-07-01T10:00:00Z"));
    expect(record("r")?.updateTime?.seconds).toBe(seconds("2026-07-01T08:00:00Z"));
  });
});
