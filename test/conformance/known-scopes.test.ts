import { beforeAll, beforeEach, expect, test } from "vitest";
import type { Filter } from "../../services/vector-store/filter.ts";
import { KnownVectors } from "../../services/vector-store/known-vectors.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import type { SearchBy, SearchQuery } from "../../services/vector-store/search.ts";
import { contentHash } from "../../shared/hash.ts";
import { newId } from "../../shared/ids.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";
import {
  collection,
  model,
  newDocument,
  searchOf,
  vectorOf,
  writeOf,
} from "./document-store-samples.ts";
import { expectSameHits } from "./same-hits.ts";

const rows = 600;

const document = (i: number, given: Parameters<typeof newDocument>[1] = {}) =>
  newDocument(`number${i} word${i % 7}`, {
    id: `d${i}`,
    vector: vectorOf(i),
    repoId: i % 100 === 0 ? "rare" : i % 2 === 0 ? "half" : "rest",
    ...given,
  });

const ofRepo = (...values: string[]): Filter => ({
  node: "condition",
  condition: { on: "text", field: "repo_id", test: { kind: "one_of", values } },
});

describeEachStore("scopes that are remembered", (kind, database) => {
  let postgres: Postgres;
  /** Another process: what it writes the store cannot know of. */
  let other: PostgresDocumentStore;
  let store: PostgresDocumentStore;
  const asked: string[] = [];
  /** Of each test its own, and one beside it. */
  let tenant = "";
  let another = "";

  beforeAll(() => {
    postgres = database().open();
    const query = postgres.query.bind(postgres);
    postgres.query = (statement, params, signal) => {
      asked.push(typeof statement === "string" ? statement : statement.text);
      return query(statement, params, signal);
    };
    other = new PostgresDocumentStore(database().open());
  });

  const options = { bytes: 64 * 2 ** 20, fewest: 100, searches: 1, pausePerReading: 0 };

  beforeEach(async () => {
    tenant = newId();
    another = newId();
    store = new PostgresDocumentStore(postgres, { knownScopes: options });
    const all = Array.from({ length: rows }, (_, i) => document(i));
    await other.write(tenant, writeOf(...all));
    await other.write(another, writeOf(...all.slice(0, 150)));
  });

  const hits = (by: SearchBy, given: Partial<SearchQuery> = {}, of: string = tenant) =>
    store.search(of, collection, searchOf(by, given));

  /** Whether the last search was answered from what is remembered. */
  const fromMemory = () =>
    asked.some((text) => /(told|changes) as materialized/.test(text)) &&
    !asked.some((text) => /(nearest|scored) as materialized/.test(text));

  /** What is found, which is the truth, and whether memory helped. */
  async function search(vector: number[], given: Partial<SearchQuery> = {}, of: string = tenant) {
    const by = { mode: "vector", vector } as const;
    const truth = await hits(by, { ...given, exact: true }, of);
    asked.length = 0;
    const found = await hits(by, given, of);
    expectSameHits(found, truth);
    const remembered = fromMemory();
    await store.settled();
    return { remembered, ids: found.map((hit) => hit.document.id) };
  }

  const remember = async () => {
    await search(vectorOf(1));
    expect((await search(vectorOf(1))).remembered).toBe(true);
  };

  test("are told like those that are read, in every mode and with scores", async () => {
    expect((await search(vectorOf(5_000))).remembered).toBe(false);
    for (let i = 0; i < 20; i++) {
      const limit = [1, 10, 50][i % 3] ?? 1;
      expect((await search(vectorOf(6_000 + i), { limit })).remembered).toBe(true);
      const by = { mode: "hybrid", vector: vectorOf(6_000 + i), text: "word3 number17" } as const;
      asked.length = 0;
      const found = await hits(by, { limit });
      expect(fromMemory()).toBe(true);
      expectSameHits(found, await hits(by, { limit, exact: true }));
    }
    expect((await search(vectorOf(5), {}, another)).remembered).toBe(false);
    expect((await search(vectorOf(5), {}, another)).remembered).toBe(true);
  });

  test("what others have written since is found, changed and new", async () => {
    await remember();
    const fresh = vectorOf(9_000);
    const old = (await search(fresh)).ids;
    await other.write(
      tenant,
      writeOf(newDocument("fresh", { id: "fresh", vector: fresh }), document(7, { vector: fresh })),
    );
    const found = await search(fresh, { limit: 2 });
    expect(found).toEqual({ remembered: true, ids: ["d7", "fresh"] });
    // What was nearest and has been given another vector is so no more.
    const nearest = Number(old[0]?.slice(1));
    await other.write(tenant, writeOf(document(nearest, { vector: fresh.map((one) => -one) })));
    expect((await search(fresh, { limit: 50 })).ids).not.toContain(old[0]);
    // A vector that comes later, and one that goes.
    await other.write(tenant, writeOf(newDocument("late", { id: "late" })));
    expect((await search(fresh)).ids).not.toContain("late");
    await other.writeVectors(tenant, {
      collection,
      model,
      vectors: [{ id: "late", vector: fresh, contentHash: contentHash("late") }],
    });
    expect((await search(fresh, { limit: 3 })).ids).toContain("late");
    await other.write(tenant, writeOf(newDocument("other words", { id: "late" })));
    expect((await search(fresh)).ids).not.toContain("late");
  });

  test("many changes are read, and remembered from then on", async () => {
    await remember();
    const changed = Array.from({ length: 300 }, (_, i) =>
      document(i, { vector: vectorOf(20_000 + i) }),
    );
    const added = Array.from({ length: 100 }, (_, i) => document(rows + i));
    await other.write(tenant, writeOf(...changed, ...added));
    expect((await search(vectorOf(20_003))).ids[0]).toBe("d3");
    const [shown] = await changesSince();
    expect(shown).toBe(0);
    for (let i = 0; i < 20; i++) {
      expect((await search(vectorOf(20_000 + 17 * i))).remembered).toBe(true);
    }
  });

  /** What the last search's snapshot does not show. */
  async function changesSince(): Promise<number[]> {
    const query = postgres.query;
    const counts: number[] = [];
    postgres.query = async (statement, params, signal) => {
      const outcome = await query<never>(statement, params, signal);
      for (const row of outcome.rows as { changed?: number }[]) {
        if (row.changed !== undefined) counts.push(row.changed);
      }
      return outcome;
    };
    await search(vectorOf(1), { limit: 1 });
    postgres.query = query;
    return counts;
  }

  test("deleted and expired ones are not found, and never too few of the others", async () => {
    await remember();
    const by = { by: "ids", ids: (await search(vectorOf(3), { limit: 20 })).ids } as const;
    await other.delete(tenant, collection, by);
    expect((await search(vectorOf(3), { limit: 20 })).ids).toHaveLength(20);
    const { ids } = await search(vectorOf(4), { limit: 5 });
    await postgres.query(
      "update memories set expires_at = now() - interval '1 s' where id = any($1)",
      [ids],
    );
    expect((await search(vectorOf(4), { limit: 5 })).ids).toHaveLength(5);
    const words = { text: ids.map((id) => id.replace("d", "number")).join(" ") };
    for (const by of [
      { mode: "text", ...words },
      { mode: "hybrid", vector: vectorOf(4), ...words },
    ] as const) {
      const found = (await hits(by, { limit: 50 })).map((hit) => hit.document.id);
      expect(found.filter((id) => ids.includes(id))).toEqual([]);
    }
    const all = Array.from({ length: rows - 10 }, (_, i) => `d${i}`);
    await other.delete(tenant, collection, { by: "ids", ids: all });
    expect((await search(vectorOf(4), { limit: 30 })).ids.length).toBeGreaterThan(5);
  });

  test("of hits that are too large together those that fit are told, with vectors where asked", async () => {
    await remember();
    const one = (await hits({ mode: "vector", vector: vectorOf(3) }))[0]?.bytes ?? 0;
    for (const [maxBytes, count] of [
      [1, 1],
      [3 * one + (one >> 1), 3],
    ] as const) {
      const found = await search(vectorOf(3), { maxBytes, limit: 8 });
      expect(found).toMatchObject({ remembered: true, ids: { length: count } });
    }
    const found = await search(vectorOf(3), { includeVectors: true, minScore: 0.09 });
    expect(found.remembered).toBe(true);
    expect(found.ids.length).toBeGreaterThan(0);
  });

  /** Whether the last search was ranked from what is remembered, and its hits alone were read. */
  const unchanged = () => fromMemory() && !asked.some((text) => /changes as mat/.test(text));

  test("rows that moved, or whose place another has taken, are looked for once", async () => {
    await remember();
    const { ids } = await search(vectorOf(3), { limit: 5 });
    expect(unchanged()).toBe(true);
    const again = () => search(vectorOf(3), { limit: 5 });
    const touch = (all: string[]) =>
      postgres.query(
        `update memories set metadata = '{"moved": true}' where tenant = $1 and id = any($2)`,
        [tenant, all],
      );
    await touch(ids);
    expect((await again()).ids).toEqual(ids);
    expect(unchanged()).toBe(false);
    expect((await again()).ids).toEqual(ids);
    expect(unchanged()).toBe(true);
    // Deleted ones are forgotten, so that the next search need not look for them.
    await other.delete(tenant, collection, { by: "ids", ids: ids.slice(0, 2) });
    await postgres.query("vacuum memories");
    await touch(Array.from({ length: 20 }, (_, i) => `d${i}`));
    const left = (await again()).ids;
    expect(left.slice(0, 3)).toEqual(ids.slice(2));
    for (const expected of [false, true]) {
      expect((await again()).ids).toEqual(left);
      if (expected) expect(unchanged()).toBe(true);
    }
    const by = { mode: "hybrid", vector: vectorOf(3), text: "word3 word4" } as const;
    for (const expected of [undefined, true]) {
      asked.length = 0;
      const found = await hits(by, { limit: 5 });
      if (expected) expect(unchanged()).toBe(true);
      expect(found).toHaveLength(5);
      await store.settled();
    }
  });

  test("filters are kept, whether many or few documents fulfil them", async () => {
    await remember();
    for (const value of ["half", "rare", "nobody's"]) {
      for (let i = 0; i < 3; i++) {
        await search(vectorOf(30 + i), { filter: ofRepo(value) });
      }
    }
    expect((await search(vectorOf(30), { filter: ofRepo("half") })).remembered).toBe(true);
    // It was not enough twice; nobody tries again soon.
    expect((await search(vectorOf(30), { filter: ofRepo("rare") })).remembered).toBe(false);
  });

  test("words are told like those that are counted, and as others have changed them", async () => {
    await remember();
    const found = async (text: string, limit: number) => {
      const by = { mode: "text", text } as const;
      asked.length = 0;
      const told = await hits(by, { limit });
      return { remembered: fromMemory(), told };
    };
    const texts = ["word3", "word1 number17", "number5 word2 word3 unheard", "unheard", "the"];
    for (const text of texts) {
      for (const limit of [1, 7, 100]) {
        const { remembered, told } = await found(text, limit);
        expectSameHits(told, await hits({ mode: "text", text }, { limit, exact: true }));
        // A query of stop words has nothing to look for.
        expect(remembered).toBe(text !== "the");
      }
    }
    const ids = async (text: string) =>
      (await found(text, 5)).told.map(({ document }) => document.id);
    const rewritten = newDocument("zebra stripes", { id: "d17", vector: vectorOf(17) });
    await other.write(tenant, writeOf(rewritten, newDocument("zebra crossing", { id: "new" })));
    expect((await ids("zebra")).toSorted()).toEqual(["d17", "new"]);
    expect(await ids("number17")).toEqual([]);
    const more = Array.from({ length: 100 }, (_, i) => newDocument(`lion${i}`, { id: `l${i}` }));
    await other.write(tenant, writeOf(...more));
    for (let i = 0; i < 2; i++) {
      expect(await ids("lion42")).toEqual(["l42"]);
      await store.settled();
    }
    await other.delete(tenant, collection, { by: "ids", ids: ["l42", "d17"] });
    expect(await ids("lion42")).toEqual([]);
    expect(await ids("zebra")).toEqual(["new"]);
    await other.write(tenant, writeOf(newDocument("lion42", { id: "again" })));
    expect(await ids("lion42")).toEqual(["again"]);
  });

  test("a database that was restored has numbers of another one", async () => {
    await postgres.query("update memories set changed_xid = '900000000000' where tenant = $1", [
      tenant,
    ]);
    await remember();
    const { rows } = await postgres.query<{ count: string }>(
      "select count(*) from memories where tenant = $1 and changed_xid <> '0'",
      [tenant],
    );
    expect(rows[0]?.count).toBe("0");
    expect((await changesSince())[0]).toBe(0);
  });

  test("vectors of equal closeness come in the order of their ids", async () => {
    const same = Array.from({ length: 150 }, (_, i) =>
      newDocument(`same${i}`, { id: `e${String(i).padStart(3, "0")}`, vector: vectorOf(77) }),
    );
    await other.write(tenant, writeOf(...same));
    await remember();
    const { ids } = await search(vectorOf(77), { limit: 20 });
    expect(ids.slice(0, 2)).toEqual(["d77", "e000"]);
  });

  // The embedded server has one session for all, which a transaction that is open keeps.
  test.skipIf(kind === "pglite")(
    "a transaction that was open meanwhile counts when it ends",
    async () => {
      const near = vectorOf(40_000);
      const end = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      const writing = postgres.transaction(async (tx) => {
        const change = "update memories set embedding = $3::vector where tenant = $1 and id = $2";
        await tx.query(change, [tenant, "d2", `[${near}]`]);
        begun.resolve();
        await end.promise;
      });
      await begun.promise;
      await remember();
      const between = newDocument("between", { id: "between", vector: near });
      await other.write(tenant, writeOf(between));
      expect((await search(near, { limit: 2 })).ids[0]).toBe("between");
      end.resolve();
      await writing;
      const found = await search(near, { limit: 2 });
      expect(found).toEqual({ remembered: true, ids: ["between", "d2"] });
    },
  );

  test("more changes than can be looked at are left to the database, until they are read", async () => {
    await remember();
    await postgres.query(
      `insert into memories (tenant, id, content, embedding, memory_type, source_system,
        content_hash, dedup_scope)
      select tenant, 'm' || n, 'many ' || n, embedding, memory_type, source_system, 'h' || n, 'many'
      from memories cross join generate_series(1, 4100) n where tenant = $1 and id = 'd5'`,
      [tenant],
    );
    const { ids } = await search(vectorOf(5), { limit: 3 });
    expect(ids).toEqual(["d5", "m1", "m10"]);
    // The first of these makes the memory catch up.
    await search(vectorOf(6));
    expect(await search(vectorOf(6), { limit: 1 })).toEqual({ remembered: true, ids: ["d6"] });
    expect((await changesSince())[0]).toBe(0);
  });

  test("a scope that is too small or too large is left to the database", async () => {
    for (const knownScopes of [
      { ...options, fewest: rows + 1 },
      { ...options, bytes: 100_000 },
      { ...options, bytes: 0 },
    ]) {
      store = new PostgresDocumentStore(postgres, { knownScopes });
      for (let i = 0; i < 3; i++) expect((await search(vectorOf(1))).remembered).toBe(false);
    }
  });

  test("a scope that turns out to be too large is read once, and left", async () => {
    const bytes = KnownVectors.bytesOf(rows + 1, 768);
    store = new PostgresDocumentStore(postgres, { knownScopes: { ...options, bytes } });
    const read: string[] = [];
    for (let i = 0; i < 4; i++) {
      expect((await search(vectorOf(1))).remembered).toBe(false);
      read.push(...asked.filter((text) => text.includes("tsvectorsend")));
    }
    // Three pages of 250.
    expect(read).toHaveLength(3);
  });
});
