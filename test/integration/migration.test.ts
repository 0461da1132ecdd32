import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serviceEntries } from "../../deploy/local/services.ts";
import { DuckDb } from "../../services/session-buddy/duckdb.ts";
import {
  collectionTables,
  eraA,
  eraB,
  eraGraph,
} from "../../services/session-buddy/testing/era-tables.ts";
import {
  holdFile,
  makeFile,
  script,
} from "../../services/session-buddy/testing/session-buddy-files.ts";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { startTestPlatform, type TestPlatform } from "../harness/platform.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { type PlainMessage, StockClient } from "../harness/stock-client.ts";

/** Rows of each table; enough for a migration to be met in its midst. */
const rows = 500;

interface Progress {
  readonly done: boolean;
  readonly resumed: boolean;
  readonly counts: readonly {
    readonly kind: string;
    readonly era: string;
    readonly read: number;
    readonly migrated: number;
    readonly deduplicated: number;
    readonly failed: number;
  }[];
  readonly verification: PlainMessage | null;
}

describeEachStore(
  "migrating a file of all layouts, with real processes,",
  (kind, database) => {
    let resources: Resources;
    let running: TestPlatform;
    let file: string;

    beforeEach(async () => {
      resources = new Resources();
      const folder = await mkdtemp(join(tmpdir(), "mahavishnu-migration-"));
      resources.defer("folder", () => rm(folder, { recursive: true, force: true }));
      file = join(folder, "reflection.duckdb");
      await makeFileOfAllLayouts(file);
      running = resources.use(
        "platform",
        await startTestPlatform({
          postgresUrl: kind === "postgres" ? database().url : undefined,
          // Small steps, so that a kill meets it in its midst.
          env: {
            MAHAVISHNU_INGESTION_LEASE_MS: "5000",
            MAHAVISHNU_INGESTION_EMBED_BATCH: "8",
            MAHAVISHNU_INGESTION_PARALLEL_BATCHES: "2",
          },
        }),
      );
    }, 120_000);
    afterEach(() => resources[Symbol.asyncDispose]());

    const open = (name: string) => {
      const entry = serviceEntries.find((one) => one.name === name);
      if (entry === undefined) throw new Error(name);
      return new StockClient(running.platform.address(name), entry.service);
    };

    /** The last message; `onProgress` may end it by throwing. */
    async function migrate(
      request: PlainMessage = {},
      onProgress: (progress: Progress) => void = () => {},
    ): Promise<Progress> {
      using ingestion = open("ingestion");
      let last: Progress | undefined;
      const stream = ingestion.serverStream("MigrateSessionBuddy", { path: file, ...request });
      for await (const message of stream) {
        last = message as unknown as Progress;
        onProgress(last);
      }
      if (last?.done !== true) throw new Error("the migration did not end");
      return last;
    }

    /** As a caller who is told to come again while the one that died may still live. */
    async function migratePatiently(request: PlainMessage): Promise<Progress> {
      for (let tries = 0; ; tries++) {
        try {
          return await migrate(request);
        } catch (error) {
          const aborted = 10;
          if ((error as { code?: number }).code !== aborted || tries === 150) throw error;
          await sleep(200);
        }
      }
    }

    /** What the command line reports as JSON. */
    async function commandLine(...options: string[]): Promise<PlainMessage> {
      const program = join(import.meta.dirname, "../../cli/main.ts");
      const { stdout } = await promisify(execFile)(
        process.execPath,
        [program, "migrate", "session-buddy", file, "--json", ...options],
        {
          env: {
            ...process.env,
            MAHAVISHNU_INGESTION_ADDRESS: running.platform.address("ingestion"),
          },
        },
      );
      return JSON.parse(stdout) as PlainMessage;
    }

    async function count(field: string, value: string): Promise<number> {
      using store = open("vector-store");
      const filter = { condition: { field, equals: { stringValue: value } } };
      return (await store.unary<{ count: number }>("CountDocuments", { filter })).count;
    }

    const figures = (
      kindName: string,
      era: string,
      [read, migrated, deduplicated]: readonly [number, number, number],
    ) => ({ kind: kindName, era, read, migrated, deduplicated, failed: 0 });

    it("survives the death of ingestion, stores nothing twice, and finds what it stored", async () => {
      // Session-Buddy runs and holds its file all the while.
      const holder = resources.use("holder", await holdFile(file));
      const dryRun = await commandLine("--dry-run", "--time-zone", "Europe/Berlin");
      const expected = [
        figures("conversation", "A", [rows, rows, 0]),
        figures("reflection", "B", [rows, rows, 0]),
        figures("reflection", "C", [rows, rows, 0]),
        figures("conversation", "F", [rows, rows, 0]),
        figures("insight", "F", [rows, rows, 0]),
        figures("entity", "KG", [rows, rows, 0]),
      ];
      expect(dryRun).toMatchObject({
        dry_run: true,
        eras: ["A", "B", "C", "F", "KG"],
        source_time_zone: "Europe/Berlin",
        verification: null,
      });
      expect(dryRun["lock_holder"]).toContain(String(holder.pid));
      expect(dryRun["counts"]).toEqual(expected);
      expect(await count("source_system", "session-buddy")).toBe(0);

      const ingestion = running.platform.process("ingestion");
      const before = ingestion.pid;
      let killedAt = 0;
      const request = { source_time_zone: "Europe/Berlin" };
      await expect(
        migrate(request, ({ counts }) => {
          if (killedAt > 0) return;
          killedAt = counts.reduce((sum, { migrated }) => sum + migrated, 0);
          if (killedAt > 0) ingestion.kill("SIGKILL");
        }),
      ).rejects.toMatchObject({ code: 14 });
      expect(killedAt).toBeGreaterThan(0);
      expect(killedAt).toBeLessThan(6 * rows);
      await running.platform.untilServing("ingestion", 60_000);
      expect(ingestion.pid).not.toBe(before);

      const rest = await migratePatiently(request);
      expect(rest.resumed).toBe(true);
      expect(rest.counts).toEqual(expected);
      const all = 6 * rows;
      expect(rest.verification).toEqual({ expected: all, found: all, verified: true });
      expect(await count("source_system", "session-buddy")).toBe(all);

      const again = await commandLine("--time-zone", "Europe/Berlin");
      expect(again).toMatchObject({ resumed: false, read: all, migrated: 0, deduplicated: all });
      expect(await count("source_system", "session-buddy")).toBe(all);

      using memory = open("memory");
      const { results } = await memory.unary<{ results: PlainMessage[] }>("UnifiedSearch", {
        query: "conversation 7 about zymurgy",
        sources: ["SOURCE_POSTGRESQL"],
      });
      expect(results[0]).toMatchObject({
        memory_type: "MEMORY_TYPE_AGENT",
        source_system: "session-buddy",
        // Noon in Berlin, in winter.
        create_time: { seconds: Date.parse("2026-01-15T11:00:00Z") / 1_000 },
      });
      // An insight that is told later is the one that was migrated.
      const turn = await memory.unary<{ insights: PlainMessage[] }>("StoreConversationTurn", {
        agent_id: "a",
        session_id: "s",
        role: "ROLE_ASSISTANT",
        content: "★ Insight ─────\nALWAYS name insight 7, in full\n─────",
      });
      expect(turn.insights).toHaveLength(1);
      expect(await count("memory_type", "insight")).toBe(4 * rows);
    }, 300_000);
  },
  { migrations: null },
);

