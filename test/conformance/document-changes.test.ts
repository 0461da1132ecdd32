import { beforeAll, expect, test } from "vitest";
import type { DocumentChange } from "../../services/vector-store/document-change.ts";
import { CollectionNotFoundError } from "../../services/vector-store/errors.ts";
import { instantNow } from "../../services/vector-store/instant.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import type { ListOrder, ListQuery } from "../../services/vector-store/store.ts";
import { contentHash } from "../../shared/hash.ts";
import type { Postgres } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, model, newDocument, vectorOf, writeOf } from "./document-store-samples.ts";

const textOf = (text: string) => ({ text, hash: contentHash(text) });

describeEachStore("changes of documents", (_, database) => {
  let postgres: Postgres;
  let store: PostgresDocumentStore;
  let tenants = 0;
  const newTenant = () => `tenant-${++tenants}`;

  beforeAll(() => {
    postgres = database().open();
    store = new PostgresDocumentStore(postgres);
  });
  const change = (tenant: string, one: DocumentChange) =>
    store.change(tenant, { collection, model, change: one });
  const read = async (tenant: string, id: string) => {
    const [found] = await store.get(tenant, collection, [id], true);
    if (found === undefined) throw new Error(`${id} is not there`);
    return found;
  };

  test("a field that is not named stays as it is, the scope of de-duplication too", async () => {
    const tenant = newTenant();
    const scope = { dedupScope: "named:mine" };
    const first = newDocument("as it was", {
      ...scope,
      id: "a",
      vector: vectorOf(1),
      agentId: "planner",
      metadata: '{"k": 1}',
    });
    await store.write(tenant, writeOf(first));
    const before = await read(tenant, "a");
    const result = await change(tenant, { id: "a", metadata: '{"k": 2}' });
    expect(result).toMatchObject({ outcome: "updated", hasVector: true });
    const after = await read(tenant, "a");
    expect(after).toMatchObject({ content: "as it was", agentId: "planner", metadata: { k: 2 } });
    expect(after.vector).toEqual(before.vector);
    expect(after.createTime).toBe(before.createTime);
    expect(after.updateTime).toBeGreaterThan(before.updateTime);
    const twin = newDocument("as it was", scope);
    expect(await store.write(tenant, writeOf(twin))).toEqual([
      { outcome: "deduplicated", id: "a" },
    ]);
  });

  test("a new content loses the old vector, brings its own, and is found by its words", async () => {
    const tenant = newTenant();
    await store.write(tenant, writeOf(newDocument("zebra", { id: "a", vector: vectorOf(1) })));
    expect(await change(tenant, { id: "a", content: textOf("zebra") })).toMatchObject({
      hasVector: true,
    });
    expect(await change(tenant, { id: "a", content: textOf("walrus") })).toMatchObject({
      hasVector: false,
      document: { content: "walrus", contentHash: contentHash("walrus") },
    });
    const found = async (text: string) =>
      (
        await store.search(tenant, collection, {
          mode: "text",
          text,
          filter: undefined,
          limit: 10,
          minScore: 0,
          model: undefined,
          includeVectors: false,
          maxBytes: 1_000_000,
        })
      ).length;
    expect([await found("walrus"), await found("zebra")]).toEqual([1, 0]);
    await change(tenant, { id: "a", content: textOf("otter"), vector: vectorOf(2) });
    expect([...((await read(tenant, "a")).vector ?? [])]).toEqual(vectorOf(2));
  });

  test("refuses a content that another one has in the same scope, unless that has expired", async () => {
    const tenant = newTenant();
    const soon = instantNow() + 200_000n;
    await store.write(
      tenant,
      writeOf(
        newDocument("mine", { id: "mine" }),
        newDocument("other", { id: "other" }),
        newDocument("foreign", { id: "foreign", agentId: "b" }),
        newDocument("gone soon", { id: "gone", expireTime: soon }),
      ),
    );
    expect(await change(tenant, { id: "mine", content: textOf("other") })).toEqual({
      outcome: "duplicate_content",
      id: "other",
    });
    expect(await change(tenant, { id: "mine", content: textOf("foreign") })).toMatchObject({
      outcome: "updated",
    });
    await postgres.query(
      "update memories set expires_at = now() - interval '1 second' where tenant = $1 and id = $2",
      [tenant, "gone"],
    );
    expect(await change(tenant, { id: "mine", content: textOf("gone soon") })).toMatchObject({
      outcome: "updated",
    });
    expect(await change(tenant, { id: "gone", metadata: "{}" })).toEqual({ outcome: "not_found" });
    expect(await change(newTenant(), { id: "mine", metadata: "{}" })).toEqual({
      outcome: "not_found",
    });
  });

  test("of many changes that stand on the same state one is made", async () => {
    const tenant = newTenant();
    await store.write(tenant, writeOf(newDocument("contended", { id: "a" })));
    const { updateTime } = await read(tenant, "a");
    const results = await Promise.all(
      Array.from({ length: 8 }, (_unused, n) =>
        change(tenant, { id: "a", metadata: `{"n": ${n}}`, ifUpdateTime: updateTime }),
      ),
    );
    expect(results.filter(({ outcome }) => outcome === "updated")).toHaveLength(1);
    expect(results.filter(({ outcome }) => outcome === "changed_meanwhile")).toHaveLength(7);
  });

  test("sets and removes the time of expiry", async () => {
    const tenant = newTenant();
    await store.write(tenant, writeOf(newDocument("fleeting", { id: "a" })));
    const later = instantNow() + 3_600_000_000n;
    await change(tenant, { id: "a", expireTime: later });
    expect((await read(tenant, "a")).expireTime).toBe(later);
    await change(tenant, { id: "a", expireTime: null });
    expect((await read(tenant, "a")).expireTime).toBeUndefined();
  });

  test("lists by each order, in pages that neither miss nor repeat", async () => {
    const tenant = newTenant();
    // Equal times among them: the ids decide.
    for (const [id, day] of [
      ["a", 3],
      ["b", 1],
      ["c", 2],
      ["d", 2],
      ["e", 1],
    ] as const) {
      const createTime = BigInt(day) * 86_400_000_000n;
      await store.write(tenant, writeOf(newDocument(`note ${id}`, { id, createTime })));
    }
    await change(tenant, { id: "b", metadata: '{"touched": true}' });
    const pages = async (order: ListOrder) => {
      const ids: string[] = [];
      let place: Pick<ListQuery, "after" | "afterTime"> = { after: undefined };
      for (;;) {
        const query = { filter: undefined, order, ...place, limit: 2, includeVectors: false };
        const { documents, more } = await store.list(tenant, collection, query);
        ids.push(...documents.map(({ id }) => id));
        const last = documents.at(-1);
        if (!more || last === undefined) return ids.join("");
        const time = order.by === "create_time" ? last.createTime : last.updateTime;
        place = { after: last.id, afterTime: time };
      }
    };
    expect(await pages({ by: "id", descending: true })).toBe("edcba");
    expect(await pages({ by: "create_time", descending: false })).toBe("becda");
    expect(await pages({ by: "create_time", descending: true })).toBe("adceb");
    expect(await pages({ by: "update_time", descending: false })).toBe("acdeb");
    expect(await pages({ by: "update_time", descending: true })).toBe("bedca");
  });

  test.each([4, 2_001])(
    "changes and lists in a collection of %i components, beside equal ids elsewhere",
    async (dimension) => {
      const tenant = newTenant();
      const name = `changed_${dimension}`;
      const oneAt = (place: number) => Array.from({ length: dimension }, (_, i) => +(i === place));
      await store.createCollection({
        name,
        dimension,
        distance: "cosine",
        embeddingModel: undefined,
        textLanguage: "english",
      });
      await store.write(tenant, writeOf(newDocument("elsewhere", { id: "a" })));
      const documents = ["a", "b"].map((id) => newDocument(`note ${id}`, { id }));
      await store.write(tenant, { collection: name, model, documents });
      const there = (one: DocumentChange) =>
        store.change(tenant, { collection: name, model, change: one });
      // Free in this collection, whatever another one holds.
      expect(
        await there({ id: "a", content: textOf("elsewhere"), vector: oneAt(2) }),
      ).toMatchObject({ outcome: "updated", hasVector: true });
      expect(await there({ id: "b", content: textOf("elsewhere") })).toEqual({
        outcome: "duplicate_content",
        id: "a",
      });
      const [changed] = await store.get(tenant, name, ["a"], true);
      expect([...(changed?.vector ?? [])]).toEqual(oneAt(2));
      expect(await store.collection(name)).toMatchObject({ embeddingModel: model });
      expect(await read(tenant, "a")).toMatchObject({ content: "elsewhere", vector: undefined });
      const order: ListOrder = { by: "update_time", descending: true };
      const query = { filter: undefined, order, after: undefined, limit: 9, includeVectors: false };
      const listed = await store.list(tenant, name, query);
      expect(listed.documents.map(({ id }) => id)).toEqual(["a", "b"]);
    },
  );

  test("fails where there is no such collection", async () => {
    const write = { collection: "nowhere", model: undefined, change: { id: "a", metadata: "{}" } };
    await expect(store.change(newTenant(), write)).rejects.toThrow(CollectionNotFoundError);
  });
});
