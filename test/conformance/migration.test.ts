import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { insightMemoryId } from "../../services/memory/content-identity.ts";
import { BadRequestSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import { RecordKind } from "../../shared/gen/mahavishnu/sessionbuddy/v1/record_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { unavailable } from "./ingestion-peers.ts";
import { reflections } from "./migration-peers.ts";
import { count, describeMigration, failureOf, file } from "./migration-suite.ts";

const { REFLECTION, CONVERSATION, INSIGHT, ENTITY } = RecordKind;

describeMigration((scene) => {
  const stored = () => [...scene.peers.documents.values()];
  const storedIds = () => stored().map(({ metadata }) => metadata?.["origin_id"]);

  it("stores every kind with its time, origin and what is known of it", async () => {
    scene.peers.bridge.records = [
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
    const last = await scene.migrate();
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
    scene.peers.bridge.records = reflections(10);
    await scene.migrate();
    const { embeddedTexts, upsert } = { ...scene.peers.calls };
    const again = await scene.migrate();
    expect(again).toMatchObject({
      resumed: false,
      counts: [count("reflection", "F", [10, 0, 10, 0])],
      verification: { expected: 0n, found: 0n, verified: true },
    });
    expect(scene.peers.calls).toMatchObject({ embeddedTexts, upsert });
    expect(scene.peers.documents.size).toBe(10);
    // What is new is brought in.
    scene.peers.bridge.records.push(...reflections(2, "newer"));
    expect((await scene.migrate()).counts).toEqual([
      expect.objectContaining(count("reflection", "F", [12, 2, 10, 0])),
    ]);
  });

  it("stores equal texts once, whatever batch they are in", async () => {
    const texts = ["Use it!", "use it", "A.", "B.", "C.", "A.", "use  IT.", "D.", "B."];
    scene.peers.bridge.records = texts.map((content, index) => ({
      id: `x${index}`,
      kind: content.toLowerCase().startsWith("use") ? INSIGHT : REFLECTION,
      era: "F",
      content,
    }));
    // Equal notes of two projects are two.
    scene.peers.bridge.records.push({
      id: "p",
      kind: REFLECTION,
      era: "F",
      content: "A.",
      project: "p",
    });
    expect(await scene.migrate()).toMatchObject({
      counts: [count("insight", "F", [3, 1, 2, 0]), count("reflection", "F", [7, 5, 2, 0])],
      verification: { verified: true },
    });
    expect(storedIds().sort()).toEqual(["p", "x0", "x2", "x3", "x4", "x7"]);
  });

  it("leaves an insight to whoever told it before", async () => {
    const id = insightMemoryId("Always batch writes.");
    scene.peers.put(scene.tenant, { id, content: "Always batch writes!", agentId: "first" });
    scene.peers.bridge.records = [
      { id: "i1", kind: INSIGHT, era: "F", content: "always batch writes" },
    ];
    expect((await scene.migrate()).counts).toEqual([
      expect.objectContaining(count("insight", "F", [1, 0, 1, 0])),
    ]);
    expect(stored()).toMatchObject([{ id, content: "Always batch writes!", agentId: "first" }]);
  });

  it("counts rows that the bridge folded, and rows that are no records", async () => {
    scene.peers.bridge.records = [
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
    scene.peers.bridge.faults = [
      { origin: { era: "A", table: "conversations", id: "bad" }, reason: "it has no content" },
      { origin: { era: "KG", table: "kg_relationships", id: "" }, reason: "it cannot be read" },
    ];
    expect(await scene.migrate()).toMatchObject({
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
    scene.peers.bridge.records = [
      ...reflections(6),
      { id: "blank", kind: REFLECTION, era: "A", content: " \n" },
      { id: "long", kind: REFLECTION, era: "A", content: "x".repeat(1_048_577) },
      { id: "unembeddable", kind: REFLECTION, era: "A", content: "will not embed" },
      { id: "unstorable", kind: REFLECTION, era: "A", content: "will not store" },
    ];
    scene.peers.refuses = (text) => text === "will not embed";
    scene.peers.refusesDocument = ({ content }) => content === "will not store";
    const last = await scene.migrate();
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
    scene.peers.refuses = () => false;
    expect((await scene.migrate()).counts).toEqual([
      expect.objectContaining(count("reflection", "A", [4, 1, 0, 3])),
      expect.objectContaining(count("reflection", "F", [6, 0, 6, 0])),
    ]);
  });

  it("keeps what it can of records that do not fit", async () => {
    let deep: { [key: string]: typeof deep } = {};
    for (let level = 0; level < 40; level++) deep = { deep };
    const plain = { kind: REFLECTION, era: "A" };
    scene.peers.bridge.records = [
      { ...plain, id: "nul", content: "a\0b" },
      { ...plain, id: "deep", content: "Deep.", metadata: { deep }, tags: ["kept"] },
      { ...plain, id: "large", content: "Large.", metadata: { large: "x".repeat(70_000) } },
      { ...plain, id: "tags", content: "Tags.", tags: ["x".repeat(70_000)] },
      { ...plain, id: "project", content: "Project.", project: "p".repeat(257) },
    ];
    expect((await scene.migrate()).counts).toEqual([
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
    scene.peers.bridge.records = reflections(3);
    await scene.migrate();
    const before = { ...scene.peers.calls };
    scene.peers.bridge.records = [
      ...reflections(5),
      { id: "twice", kind: REFLECTION, era: "A", content: "lesson number 4" },
      { id: "blank", kind: REFLECTION, era: "A", content: " " },
    ];
    const last = await scene.migrate({ dryRun: true, sourceTimeZone: "Europe/Berlin" });
    expect(last).toMatchObject({
      migrationId: "",
      sourceTimeZone: "Europe/Berlin",
      counts: [count("reflection", "A", [2, 0, 1, 1]), count("reflection", "F", [5, 2, 3, 0])],
      source: { file },
    });
    expect(last.verification).toBeUndefined();
    expect(scene.peers.calls).toEqual(before);
    expect(scene.peers.documents.size).toBe(3);
    expect(await scene.recorded()).toBe(1);
  });

  it("does not see what it stored, and says so, where it was deleted meanwhile", async () => {
    scene.peers.bridge.records = reflections(8);
    let writes = 0;
    scene.peers.onUpsert = () => {
      if (++writes === 2) scene.peers.documents.clear();
    };
    expect(await scene.migrate()).toMatchObject({
      verification: { expected: 8n, found: 4n, verified: false },
    });
  });

  describe("refuses", () => {
    it("every bad field at once", async () => {
      const error = await failureOf(
        scene.migrate({ path: "relative", sourceTimeZone: "Mars/Olympus" }),
      );
      expect(error.code).toBe(Code.InvalidArgument);
      const fields = error
        .findDetails(BadRequestSchema)
        .flatMap((bad) => bad.fieldViolations.map((one) => one.field));
      expect(fields).toEqual(["path", "source_time_zone"]);
    });

    it("a file as the bridge does", async () => {
      const error = await failureOf(scene.migrate({ path: "/missing.duckdb" }));
      expect(error.code).toBe(Code.NotFound);
      expect(await scene.recorded()).toBe(0);
    });

    it("at once while the bridge is away", async () => {
      scene.peers.bridge.onPage = unavailable;
      scene.peers.bridge.records = reflections(1);
      await scene.restart({ MAHAVISHNU_INGESTION_PATIENCE_MS: "0" });
      expect((await failureOf(scene.migrate())).code).toBe(Code.Unavailable);
    });
  });

  it("asks the bridge for its own file and zone where none is named", async () => {
    scene.peers.bridge.records = reflections(1);
    expect((await scene.migrate({ path: "" })).source?.file).toBe("/configured.duckdb");
    expect(scene.peers.bridge.lastRequest).toEqual({ path: "", sourceTimeZone: "" });
  });
});
