import { chmod, mkdir, open, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../shared/gen/google/rpc/error_details_pb.js";
import {
  Health,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../shared/gen/health/v1/health_pb.js";
import { Delivery, RecordKind } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { createGrpcTransport, type GrpcTransport } from "../../shared/rpc/client.ts";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
import type { SessionBuddyOverrides } from "./app.ts";
import {
  holdFile,
  makeFile,
  query,
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
  const temporary = resources.use("folder", await temporaryFolder());
  folder = temporary.path;
  file = join(folder, "reflection.duckdb");
});

afterEach(() => resources[Symbol.asyncDispose]());

type Bridge = Client<typeof SessionBuddyService> & { transport: GrpcTransport };

async function start(
  overrides: SessionBuddyOverrides = {},
  env: Readonly<Record<string, string>> = {},
): Promise<Bridge> {
  const app = resources.use("app", await startBridge(folder, overrides, env));
  const transport = createGrpcTransport({ address: app.address, retry: { maxAttempts: 1 } });
  resources.defer("client", () => transport.close());
  return Object.assign(createClient(SessionBuddyService, transport), { transport });
}

async function serving({ transport }: Bridge): Promise<boolean> {
  const { status } = await createClient(Health, transport).check({
    service: SessionBuddyService.typeName,
  });
  return status === Serving.SERVING;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (await condition()) return;
    await sleep(25);
  }
  throw new Error(`still not so: ${condition}`);
}

async function failure(call: Promise<unknown>) {
  const error = await call.then(
    () => new Error("did not fail"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) throw error;
  return {
    code: error.code,
    info: error.findDetails(ErrorInfoSchema)[0],
    retry: error.findDetails(RetryInfoSchema)[0],
    message: error.rawMessage,
    fields: error
      .findDetails(BadRequestSchema)
      .flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field)),
  };
}

const insight = {
  content: "Always bound the connection pool, because leaks starve the others",
  insightType: "pattern",
  topics: ["database", "async"],
  project: "mahavishnu",
  confidence: 0.7,
  quality: 0.8,
  sourceConversationId: "c1",
  metadata: { workflow_id: "w1" },
  requestId: "r1",
};

describe("a file that is not there", () => {
  test("is made as Session-Buddy's adapter makes it, and what is stored is found", async () => {
    const bridge = await start();
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
      file,
      `select column_name, column_default from duckdb_columns()
       where table_name = 'reflections_v2' and column_default is not null order by column_name`,
    );
    expect(columns).toContainEqual({ column_name: "category", column_default: "'context'" });
    expect(columns).toContainEqual({ column_name: "insight_type", column_default: "'general'" });
  });

  test("neither is an empty one", async () => {
    await writeFile(file, "");
    const bridge = await start();
    await until(() => serving(bridge));
    await bridge.storeReflection({ content: "an empty file counts as none" });
    expect(await bridge.getStatus({})).toMatchObject({
      readable: true,
      totalRecords: 1n,
      eras: ["F"],
    });
  });

  test("a log without a database is set aside, not replayed and not deleted", async () => {
    await writeFile(`${file}.wal`, "something of another database");
    const bridge = await start();
    await until(() => serving(bridge));
    const names = await readdir(folder);
    const aside = names.find((name) => name.includes(".wal.orphan-"));
    expect(await readFile(join(folder, aside ?? ""), "utf8")).toBe("something of another database");
  });
});

describe.each(["adapter", "migration"] as const)("the %s's variant of the layout", (variant) => {
  test("is read whole and written so that Session-Buddy finds it", async () => {
    await makeFile(
      file,
      variant,
      `insert into conversations_v2 (id, content, category, project, metadata, timestamp) values
         ('c1', 'we talked about pgvector recall', 'context', 'p', '{broken', '2026-07-01 04:07:00');
       insert into reflections_v2 (id, content, category, insight_type, tags, metadata) values
         ('r1', 'retry with jitter', 'context', null, ['net'], null),
         ('i1', '__SB64__${Buffer.from("use pgvector indexes").toString("base64")}', 'context', 'gotcha', [], '{"quality_score": 0.6}');
       insert into query_cache_l2 (cache_key, normalized_query) values ('k', 'q')`,
    );
    const bridge = await start({}, { MAHAVISHNU_SESSION_BUDDY_TIME_ZONE: "America/Los_Angeles" });
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
      file,
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
    expect(await query(file, insights)).toEqual([{ id: one.id }]);
    const reflections = `select id from reflections_v2 where insight_type is null
      and content like '%bounded queues%'`;
    expect(await query(file, reflections)).toEqual([{ id: two.id }]);
    const pacific = new Date(before).toLocaleString("sv", { timeZone: "America/Los_Angeles" });
    const created = Number(rows[0]?.["created"]) / 1000;
    expect(Math.abs(created - Date.parse(`${pacific.replace(" ", "T")}Z`))).toBeLessThan(60_000);
    expect(await query(file, "select count(*)::int as n from query_cache_l2")).toEqual([{ n: 0 }]);
    expect(await readdir(folder)).not.toContain("reflection.duckdb.wal");

    const status = await bridge.getStatus({});
    expect(status).toMatchObject({
      file,
      readable: true,
      eras: ["F"],
      totalRecords: 5n,
      lockHolder: "",
    });
    expect(status.tables.find(({ table }) => table === "reflections_v2")?.rows).toBe(4n);
    expect(status.lastWriteTime).toBeDefined();
  });
});