/** A, B, C, F and the knowledge graph in one file, as many rows of each. */
async function makeFileOfAllLayouts(path: string): Promise<void> {
  await makeFile(path, "adapter");
  await script(path, `${eraA}${eraB}${collectionTables("mahavishnu_project", "C")}${eraGraph}`);
  const noon = "timestamp '2026-01-15 12:00:00'";
  await using duckdb = await DuckDb.open(path, "write");
  await duckdb.script(`
    insert into conversations (id, content, project, timestamp)
      select 'a' || i, 'Old conversation ' || i || ' about zymurgy', 'brewery', ${noon}
      from range(${rows}) t(i);
    insert into vectors.default (id, vector, metadata)
      select 'b' || i, null, json_object('id', 'b' || i, 'content', 'Vector note ' || i,
        'tags', [], 'timestamp', '2025-11-01T10:00:00+00:00', 'type', 'reflection')
      from range(${rows}) t(i);
    insert into mahavishnu_project_reflections (id, content, tags, created_at, updated_at)
      select 'c' || i, 'Collected note ' || i, ['tag'], ${noon}, ${noon} from range(${rows}) t(i);
    insert into conversations_v2 (id, content, category, timestamp)
      select 'd' || i, 'New talk ' || i || ' of hops', 'context', ${noon} from range(${rows}) t(i);
    insert into reflections_v2 (id, content, category, insight_type, metadata, timestamp, created_at)
      select 'e' || i, 'Always name insight ' || i || ' in full.', 'context', 'pattern',
        '{"quality_score": 0.8}', ${noon}, ${noon} from range(${rows}) t(i);
    insert into kg_entities (id, name, entity_type, observations, created_at)
      select 'k' || i, 'Brewery ' || i, 'place', ['It brews.'], ${noon} from range(${rows}) t(i);
    insert into kg_relationships (id, from_entity, to_entity, relation_type, created_at)
      select 'l' || i, 'k' || i, 'k0', 'supplies', ${noon} from range(1, ${rows}) t(i);
    checkpoint;`);
}
