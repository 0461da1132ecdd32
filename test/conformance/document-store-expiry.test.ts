import { expect, test } from "vitest";
import { instantNow } from "../../services/vector-store/instant.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, newDocument, searchOf, vectorOf } from "./document-store-samples.ts";
import { DocumentStoreSuite } from "./document-store-suite.ts";

describeEachStore("document store", (_, database) => {
  const suite = new DocumentStoreSuite(database);
  const { newTenant, write, read, idsOf } = suite;
  /** Rows that are there, expired ones too. */
  const rowCount = async (of: readonly string[]) => {
    const text = "select count(*)::int as count from memories where tenant = any($1)";
    return (await suite.postgres.query<{ count: number }>(text, [of])).rows[0]?.count;
  };

  test("what is said to be stored lives as long as its last writer asked", async () => {
    const tenant = newTenant();
    const expireTime = instantNow() + 3_600_000_000n;
    await write(tenant, newDocument("mortal", { id: "a", expireTime }));
    await write(tenant, newDocument("mortal", { expireTime: expireTime - 1n }));
    expect((await read(tenant, "a")).expireTime).toBe(expireTime);
    await write(tenant, newDocument("mortal"));
    expect((await read(tenant, "a")).expireTime).toBeUndefined();
    await write(tenant, newDocument("mortal", { expireTime }));
    expect((await read(tenant, "a")).expireTime).toBeUndefined();
  });

  test("an expired document is never seen, and in nobody's way", async () => {
    const tenant = newTenant();
    const expireTime = instantNow() - 1n;
    const vector = vectorOf(1);
    await write(
      tenant,
      newDocument("gone by content", { id: "a", expireTime, vector }),
      newDocument("gone by id", { id: "b", expireTime, vector }),
      newDocument("staying", { id: "c", vector }),
    );
    expect(await idsOf(tenant)).toEqual(["c"]);
    expect(await suite.store.get(tenant, collection, ["a", "b", "c"], false)).toHaveLength(1);
    expect(await suite.store.count(tenant, collection, undefined)).toBe(1n);
    const text = "gone staying content";
    for (const by of [
      { mode: "vector", vector },
      { mode: "text", text },
      { mode: "hybrid", vector, text },
    ] as const) {
      const hits = await suite.store.search(tenant, collection, searchOf(by));
      expect(hits.map(({ document }) => document.id)).toEqual(["c"]);
    }
    expect(
      await write(
        tenant,
        newDocument("gone by content", { id: "new" }),
        newDocument("another content", { id: "b" }),
      ),
    ).toEqual([
      { outcome: "created", id: "new" },
      { outcome: "created", id: "b" },
    ]);
    expect(await idsOf(tenant)).toEqual(["b", "c", "new"]);
    await write(tenant, newDocument("short", { id: "d", expireTime }));
    expect(
      await suite.store.delete(tenant, collection, { by: "ids", ids: ["c", "d", "nobody"] }),
    ).toBe(1n);
  });

  test("expired documents of every tenant are removed in batches, and no others", async () => {
    const past = instantNow() - 1_000_000n;
    const later = instantNow() + 3_600_000_000n;
    const tenants = [newTenant(), newTenant()];
    for (const tenant of tenants) {
      const list = Array.from({ length: 5 }, (_, i) =>
        newDocument(`expired ${i}`, { expireTime: past - BigInt(i) }),
      );
      const others = [newDocument("forever"), newDocument("later", { expireTime: later })];
      await write(tenant, ...list, ...others);
    }
    const before = await rowCount(tenants);
    expect(before).toBe(14);
    let removed = 0;
    for (;;) {
      const count = await suite.store.removeExpired(collection, 3);
      expect(count).toBeLessThanOrEqual(3);
      removed += count;
      if (count < 3) break;
    }
    expect(removed).toBeGreaterThanOrEqual(10);
    expect(await rowCount(tenants)).toBe(4);
    for (const tenant of tenants)
      expect(await suite.store.count(tenant, collection, undefined)).toBe(2n);
  });
});