describe("storing again", () => {
  test("the same text or request id returns the first id", async () => {
    const bridge = await start();
    const { id } = await bridge.storeInsight(insight);
    const again = { id, deduplicated: true, delivery: Delivery.WRITTEN };
    expect(await bridge.storeInsight(insight)).toMatchObject(again);
    const reworded = "always bound the CONNECTION pool because leaks starve the others.";
    expect(await bridge.storeInsight({ content: reworded, project: "mahavishnu" })).toMatchObject(
      again,
    );
    expect(
      (await bridge.storeInsight({ ...insight, project: "other", requestId: "" })).id,
    ).not.toBe(id);
    expect((await bridge.storeReflection({ content: insight.content })).deduplicated).toBe(false);
    const reused = await failure(bridge.storeInsight({ ...insight, content: "something else" }));
    expect(reused).toMatchObject({
      code: Code.AlreadyExists,
      info: { reason: "REQUEST_ID_REUSED" },
    });
  });

  test("is known after a restart, and when Session-Buddy stored it", async () => {
    await makeFile(
      file,
      "adapter",
      "insert into reflections_v2 (id, content, insight_type) values ('theirs', 'Bound the pool.', 'general')",
    );
    {
      await using app = await startBridge(folder);
      const transport = createGrpcTransport({ address: app.address });
      await createClient(SessionBuddyService, transport).storeInsight(insight);
      transport.close();
    }
    const bridge = await start();
    expect((await bridge.storeInsight(insight)).deduplicated).toBe(true);
    expect(await bridge.storeInsight({ content: "bound the pool" })).toMatchObject({
      id: "theirs",
      deduplicated: true,
    });
  });

  test("twenty callers at once store one record", async () => {
    const bridge = await start();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => bridge.storeInsight(insight)),
    );
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect(answers.filter(({ deduplicated }) => !deduplicated)).toHaveLength(1);
  });

  test("twenty different ones at once are all there", async () => {
    const bridge = await start();
    const texts = Array.from({ length: 20 }, (_, at) => `reflection number ${at} of many`);
    await Promise.all(texts.map((content) => bridge.storeReflection({ content })));
    const { hits } = await bridge.searchReflections({ query: "reflection", limit: 100 });
    expect(hits.map(({ record }) => record?.content).sort()).toEqual(texts.sort());
    expect(await query(file, "select count(*)::int as n from reflections_v2")).toEqual([{ n: 20 }]);
  });
});

describe("tenants", () => {
  const as = (tenant: string) => ({ headers: { [tenantHeader]: tenant } });

  test("each finds its own records and Session-Buddy's, not another's", async () => {
    await makeFile(
      file,
      "adapter",
      `insert into reflections_v2 (id, content, insight_type, metadata) values
         ('theirs', 'pools of everyone', 'general', '{"mahavishnu": "a word of theirs"}')`,
    );
    const bridge = await start();
    const one = await bridge.storeInsight({ ...insight, requestId: "" }, as("t1"));
    const request = { query: "connection pools", project: "", limit: 10 };
    const ids = async (tenant: string, more = {}) => {
      const { hits } = await bridge.searchReflections({ ...request, ...more }, as(tenant));
      return hits.map(({ record }) => record?.id).sort();
    };
    expect(await ids("t1")).toEqual([one.id, "theirs"].sort());
    expect(await ids("t2")).toEqual(["theirs"]);
    expect(await ids("t2", { project: "mahavishnu" })).toEqual([]);

    const two = await bridge.storeInsight({ ...insight, requestId: "" }, as("t2"));
    expect(two.deduplicated).toBe(false);
    expect(await ids("t2")).toEqual([two.id, "theirs"].sort());
    expect(await ids("t1")).toEqual([one.id, "theirs"].sort());
    const known = await bridge.storeInsight({ content: "Pools of everyone!" }, as("t2"));
    expect(known).toMatchObject({ id: "theirs", deduplicated: true });
    expect((await bridge.getStatus({}, as("t3"))).totalRecords).toBe(3n);
  });

  test("what marks a record as a tenant's does not leave the bridge", async () => {
    const bridge = await start();
    await bridge.storeInsight(insight, as("t1"));
    const { hits } = await bridge.searchReflections({ query: "pools" }, as("t1"));
    expect(hits[0]?.record?.metadata).toEqual({
      workflow_id: "w1",
      quality_score: 0.8,
      source_conversation_id: "c1",
      source_reflection_id: null,
    });
  });
});

