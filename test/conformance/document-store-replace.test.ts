import { beforeAll, expect, test } from "vitest";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, newDocument, writeOf } from "./document-store-samples.ts";

describeEachStore("document store, replacing", (_, database) => {
  let store: PostgresDocumentStore;
  let tenants = 0;
  const newTenant = () => `replacing-${++tenants}`;
  const contentsOf = async (tenant: string) => {
    const everything = { filter: undefined, after: undefined, limit: 100, includeVectors: false };
    const { documents } = await store.list(tenant, collection, everything);
    return documents.map(({ content }) => content);
  };
  const named = (id: string, content: string) => newDocument(content, { id });

  beforeAll(() => {
    store = new PostgresDocumentStore(database().open());
  });

  test("deletes and writes, and tells how much", async () => {
    const tenant = newTenant();
    await store.write(tenant, writeOf(named("a", "first"), named("b", "second")));
    const written = await store.replace(tenant, {
      ...writeOf(named("c", "third"), named("b", "second, better")),
      deleteIds: ["a", "unknown"],
    });
    expect(written).toEqual({
      committed: true,
      deleted: 1,
      results: [
        { outcome: "created", id: "c" },
        { outcome: "updated", id: "b" },
      ],
    });
    expect(await contentsOf(tenant)).toEqual(["second, better", "third"]);
  });

  test("lets a new document have the content of one that goes", async () => {
    const tenant = newTenant();
    await store.write(tenant, writeOf(named("old", "the same words")));
    const moved = { ...writeOf(named("new", "the same words")), deleteIds: ["old"] };
    expect(await store.replace(tenant, moved)).toMatchObject({
      deleted: 1,
      results: [{ outcome: "created", id: "new" }],
    });
    expect(await contentsOf(tenant)).toEqual(["the same words"]);
  });

  test("does nothing where a document is refused", async () => {
    const tenant = newTenant();
    await store.write(
      tenant,
      writeOf(named("a", "taken"), named("b", "mine"), named("c", "to go")),
    );
    const refused = await store.replace(tenant, {
      ...writeOf(named("d", "new"), named("b", "taken")),
      deleteIds: ["c"],
    });
    expect(refused).toMatchObject({ committed: false, deleted: 0 });
    expect(refused.results[1]).toEqual({ outcome: "duplicate_content", id: "a" });
    expect(await contentsOf(tenant)).toEqual(["taken", "mine", "to go"]);
  });

  test("shows every reader what was there or what is there, never a mix", async () => {
    const tenant = newTenant();
    const parts = 20;
    const edition = (n: number) =>
      Array.from({ length: parts }, (_, part) => named(`e${n}-${part}`, `edition ${n} ${part}`));
    await store.write(tenant, writeOf(...edition(0)));
    let writing = true;
    const reading = (async () => {
      let looks = 0;
      while (writing) {
        const found = await contentsOf(tenant);
        expect(found).toHaveLength(parts);
        expect(new Set(found.map((content) => content.split(" ")[1])).size).toBe(1);
        looks++;
      }
      return looks;
    })();
    try {
      for (let n = 1; n <= 20; n++) {
        const deleteIds = edition(n - 1).map(({ id }) => id);
        await store.replace(tenant, { ...writeOf(...edition(n)), deleteIds });
      }
    } finally {
      writing = false;
    }
    expect(await reading).toBeGreaterThan(0);
  });
});
