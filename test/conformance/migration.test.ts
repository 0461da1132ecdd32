import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { insightMemoryId } from "../../services/memory/content-identity.ts";
import { BadRequestSchema, ErrorInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import type {
  IngestionService,
  MigrateSessionBuddyResponse,
} from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { RecordKind } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { newId } from "../../shared/ids.ts";
import { sleep } from "../../shared/lifecycle.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { FakePeers, unavailable } from "./ingestion-peers.ts";
import { startIngestion, type TestIngestion } from "./ingestion-service.ts";
import { reflections } from "./migration-peers.ts";

const file = "/sb/reflection.duckdb";
const { REFLECTION, CONVERSATION, INSIGHT, ENTITY } = RecordKind;

describeEachStore("MigrateSessionBuddy", (_, database) => {
  let peers: FakePeers;
  let service: TestIngestion;
  /** One a test, so that no test sees another's. */
  let tenant: string;
  let opened: Postgres | undefined;
  const pool = () => {
    opened ??= database().open();
    return opened;
  };

  beforeEach(async () => {
    tenant = newId();
    peers = new FakePeers();
    service = await start();
  });
  afterEach(() => service[Symbol.asyncDispose]());

  function start(env: Readonly<Record<string, string>> = {}): Promise<TestIngestion> {
    const small = {
      MAHAVISHNU_INGESTION_EMBED_BATCH: "4",
      MAHAVISHNU_INGESTION_PARALLEL_BATCHES: "2",
      ...env,
    };
    return startIngestion(database().url, peers, small, tenant);
  }

  async function restart(env: Readonly<Record<string, string>> = {}): Promise<void> {
    await service[Symbol.asyncDispose]();
    service = await start(env);
  }

  async function migrate(
    request: { path?: string; dryRun?: boolean; sourceTimeZone?: string } = {},
    client: Client<typeof IngestionService> = service.client,
  ): Promise<MigrateSessionBuddyResponse> {
    let last: MigrateSessionBuddyResponse | undefined;
    for await (const one of client.migrateSessionBuddy({ path: file, ...request })) {
      expect(last?.done ?? false).toBe(false);
      last = one;
    }
    if (last?.done !== true) throw new Error("the migration did not end");
    return last;
  }

  async function failureOf(running: Promise<unknown>): Promise<ConnectError> {
    const error = await running.then(
      () => undefined,
      (one: unknown) => one,
    );
    if (!(error instanceof ConnectError)) throw new Error("did not fail", { cause: error });
    return error;
  }

  /** Starts a migration whose embedder waits; `release` lets it go on. */
  async function migrateHeld(client = service.client, signal?: AbortSignal) {
    const held = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    peers.onEmbed = () => {
      reached.resolve();
      return held.promise;
    };
    const running = (async () => {
      for await (const _ of client.migrateSessionBuddy(
        { path: file },
        signal === undefined ? {} : { signal },
      )) {
        // Only how it ends counts.
      }
    })();
    running.catch(() => {});
    await reached.promise;
    return {
      running,
      release: () => {
        peers.onEmbed = () => {};
        held.resolve();
      },
    };
  }

  async function recorded(status = ""): Promise<number> {
    const { rows } = await pool().query<{ count: number }>(
      `select count(*)::int as count from session_buddy_migrations
       where tenant = $1 and ($2 = '' or status = $2)`,
      [tenant, status],
    );
    return rows[0]?.count ?? 0;
  }

  const count = (kind: string, era: string, figures: readonly [number, number, number, number]) => {
    const [read, migrated, deduplicated, failed] = figures.map(BigInt);
    return { kind, era, read, migrated, deduplicated, failed };
  };
  const stored = () => [...peers.documents.values()];
  const storedIds = () => stored().map(({ metadata }) => metadata?.["origin_id"]);

  it("stores every kind with its time, origin and what is known of it", async () => {
    peers.bridge.records = [
      {
        id: "i1",
        kind: INSIGHT,
        era: "F",
        content: "Always batch writes.",
        tags: ["database"],
        project: "mahavishnu",
        collection: "default",
        insightType: "pattern",
        confidence: 0.7,
        metadata: { quality_score: 0.8, other: [1, null] },
        createTime: { seconds: 1_700_000_000n, nanos: 123_456_000 },
        updateTime: { seconds: 1_700_000_060n },
      },
      { id: "c1", kind: CONVERSATION, era: "A", content: "What was said.", project: "p" },
      { id: "r1", kind: REFLECTION, era: "B", content: "A note." },
      {
        id: "e1",
        kind: ENTITY,
        era: "KG",
        content: "PGlite (library)\nIs PostgreSQL in WASM.",
        metadata: { relations: [{ relation_type: "depends_on", to_name: "WASM" }] },
      },
    ];
    const last = await migrate();
    expect(last).toMatchObject({
      counts: [
        count("conversation", "A", [1, 1, 0, 0]),
        count("reflection", "B", [1, 1, 0, 0]),
        count("insight", "F", [1, 1, 0, 0]),
        count("entity", "KG", [1, 1, 0, 0]),
      ],
      errors: [],
      recordsTotal: 4n,
      sourceTimeZone: "Asia/Kolkata",
      resumed: false,
      verification: { expected: 4n, found: 4n, verified: true },
      source: { file, eras: ["A", "F"], unknownTables: ["strange"], lockHolder: "python3 (PID 1)" },
    });
    const byOrigin = new Map(stored().map((one) => [one.metadata?.["origin_id"], one]));
    expect(byOrigin.get("i1")).toMatchObject({
      id: insightMemoryId("Always batch writes."),
      content: "Always batch writes.",
      memoryType: MemoryType.INSIGHT,
      sourceSystem: "session-buddy",
      repoId: "mahavishnu",
      dedupScope: `insight:${insightMemoryId("Always batch writes.")}`,
      createTime: { seconds: 1_700_000_000n, nanos: 123_456_000 },
      metadata: {
        kind: "insight",
        era: "F",
        origin_id: "i1",
        migration_id: last.migrationId,
        tags: ["database"],
        topics: ["database"],
        project: "mahavishnu",
        collection: "default",
        insight_type: "pattern",
        confidence: 0.7,
        quality: 0.8,
        quality_score: 0.8,
        other: [1, null],
        update_time: "2023-11-14T22:14:20.000Z",
      },
    });
    expect(byOrigin.get("c1")).toMatchObject({ memoryType: MemoryType.AGENT, repoId: "p" });
    expect(byOrigin.get("r1")).toMatchObject({
      memoryType: MemoryType.INSIGHT,
      content: "A note.",
    });
    expect(byOrigin.get("e1")).toMatchObject({
      memoryType: MemoryType.INSIGHT,
      content: "PGlite (library)\nIs PostgreSQL in WASM.\ndepends on WASM",
    });
  });

  it("stores nothing again, and embeds nothing again", async () => {
    peers.bridge.records = reflections(10);
    await migrate();
    const { embeddedTexts, upsert } = { ...peers.calls };
    const again = await migrate();
    expect(again).toMatchObject({
      resumed: false,
      counts: [count("reflection", "F", [10, 0, 10, 0])],
      verification: { expected: 0n, found: 0n, verified: true },
    });
    expect(peers.calls).toMatchObject({ embeddedTexts, upsert });
    expect(peers.documents.size).toBe(10);
    // What is new is brought in.
    peers.bridge.records.push(...reflections(2, "newer"));
    expect((await migrate()).counts).toEqual([
      expect.objectContaining(count("reflection", "F", [12, 2, 10, 0])),
    ]);
  });

  it("stores equal texts once, whatever batch they are in", async () => {
    const texts = ["Use it!", "use it", "A.", "B.", "C.", "A.", "use  IT.", "D.", "B."];
    peers.bridge.records = texts.map((content, index) => ({
      id: `x${index}`,
      kind: content.toLowerCase().startsWith("use") ? INSIGHT : REFLECTION,
      era: "F",
      content,
    }));
    // Equal notes of two projects are two.
    peers.bridge.records.push({ id: "p", kind: REFLECTION, era: "F", content: "A.", project: "p" });
    expect(await migrate()).toMatchObject({
      counts: [count("insight", "F", [3, 1, 2, 0]), count("reflection", "F", [7, 5, 2, 0])],
      verification: { verified: true },
    });
    expect(storedIds().sort()).toEqual(["p", "x0", "x2", "x3", "x4", "x7"]);
  });

  it("leaves an insight to whoever told it before", async () => {
    const id = insightMemoryId("Always batch writes.");
    peers.put(tenant, { id, content: "Always batch writes!", agentId: "first" });
    peers.bridge.records = [{ id: "i1", kind: INSIGHT, era: "F", content: "always batch writes" }];
    expect((await migrate()).counts).toEqual([
      expect.objectContaining(count("insight", "F", [1, 0, 1, 0])),
    ]);
    expect(stored()).toMatchObject([{ id, content: "Always batch writes!", agentId: "first" }]);
  });

  it("counts rows that the bridge folded, and rows that are no records", async () => {
    peers.bridge.records = [
      {
        id: "new",
        kind: REFLECTION,
        era: "F",
        content: "Said twice.",
        origins: [
          { era: "F", id: "new" },
          { era: "A", id: "old" },
        ],
      },
    ];
    peers.bridge.faults = [
      { origin: { era: "A", table: "conversations", id: "bad" }, reason: "it has no content" },
      { origin: { era: "KG", table: "kg_relationships", id: "" }, reason: "it cannot be read" },
    ];
    expect(await migrate()).toMatchObject({
      counts: [
        count("conversation", "A", [1, 0, 0, 1]),
        count("reflection", "A", [1, 0, 1, 0]),
        count("reflection", "F", [1, 1, 0, 0]),
        count("entity", "KG", [1, 0, 0, 1]),
      ],
      errors: [
        {
          recordId: "bad",
          kind: "conversation",
          era: "A",
          error: { message: "it has no content" },
        },
        { recordId: "", kind: "entity", era: "KG" },
      ],
    });
  });

  it("tells why records fail, and stores the others", async () => {
    peers.bridge.records = [
      ...reflections(6),
      { id: "blank", kind: REFLECTION, era: "A", content: " \n" },
      { id: "long", kind: REFLECTION, era: "A", content: "x".repeat(1_048_577) },
      { id: "unembeddable", kind: REFLECTION, era: "A", content: "will not embed" },
      { id: "unstorable", kind: REFLECTION, era: "A", content: "will not store" },
    ];
    peers.refuses = (text) => text === "will not embed";
    peers.refusesDocument = ({ content }) => content === "will not store";
    const last = await migrate();
    expect(last).toMatchObject({
      counts: [count("reflection", "A", [4, 0, 0, 4]), count("reflection", "F", [6, 6, 0, 0])],
      failedByReason: { INVALID_FIELD: 3n, EMBEDDING_FAILED: 1n },
      verification: { expected: 6n, found: 6n, verified: true },
    });
    expect(
      last.errors.map(({ recordId, error }) => [recordId, error?.code, error?.reason]).sort(),
    ).toEqual([
      ["blank", Code.InvalidArgument, ErrorReason.INVALID_FIELD],
      ["long", Code.InvalidArgument, ErrorReason.INVALID_FIELD],
      ["unembeddable", Code.InvalidArgument, ErrorReason.EMBEDDING_FAILED],
      ["unstorable", Code.InvalidArgument, ErrorReason.INVALID_FIELD],
    ]);
    // Failed ones are tried again by the next migration.
    peers.refuses = () => false;
    expect((await migrate()).counts).toEqual([
      expect.objectContaining(count("reflection", "A", [4, 1, 0, 3])),
      expect.objectContaining(count("reflection", "F", [6, 0, 6, 0])),
    ]);
  });

  it("keeps what it can of records that do not fit", async () => {
    let deep: { [key: string]: typeof deep } = {};
    for (let level = 0; level < 40; level++) deep = { deep };
    const plain = { kind: REFLECTION, era: "A" };
    peers.bridge.records = [
      { ...plain, id: "nul", content: "a\0b" },
      { ...plain, id: "deep", content: "Deep.", metadata: { deep }, tags: ["kept"] },
      { ...plain, id: "large", content: "Large.", metadata: { large: "x".repeat(70_000) } },
      { ...plain, id: "tags", content: "Tags.", tags: ["x".repeat(70_000)] },
      { ...plain, id: "project", content: "Project.", project: "p".repeat(257) },
    ];
    expect((await migrate()).counts).toEqual([
      expect.objectContaining(count("reflection", "A", [5, 5, 0, 0])),
    ]);
    const byOrigin = new Map(stored().map((one) => [one.metadata?.["origin_id"], one]));
    expect(byOrigin.get("nul")?.content).toBe("a\ufffdb");
    expect(byOrigin.get("deep")?.metadata).toMatchObject({
      tags: ["kept"],
      metadata_left_out: true,
    });
    expect(byOrigin.get("large")?.metadata).toMatchObject({ metadata_left_out: true });
    expect(byOrigin.get("tags")?.metadata).toMatchObject({ metadata_left_out: true });
    expect(byOrigin.get("project")).toMatchObject({
      repoId: "",
      metadata: { project: "p".repeat(257) },
    });
  });

  it("reports in a dry run what would be, and writes nothing", async () => {
    peers.bridge.records = reflections(3);
    await migrate();
    const before = { ...peers.calls };
    peers.bridge.records = [
      ...reflections(5),
      { id: "twice", kind: REFLECTION, era: "A", content: "lesson number 4" },
      { id: "blank", kind: REFLECTION, era: "A", content: " " },
    ];
    const last = await migrate({ dryRun: true, sourceTimeZone: "Europe/Berlin" });
    expect(last).toMatchObject({
      migrationId: "",
      sourceTimeZone: "Europe/Berlin",
      counts: [count("reflection", "A", [2, 0, 1, 1]), count("reflection", "F", [5, 2, 3, 0])],
      source: { file },
    });
    expect(last.verification).toBeUndefined();
    expect(peers.calls).toEqual(before);
    expect(peers.documents.size).toBe(3);
    expect(await recorded()).toBe(1);
  });

  it("waits for peers that come back", async () => {
    peers.bridge.records = reflections(20);
    let embeds = 0;
    let writes = 0;
    peers.onEmbed = () => {
      if (++embeds === 2) unavailable();
    };
    peers.onUpsert = () => {
      if (++writes === 3) unavailable();
    };
    expect(await migrate()).toMatchObject({
      counts: [count("reflection", "F", [20, 20, 0, 0])],
      verification: { expected: 20n, found: 20n, verified: true },
    });
  });

  it("goes on where the bridge broke off", async () => {
    peers.bridge.records = reflections(20);
    peers.bridge.onPage = (page, reading) => {
      if (reading < 2 && page === 2 * (reading + 1)) unavailable();
    };
    expect(await migrate()).toMatchObject({
      counts: [count("reflection", "F", [20, 20, 0, 0])],
      verification: { expected: 20n, found: 20n, verified: true },
    });
    expect(peers.bridge.readings).toBe(3);
    expect(peers.calls.embeddedTexts).toBe(20);
  });

  it("begins anew where the file is another one after the bridge broke off", async () => {
    peers.bridge.records = reflections(20);
    peers.bridge.onPage = (page, reading) => {
      if (reading > 0 || page < 4) return;
      peers.bridge.records = [...reflections(3, "other"), ...reflections(20)];
      unavailable();
    };
    expect(await migrate()).toMatchObject({
      counts: [count("reflection", "F", [23, 23, 0, 0])],
      verification: { expected: 23n, found: 23n, verified: true },
    });
    expect(peers.calls.embeddedTexts).toBe(23);
  });

  it("ends where a peer stays away, and is continued by the next call", async () => {
    await restart({ MAHAVISHNU_INGESTION_PATIENCE_MS: "100" });
    peers.bridge.records = reflections(20);
    let embeds = 0;
    peers.onEmbed = () => {
      if (++embeds > 2) unavailable();
    };
    const error = await failureOf(migrate());
    expect(error.code).toBe(Code.Unavailable);
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: "DEPENDENCY_UNAVAILABLE" },
    ]);
    peers.onEmbed = () => {};
    const done = peers.documents.size;
    expect(done).toBe(8);
    const before = peers.calls.embeddedTexts;
    const last = await migrate();
    expect(last).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [20, 20, 0, 0])],
      verification: { expected: 20n, found: 20n, verified: true },
    });
    expect(peers.calls.embeddedTexts - before).toBe(20 - done);
    // It has come to its end: the next one is another.
    const next = await migrate();
    expect(next.resumed).toBe(false);
    expect(next.migrationId).not.toBe(last.migrationId);
  });

  it("does not continue in another time zone, nor where the file has changed", async () => {
    await restart({ MAHAVISHNU_INGESTION_PATIENCE_MS: "100" });
    peers.bridge.records = reflections(8);
    let embeds = 0;
    peers.onEmbed = () => {
      if (++embeds > 1) unavailable();
    };
    await failureOf(migrate());
    await failureOf(migrate({ sourceTimeZone: "Europe/Berlin" }));
    expect(await recorded()).toBe(2);
    peers.onEmbed = () => {};
    peers.bridge.records = reflections(8, "other");
    expect(await migrate({ sourceTimeZone: "Europe/Berlin" })).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [8, 8, 0, 0])],
    });
  });

  it("is stopped by its caller, and continued by the next call", async () => {
    peers.bridge.records = reflections(20);
    const leaving = new AbortController();
    const { running, release } = await migrateHeld(service.client, leaving.signal);
    leaving.abort();
    expect((await failureOf(running)).code).toBe(Code.Canceled);
    for (let tries = 0; (await recorded("cancelled")) === 0; tries++) {
      if (tries === 400) throw new Error("was never recorded as cancelled");
      await sleep(25);
    }
    release();
    expect(await migrate()).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [20, 20, 0, 0])],
      verification: { verified: true },
    });
  });

  it("is interrupted by the end of its process, and continued by the next one", async () => {
    peers.bridge.records = reflections(20);
    const { running, release } = await migrateHeld();
    const closing = service[Symbol.asyncDispose]();
    const error = await failureOf(running);
    expect(error.code).toBe(Code.Unavailable);
    release();
    await closing;
    service = await start();
    expect(await migrate()).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [20, 20, 0, 0])],
      verification: { verified: true },
    });
  });

  it("takes up what a process left that was killed, without storing twice", async () => {
    peers.bridge.records = reflections(12);
    const first = await migrate();
    // As a SIGKILL leaves it: in progress, stored beyond its checkpoint, and its lease lapsed.
    await pool().query(
      `update session_buddy_migrations set status = 'in_progress', ended_at = null, records = 0,
         digest = '', figures = '{"counts": [], "failures": [], "failedByReason": {}}',
         lease_token = 'gone', lease_until = clock_timestamp() - interval '1 ms'
       where tenant = $1`,
      [tenant],
    );
    peers.documents.delete(`${tenant}/${[...peers.documents.values()].at(-1)?.id}`);
    const last = await migrate();
    expect(last).toMatchObject({
      migrationId: first.migrationId,
      resumed: true,
      counts: [count("reflection", "F", [12, 12, 0, 0])],
      verification: { expected: 12n, found: 12n, verified: true },
    });
    expect(peers.documents.size).toBe(12);
  });

  it("writes nothing more once its lease may be another's, and says so", async () => {
    await restart({ MAHAVISHNU_INGESTION_LEASE_MS: "2000" });
    peers.bridge.records = reflections(20);
    const { running, release } = await migrateHeld();
    // As another process finds it that takes it over.
    await pool().query(
      "update session_buddy_migrations set lease_token = 'another' where tenant = $1",
      [tenant],
    );
    const error = await failureOf(running);
    expect(error.code).toBe(Code.Aborted);
    release();
    expect(peers.documents.size).toBe(0);
    // It is the other's to end.
    expect(await recorded("in_progress")).toBe(1);
    await pool().query(
      "update session_buddy_migrations set lease_until = clock_timestamp() where tenant = $1",
      [tenant],
    );
    expect(await migrate()).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [20, 20, 0, 0])],
    });
  });

  it("refuses a second migration of the file, in this process and in another", async () => {
    peers.bridge.records = reflections(8);
    const { running, release } = await migrateHeld();
    await using another = await startIngestion(database().url, peers, {}, tenant);
    for (const client of [service.client, another.client]) {
      const error = await failureOf(migrate({}, client));
      expect(error.code).toBe(Code.Aborted);
      expect(error.findDetails(ErrorInfoSchema)).toMatchObject([
        { reason: "CONFLICT", metadata: { path: file, migration_id: expect.any(String) } },
      ]);
    }
    // Others are not in its way: a dry run, another file, another tenant.
    await migrate({ dryRun: true });
    release();
    await running;
    expect(peers.documents.size).toBe(8);
  });

  it("lets one of two go on that come at once", async () => {
    await restart({ MAHAVISHNU_INGESTION_PATIENCE_MS: "100" });
    peers.bridge.records = reflections(8);
    peers.onEmbed = unavailable;
    await failureOf(migrate());
    const held = Promise.withResolvers<void>();
    peers.onEmbed = () => held.promise;
    const both = [migrate(), migrate()];
    const loser = Promise.any(both.map(failureOf));
    expect((await loser).code).toBe(Code.Aborted);
    held.resolve();
    const winner = await Promise.any(both);
    expect(winner).toMatchObject({
      resumed: true,
      counts: [count("reflection", "F", [8, 8, 0, 0])],
    });
  });

  it("does not see what it stored, and says so, where it was deleted meanwhile", async () => {
    peers.bridge.records = reflections(8);
    let writes = 0;
    peers.onUpsert = () => {
      if (++writes === 2) peers.documents.clear();
    };
    expect(await migrate()).toMatchObject({
      verification: { expected: 8n, found: 4n, verified: false },
    });
  });

  describe("refuses", () => {
    it("every bad field at once", async () => {
      const error = await failureOf(migrate({ path: "relative", sourceTimeZone: "Mars/Olympus" }));
      expect(error.code).toBe(Code.InvalidArgument);
      const fields = error
        .findDetails(BadRequestSchema)
        .flatMap((bad) => bad.fieldViolations.map((one) => one.field));
      expect(fields).toEqual(["path", "source_time_zone"]);
    });

    it("a file as the bridge does", async () => {
      const error = await failureOf(migrate({ path: "/missing.duckdb" }));
      expect(error.code).toBe(Code.NotFound);
      expect(await recorded()).toBe(0);
    });

    it("at once while the bridge is away", async () => {
      peers.bridge.onPage = unavailable;
      peers.bridge.records = reflections(1);
      await restart({ MAHAVISHNU_INGESTION_PATIENCE_MS: "0" });
      expect((await failureOf(migrate())).code).toBe(Code.Unavailable);
    });
  });

  it("asks the bridge for its own file and zone where none is named", async () => {
    peers.bridge.records = reflections(1);
    expect((await migrate({ path: "" })).source?.file).toBe("/configured.duckdb");
    expect(peers.bridge.lastRequest).toEqual({ path: "", sourceTimeZone: "" });
  });
});