describe("searching", () => {
  test("filters before the limit, orders equal scores by id, honours min_score", async () => {
    const rows = Array.from({ length: 30 }, (_, at) => {
      const id = `id${String(at).padStart(2, "0")}`;
      return `('${id}', 'bounded pools', ${at === 29 ? "'rare'" : "'common'"}, ${at % 2 ? "'general'" : "null"})`;
    });
    await makeFile(
      file,
      "adapter",
      `insert into reflections_v2 (id, content, project, insight_type) values ${rows.join(",")}`,
    );
    const bridge = await start();
    const ids = async (request: Parameters<Bridge["searchReflections"]>[0]) =>
      (await bridge.searchReflections(request)).hits.map(({ record }) => record?.id);
    expect(await ids({ query: "pool", limit: 3 })).toEqual(["id00", "id01", "id02"]);
    expect(await ids({ query: "pool", limit: 3, project: "rare" })).toEqual(["id29"]);
    expect(await ids({ query: "pool", limit: 3, kinds: [RecordKind.INSIGHT] })).toEqual([
      "id01",
      "id03",
      "id05",
    ]);
    expect(await ids({ query: "pool", kinds: [RecordKind.CONVERSATION] })).toEqual([]);
    expect(await ids({ query: "pool zebra", minScore: 0.99 })).toEqual([]);
    expect(await ids({ query: "pool" })).toHaveLength(10);
    expect(await ids({ query: "the and of" })).toEqual([]);
    expect(await ids({ query: "'); drop table reflections_v2; --" })).toEqual([]);
  });

  test("every wrong field is named at once", async () => {
    const bridge = await start();
    const search = await failure(
      bridge.searchReflections({
        query: " ",
        limit: 1001,
        minScore: 2,
        vector: { values: [0] },
        kinds: [RecordKind.UNSPECIFIED],
      }),
    );
    expect(search.code).toBe(Code.InvalidArgument);
    expect(new Set(search.fields)).toEqual(
      new Set(["query", "limit", "min_score", "model", "vector", "kinds[0]"]),
    );
    const store = await failure(
      bridge.storeInsight({
        content: "x".repeat(65_537),
        insightType: "wisdom",
        topics: Array.from({ length: 33 }, () => ""),
        confidence: 1.5,
        quality: Number.NaN,
        requestId: "é".repeat(65),
      }),
    );
    expect(store.fields).toEqual(
      expect.arrayContaining([
        "content",
        "insight_type",
        "topics",
        "topics[0]",
        "confidence",
        "quality",
        "request_id",
      ]),
    );
  });

  test("what another program stores meanwhile is found", async () => {
    const bridge = await start();
    await until(() => serving(bridge));
    await script(file, "insert into reflections_v2 (id, content) values ('x', 'a foreign zebra')");
    await until(async () => {
      const { hits } = await bridge.searchReflections({ query: "zebras" });
      return hits[0]?.record?.id === "x";
    });
  });

  test("a text of one megabyte is found and does not stop the process", async () => {
    await makeFile(file, "adapter");
    await script(
      file,
      `insert into conversations_v2 (id, content, category)
       select 'big', repeat('lorem ipsum dolor ', 60000) || ' needle', 'context'`,
    );
    const bridge = await start();
    const { hits } = await bridge.searchReflections({ query: "needles" });
    expect(hits[0]?.record?.content).toHaveLength(60_000 * 18 + 7);
  });
});

