import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Delivery, RecordKind } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { insight, until } from "./testing/bridge-calls.ts";
import { sceneOfEachTest, serving } from "./testing/bridge-scene.ts";
import { makeFile, query } from "./testing/session-buddy-files.ts";

const scene = sceneOfEachTest();

describe("a file that is not there", () => {
  test("is made as Session-Buddy's adapter makes it, and what is stored is found", async () => {
    const bridge = await scene.start();
    await until(() => serving(bridge));
    const stored = await bridge.storeInsight(insight);
    expect(stored).toMatchObject({ delivery: Delivery.WRITTEN, deduplicated: false });
    const { hits, stale } = await bridge.searchReflections({ query: "pools leaking" });
    expect(stale).toBe(false);
    expect(hits).toHaveLength(1);
    expect(hits[0]?.record).toMatchObject({
      id: stored.id,
      kind: RecordKind.INSIGHT,
      content: insight.content,
      tags: insight.topics,
      project: "mahavishnu",
      collection: "default",
      insightType: "pattern",
      era: "F",
    });
    expect(hits[0]?.record?.confidence).toBeCloseTo(0.7);
    expect(hits[0]?.record?.metadata).toMatchObject({ workflow_id: "w1", quality_score: 0.8 });
    expect(hits[0]?.score).toBe(hits[0]?.textScore);
    expect(hits[0]?.vectorScore).toBeUndefined();
    const columns = await query(
      scene.file,
      `select column_name, column_default from duckdb_columns()
       where table_name = 'reflections_v2' and column_default is not null order by column_name`,
    );
    expect(columns).toContainEqual({ column_name: "category", column_default: "'context'" });
    expect(columns).toContainEqual({ column_name: "insight_type", column_default: "'general'" });
  });

  test("neither is an empty one", async () => {
    await writeFile(scene.file, "");
    const bridge = await scene.start();
    await until(() => serving(bridge));
    await bridge.storeReflection({ content: "an empty file counts as none" });
    expect(await bridge.getStatus({})).toMatchObject({
      readable: true,
      totalRecords: 1n,
      eras: ["F"],
    });
  });

  test("a log without a database is set aside, not replayed and not deleted", async () => {
    await writeFile(`${scene.file}.wal`, "something of another database");
    const bridge = await scene.start();
    await until(() => serving(bridge));
    const names = await readdir(scene.folder);
    const aside = names.find((name) => name.includes(".wal.orphan-"));
    expect(await readFile(join(scene.folder, aside ?? ""), "utf8")).toBe(
      "something of another database",
    );
  });
});

describe.each(["adapter", "migration"] as const)("the %s's variant of the layout", (variant) => {
  test("is read whole and written so that Session-Buddy finds it", async () => {
    await makeFile(
      scene.file,
      variant,
      `insert into conversations_v2 (id, content, category, project, metadata, timestamp) values
         ('c1', 'we talked about pgvector recall', 'context', 'p', '{broken', '2026-07-01 04:07:00');
       insert into reflections_v2 (id, content, category, insight_type, tags, metadata) values
         ('r1', 'retry with jitter', 'context', null, ['net'], null),
         ('i1', '__SB64__${Buffer.from("use pgvector indexes").toString("base64")}', 'context', 'gotcha', [], '{"quality_score": 0.6}');
       insert into query_cache_l2 (cache_key, normalized_query) values ('k', 'q')`,
    );
    const bridge = await scene.start(
      {},
      { MAHAVISHNU_SESSION_BUDDY_TIME_ZONE: "America/Los_Angeles" },
    );
    const found = await bridge.searchReflections({ query: "pgvector" });
    expect(found.hits.map(({ record }) => record?.id).sort()).toEqual(["c1", "i1"]);
    const conversation = found.hits.find(({ record }) => record?.id === "c1")?.record;
    expect(conversation?.kind).toBe(RecordKind.CONVERSATION);
    expect(conversation?.metadata).toEqual({ unparsed_text: "{broken" });
    expect(conversation?.createTime?.seconds).toBe(
      BigInt(Date.parse("2026-07-01T11:07:00Z") / 1000),
    );
    expect(found.hits.find(({ record }) => record?.id === "i1")?.record?.content).toBe(
      "use pgvector indexes",
    );

    const before = Date.now();
    const one = await bridge.storeInsight(insight);
    const two = await bridge.storeReflection({ content: "Prefer bounded queues", tags: ["queue"] });
    const rows = await query(
      scene.file,
      `select id, category, tags, namespace, project, insight_type, usage_count, embedding, metadata,
         confidence_score, importance_score, memory_tier, epoch_us(created_at) as created,
         timestamp = created_at and created_at = updated_at as same_time
       from reflections_v2 where id in ('${one.id}', '${two.id}') order by id`,
    );
    expect(rows[0]).toMatchObject({
      category: "context",
      tags: insight.topics,
      namespace: "default",
      project: "mahavishnu",
      insight_type: "pattern",
      usage_count: 0,
      embedding: null,
      importance_score: 0.5,
      memory_tier: "long_term",
      same_time: true,
    });
    expect(rows[1]).toMatchObject({ insight_type: null, project: null, tags: ["queue"] });
    expect(JSON.parse(String(rows[0]?.["metadata"]))).toMatchObject({
      quality_score: 0.8,
      source_conversation_id: "c1",
      source_reflection_id: null,
      workflow_id: "w1",
      mahavishnu: { request_id: "r1", tenant: "default", project: "mahavishnu" },
    });
    // As Session-Buddy's own searches ask.
    const insights = `select id from reflections_v2 where insight_type is not null
      and try_cast(json_extract(metadata, '$.quality_score') as double) >= 0.5
      and content like '%connection pool%'`;
    expect(await query(scene.file, insights)).toEqual([{ id: one.id }]);
    const reflections = `select id from reflections_v2 where insight_type is null
      and content like '%bounded queues%'`;
    expect(await query(scene.file, reflections)).toEqual([{ id: two.id }]);
    const pacific = new Date(before).toLocaleString("sv", { timeZone: "America/Los_Angeles" });
    const created = Number(rows[0]?.["created"]) / 1000;
    expect(Math.abs(created - Date.parse(`${pacific.replace(" ", "T")}Z`))).toBeLessThan(60_000);
    expect(await query(scene.file, "select count(*)::int as n from query_cache_l2")).toEqual([
      { n: 0 },
    ]);
    expect(await readdir(scene.folder)).not.toContain("reflection.duckdb.wal");

    const status = await bridge.getStatus({});
    expect(status).toMatchObject({
      file: scene.file,
      readable: true,
      eras: ["F"],
      totalRecords: 5n,
      lockHolder: "",
    });
    expect(status.tables.find(({ table }) => table === "reflections_v2")?.rows).toBe(4n);
    expect(status.lastWriteTime).toBeDefined();
  });
});
