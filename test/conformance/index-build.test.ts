import { beforeAll, describe, expect, test } from "vitest";
import type {
  DistanceName,
  IndexOrder,
  IndexProgress,
} from "../../services/vector-store/collection.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { documentTable } from "../../services/vector-store/sql/document-table.ts";
import { tryBuildLock } from "../../services/vector-store/sql/index-statements.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { drain, rejection } from "../../shared/rpc/testing/conditions.ts";
import { ClusteredVectors } from "../bench/clustered-vectors.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { model, newDocument, searchOf } from "./document-store-samples.ts";
import { randomVector } from "./vector-truth.ts";

const hnsw = { kind: "hnsw", m: undefined, efConstruction: undefined } satisfies IndexOrder;
const ivfflat: IndexOrder = { kind: "ivfflat", lists: undefined };
const tenant = "tenant";

describeEachStore("index builds", (kind, database) => {
  let postgres: Postgres;
  let store: PostgresDocumentStore;
  let made = 0;

  beforeAll(() => {
    postgres = database().open();
    store = new PostgresDocumentStore(postgres, { maxCollections: 1_000 });
  });

  /** A collection of so many documents; returns its name and its table. */
  async function filled(
    documents: number,
    { dimension = 3, distance = "cosine" as DistanceName } = {},
  ) {
    const name = `built_${++made}`;
    const embeddingModel = model;
    await store.createCollection({
      name,
      dimension,
      distance,
      embeddingModel,
      textLanguage: "english",
    });
    for (let from = 0; from < documents; from += 500) {
      const part = Array.from({ length: Math.min(500, documents - from) }, (_, i) =>
        newDocument(`text ${from + i}`, {
          id: `d${from + i}`,
          vector: randomVector(dimension, from + i),
        }),
      );
      await store.write(tenant, { collection: name, model, documents: part });
    }
    const { rows } = await postgres.query<{ table_name: string }>(
      "select table_name from collections where name = $1",
      [name],
    );
    return { name, table: rows[0]?.table_name ?? "" };
  }

  const indexesOf = async (table: string) => {
    const { rows } = await postgres.query<{ name: string; valid: boolean }>(
      `select x.relname as name, p.indisvalid as valid
      from pg_index p join pg_class x on x.oid = p.indexrelid join pg_am a on a.oid = x.relam
      where p.indrelid = $1::text::regclass and a.amname in ('hnsw', 'ivfflat') order by 1`,
      [table],
    );
    return rows;
  };
  const inUse = (table: string) => [{ name: `${table}_vector`, valid: true }];
  const search = (name: string, seed: number) =>
    store.search(tenant, name, searchOf({ mode: "vector", vector: randomVector(3, seed) }));

  describe.each([
    { dimension: 3, distance: "cosine" },
    { dimension: 2_000, distance: "euclidean" },
    { dimension: 2_001, distance: "dot_product" },
    { dimension: 4_000, distance: "cosine" },
    { dimension: 2_500, distance: "euclidean" },
    { dimension: 8, distance: "dot_product" },
  ] as const)("of $dimension components, $distance", (of) => {
    test("tell their progress and take the place of the index before", async () => {
      const { name, table } = await filled(30, of);
      const { items, error } = await drain(store.buildIndex(name, hnsw));
      expect(error).toBeUndefined();
      expect(items.length).toBeGreaterThanOrEqual(2);
      expect(items.slice(0, -1).every((one) => one.built === undefined)).toBe(true);
      const progress = items.map((one) => one.progress);
      expect(progress).toEqual([...progress].sort((a, b) => a - b));
      expect(items.at(-1)).toMatchObject({
        progress: 1,
        built: { kind: "hnsw", m: 16, efConstruction: 64, lists: undefined },
      });
      expect(items.at(-1)?.built?.bytes).toBeGreaterThan(0n);

      const again: IndexOrder = { kind: "hnsw", m: 8, efConstruction: 40 };
      const { items: rebuilt } = await drain(store.buildIndex(name, again));
      expect(rebuilt.at(-1)?.built).toMatchObject({ m: 8, efConstruction: 40 });
      const index = { kind: "hnsw", m: 8, efConstruction: 40, lists: undefined };
      expect((await store.collection(name)).index).toEqual(index);
      const { collection, statistics } = await store.describe(name);
      expect(collection.index).toEqual(index);
      expect(statistics.indexBytes).toBeGreaterThan(0n);
      expect(statistics.tableBytes).toBeGreaterThan(statistics.indexBytes);
      expect(await indexesOf(table)).toEqual(inUse(table));
    });
  });

  test("of IVFFlat wait until there are rows enough", async () => {
    const { name, table } = await filled(999);
    expect(await rejection(drainOrThrow(store.buildIndex(name, ivfflat)))).toMatchObject({
      kind: "failed_precondition",
      reason: "TOO_FEW_ROWS",
      facts: { rows: "999", needed: "1000" },
    });
    const many: IndexOrder = { kind: "ivfflat", lists: 50 };
    expect(await rejection(drainOrThrow(store.buildIndex(name, many)))).toMatchObject({
      facts: { needed: "1500" },
    });
    expect(await indexesOf(table)).toEqual([]);
    const last = newDocument("last", { vector: randomVector(3, 5_000) });
    await store.write(tenant, { collection: name, model, documents: [last] });
    const { items, error } = await drain(store.buildIndex(name, ivfflat));
    expect(error).toBeUndefined();
    const index = { kind: "ivfflat", m: undefined, efConstruction: undefined, lists: 3 };
    expect(items.at(-1)?.built).toMatchObject(index);
    expect((await store.collection(name)).index).toEqual(index);
    expect(await indexesOf(table)).toEqual(inUse(table));
  });

  test("of IVFFlat have as many lists as rows ask for, and are found enough by", async () => {
    const name = `built_${++made}`;
    const dimension = 24;
    await store.createCollection({
      name,
      dimension,
      distance: "cosine",
      embeddingModel: model,
      textLanguage: "english",
    });
    const shape = { clusters: 40, latent: 12 };
    const vectors = new ClusteredVectors(dimension, { ...shape, seed: 1 });
    for (let from = 0; from < 3_600; from += 600) {
      const documents = Array.from({ length: 600 }, (_, i) =>
        newDocument(`text ${from + i}`, { id: `d${from + i}`, vector: [...vectors.next()] }),
      );
      await store.write(tenant, { collection: name, model, documents });
    }
    await drainOrThrow(store.buildIndex(name, ivfflat));
    expect((await store.collection(name)).index).toMatchObject({ kind: "ivfflat", lists: 12 });
    const planned = new PostgresDocumentStore(postgres, { exactScope: 100 });
    const asked = new ClusteredVectors(dimension, { ...shape, seed: 2 });
    let found = 0;
    for (let i = 0; i < 20; i++) {
      const by = { mode: "vector", vector: [...asked.next()] } as const;
      const truth = await planned.search(tenant, name, searchOf(by, { limit: 20, exact: true }));
      const hits = await planned.search(tenant, name, searchOf(by, { limit: 20 }));
      expect(hits).toHaveLength(20);
      const ids = new Set(hits.map((hit) => hit.document.id));
      found += truth.filter((hit) => ids.has(hit.document.id)).length;
    }
    expect(found / 400).toBeGreaterThanOrEqual(0.95);
  });

  test.runIf(kind === "postgres")(
    "that are only wanted where none is leave the one there",
    async () => {
      const { name, table } = await filled(20);
      const oid = async () => {
        const { rows } = await postgres.query<{ oid: number }>("select $1::regclass::oid as oid", [
          `${table}_vector`,
        ]);
        return rows[0]?.oid;
      };
      await drainOrThrow(store.buildIndex(name, { ...hnsw, ifMissing: true }));
      const first = await oid();
      const items = await drainOrThrow(store.buildIndex(name, { ...hnsw, ifMissing: true }));
      expect(items.at(-1)?.built).toMatchObject({ kind: "hnsw" });
      expect(await oid()).toBe(first);
      await drainOrThrow(store.buildIndex(name, hnsw));
      expect(await oid()).not.toBe(first);
    },
  );

  test("go on beside searches and writes", async () => {
    const { name, table } = await filled(600);
    const planned = new PostgresDocumentStore(postgres, { exactScope: 100, scopeLifetimeMs: 1 });
    let building = true;
    let writes = 0;
    const searching = async (seed: number) => {
      const vector = randomVector(3, seed);
      while (building) {
        const hits = await planned.search(tenant, name, searchOf({ mode: "vector", vector }));
        expect(hits).toHaveLength(10);
      }
    };
    const writing = async () => {
      while (building) {
        const vector = randomVector(3, ++writes);
        const documents = [newDocument(`written ${writes}`, { id: `w${writes}`, vector })];
        await store.write(tenant, { collection: name, model, documents });
      }
    };
    const users = [searching(1), searching(2), writing()];
    for (const m of [4, 8, 16]) {
      const order: IndexOrder = { kind: "hnsw", m, efConstruction: undefined };
      expect((await drain(store.buildIndex(name, order))).error).toBeUndefined();
    }
    building = false;
    await Promise.all(users);
    expect(await indexesOf(table)).toEqual(inUse(table));
    expect(await store.count(tenant, name, undefined)).toBe(600n + BigInt(writes));
  });

  test("are removed where a process died over them", async () => {
    const { name, table } = await filled(20);
    await drainOrThrow(store.buildIndex(name, hnsw));
    const leftover = (suffix: string) =>
      postgres.query(
        `create index ${table}_vector_${suffix} on ${table} using hnsw (embedding vector_l2_ops)`,
      );
    await leftover("new");
    await leftover("old");
    expect(await indexesOf(table)).toHaveLength(3);
    if (kind === "postgres") {
      await store.removeLeftovers(AbortSignal.timeout(20_000));
      expect(await indexesOf(table)).toEqual(inUse(table));
      await leftover("new");
    }
    await drainOrThrow(store.buildIndex(name, hnsw));
    expect(await indexesOf(table)).toEqual(inUse(table));
  });

  test.runIf(kind === "postgres")("are one at a time for a collection", async () => {
    const { name, table } = await filled(20);
    const taken = Promise.withResolvers<void>();
    const done = Promise.withResolvers<void>();
    const holder = postgres.session(async (session) => {
      expect(await tryBuildLock(session, documentTable(table, 3, "cosine"), "session")).toBe(true);
      taken.resolve();
      await done.promise;
    });
    await taken.promise;
    const running = { kind: "aborted", reason: "CONFLICT", facts: { collection: name } };
    expect(await rejection(drainOrThrow(store.buildIndex(name, hnsw)))).toMatchObject(running);
    expect(await rejection(store.deleteCollection(name))).toMatchObject(running);
    done.resolve();
    await holder;
    expect((await drain(store.buildIndex(name, hnsw))).error).toBeUndefined();
    await store.deleteCollection(name);
  });

  describe.runIf(kind === "postgres")("that a writer holds up", () => {
    /** Begins a build behind a transaction that wrote to the table; ends it by `end`. */
    async function heldUp(
      end: (
        build: AsyncGenerator<IndexProgress>,
        owner: PostgresDocumentStore,
        caller: AbortController,
        name: string,
      ) => Promise<unknown>,
    ): Promise<{ table: string; name: string }> {
      const { name, table } = await filled(20);
      await drainOrThrow(store.buildIndex(name, hnsw));
      const owner = new PostgresDocumentStore(postgres);
      const caller = new AbortController();
      await postgres.transaction(async (writer) => {
        await writer.query(`update ${table} set updated_at = now()`);
        const build = owner.buildIndex(name, hnsw, caller.signal);
        const phases: string[] = [];
        // It comes no further than to wait for the writer.
        for (let i = 0; i < 200; i++) {
          const { value } = await build.next();
          phases.push(value?.phase ?? "over");
          if (value?.phase.startsWith("waiting for writers")) break;
        }
        expect(phases.at(-1)).toMatch(/^waiting for writers/);
        expect((await indexesOf(table)).map((one) => one.name)).toContain(`${table}_vector_new`);
        await end(build, owner, caller, name);
      });
      await expect.poll(() => indexesOf(table), { timeout: 20_000 }).toEqual(inUse(table));
      await owner[Symbol.asyncDispose]();
      return { name, table };
    }

    test("let others search and write meanwhile", async () => {
      await heldUp(async (build, _, caller, name) => {
        const vector = randomVector(3, 1);
        const by = searchOf({ mode: "vector", vector });
        expect(await store.search(tenant, name, by)).toHaveLength(10);
        const documents = [newDocument("meanwhile", { id: "meanwhile", vector })];
        await store.write(tenant, { collection: name, model, documents });
        expect(await store.count(tenant, name, undefined)).toBe(21n);
        caller.abort(new Error("cancelled"));
        await rejection(build.next());
      });
    });

    test("end when the caller cancels, and leave nothing", async () => {
      const { name } = await heldUp(async (build, _, caller) => {
        caller.abort(new Error("cancelled"));
        expect(await rejection(build.next())).toMatchObject({ message: "cancelled" });
      });
      // Nothing holds its lock either.
      const retry = async () => (await drain(store.buildIndex(name, hnsw))).error;
      await expect.poll(retry, { timeout: 20_000 }).toBeUndefined();
    });

    test("end when nobody listens any more", async () => {
      await heldUp((build) => build.return(undefined));
    });

    test("end when the service stops", async () => {
      await heldUp(async (build, owner) => {
        const stopped = owner[Symbol.asyncDispose]();
        expect(await rejection(build.next())).toMatchObject({ message: "the service is stopping" });
        // What it cleans up waits for the writer, as the build did.
        void stopped;
      });
    });
  });

  test.runIf(kind === "postgres")("need a connection beside those who are served", async () => {
    const { name } = await filled(1);
    const small = new PostgresDocumentStore(database().open({ poolSize: 2 }));
    const build = drainOrThrow(small.buildIndex(name, hnsw));
    expect(await rejection(build)).toMatchObject({ kind: "failed_precondition" });
  });

  test("are used by searches that follow", async () => {
    const { name } = await filled(400);
    await drainOrThrow(store.buildIndex(name, hnsw));
    expect(await search(name, 7)).toHaveLength(10);
  });
});

async function drainOrThrow<T>(items: AsyncIterable<T>): Promise<T[]> {
  const { items: seen, error } = await drain(items);
  if (error !== undefined) throw error;
  return seen;
}