describe("while another process holds the file", () => {
  test("reading goes on from copies, writing waits, all heals when it is free", async () => {
    await makeFile(
      file,
      "adapter",
      "insert into reflections_v2 (id, content) values ('a', 'first zebra')",
    );
    const holder = await holdFile(file);
    const bridge = await start();
    await holder.run("insert into reflections_v2 (id, content) values ('b', 'second zebra')");
    await until(async () => (await bridge.searchReflections({ query: "zebra" })).hits.length === 2);
    expect(await serving(bridge)).toBe(true);

    const status = await bridge.getStatus({});
    expect(status.lockHolder).toContain(`(PID ${holder.pid})`);
    expect(status.readable).toBe(true);
    expect(status.snapshotAge).toBeDefined();
    expect(status.message).toContain("holds the file");
    expect(await readdir(join(folder, "data", "session-buddy", "snapshots"))).toEqual([]);

    const queued = await bridge.storeInsight(insight);
    expect(queued).toMatchObject({ deduplicated: false, delivery: Delivery.QUEUED });
    await holder.run("insert into reflections_v2 (id, content) values ('c', 'third zebra')");

    await holder[Symbol.asyncDispose]();
    await until(async () => (await bridge.getStatus({})).queuedWrites === 0n);
    expect(await bridge.storeInsight(insight)).toMatchObject({ id: queued.id, deduplicated: true });
    await until(async () => (await bridge.searchReflections({ query: "zebra" })).hits.length === 3);
    expect(await query(file, "select count(*)::int as n from reflections_v2")).toEqual([{ n: 4 }]);
  });

  test("an answer from an older copy is flagged", async () => {
    await makeFile(
      file,
      "adapter",
      "insert into reflections_v2 (id, content) values ('a', 'first zebra')",
    );
    const holder = resources.use("holder", await holdFile(file));
    const bridge = await start({ mirror: { refreshIntervalMs: 600_000 } });
    expect(await bridge.searchReflections({ query: "zebra" })).toMatchObject({ stale: false });
    await holder.run("insert into reflections_v2 (id, content) values ('b', 'second zebra')");
    const late = await bridge.searchReflections({ query: "zebra" });
    expect(late.hits).toHaveLength(1);
    expect(late).toMatchObject({ stale: true });
    expect(late.message).toContain("changed");
  });

  test("a free file is not kept from others", async () => {
    const bridge = await start();
    await bridge.storeInsight(insight);
    await bridge.searchReflections({ query: "pool" });
    const holder = await holdFile(file);
    await holder[Symbol.asyncDispose]();
  });
});

describe("a file that cannot be used", () => {
  test("cut short: says so, and recovers when it is repaired", async () => {
    await makeFile(
      file,
      "adapter",
      "insert into reflections_v2 (id, content) select 'r' || i, 'zebra ' || i from range(5000) t(i)",
    );
    const whole = await readFile(file);
    await truncate(file, Math.floor(whole.length / 2));
    const bridge = await start();
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

    await writeFile(file, whole);
    await until(() => serving(bridge));
    expect((await search()).hits).toHaveLength(10);
  });

  test("no DuckDB file at all: it is left alone", async () => {
    await writeFile(file, "these are my notes ".repeat(1000));
    const bridge = await start();
    expect((await failure(bridge.storeInsight(insight))).code).toBe(Code.Unavailable);
    expect(await readFile(file, "utf8")).toMatch(/^these are my notes/);
  });

  test("damaged while running: the service says it serves no more", async () => {
    const bridge = await start();
    await until(() => serving(bridge));
    const handle = await open(file, "r+");
    await handle.write(Buffer.alloc(8192, 0x5a), 0, 8192, 0);
    await handle.close();
    await until(async () => !(await serving(bridge)));
  });

  test("a path that cannot be made", async () => {
    await writeFile(join(folder, "note"), "a file, no folder");
    const bridge = await start(
      {},
      { MAHAVISHNU_SESSION_BUDDY_FILE: join(folder, "note", "x.duckdb") },
    );
    const refused = await failure(bridge.searchReflections({ query: "zebra" }));
    expect(refused.code).toBe(Code.Unavailable);
    expect(refused.message).toContain("no directory");
  });

  // The super-user may write everywhere.
  test.skipIf(process.getuid?.() === 0)(
    "a folder that is read-only: read, not written",
    async () => {
      const closed = join(folder, "closed");
      const path = join(closed, "reflection.duckdb");
      await mkdir(closed);
      await makeFile(
        path,
        "adapter",
        "insert into reflections_v2 (id, content) values ('a', 'zebra')",
      );
      await chmod(path, 0o444);
      await chmod(closed, 0o555);
      resources.defer("rights", () => chmod(closed, 0o755));
      const bridge = await start({}, { MAHAVISHNU_SESSION_BUDDY_FILE: path });
      expect((await bridge.searchReflections({ query: "zebra" })).hits).toHaveLength(1);
      expect((await failure(bridge.storeInsight(insight))).message).toContain("permission denied");
    },
  );

  test("an older file gets the newest tables beside its own when something is stored", async () => {
    await script(
      file,
      `create table conversations (id varchar, content varchar);
       insert into conversations values ('a', 'older words'); create table mine (a int)`,
    );
    const bridge = await start();
    await until(() => serving(bridge));
    const before = await bridge.getStatus({});
    expect(before).toMatchObject({ eras: ["A"], unknownTables: ["mine"], totalRecords: 1n });
    await bridge.storeInsight(insight);
    await until(async () => (await bridge.getStatus({})).eras.join() === "A,F");
  });
});

test("the file's size does not grow when nothing is written", async () => {
  const bridge = await start();
  await bridge.storeInsight(insight);
  const { size, mtimeMs } = await stat(file);
  for (let round = 0; round < 5; round++) await bridge.storeInsight(insight);
  expect(await stat(file)).toMatchObject({ size, mtimeMs });
});
