import { expect, test } from "vitest";
import { parseInstant } from "../../services/vector-store/instant.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, model, newDocument, vectorOf, writeOf } from "./document-store-samples.ts";
import { DocumentStoreSuite, unbound } from "./document-store-suite.ts";

describeEachStore("document store", (_, database) => {
  const suite = new DocumentStoreSuite(database);
  const { newTenant, write, read, idsOf } = suite;

  test("knows the collection memories, and no other", async () => {
    expect(await suite.store.collection(collection)).toMatchObject({
      name: "memories",
      dimension: 768,
      distance: "cosine",
      index: undefined,
    });
    const known = await suite.store.collections(undefined, 10);
    expect(known.map((one) => one.name)).toEqual(["memories"]);
    expect(await suite.store.collections("memories", 10)).toEqual([]);
    await expect(suite.store.collection("others")).rejects.toMatchObject({
      reason: "COLLECTION_NOT_FOUND",
      kind: "not_found",
    });
  });

  test("a tenant's row of collections is none of the platform's", async () => {
    await suite.postgres.query(
      `insert into collections (tenant, name, dimension, distance)
      values ('t', 'memories', 3, 'cosine'), ('t', 'others', 3, 'cosine')`,
    );
    const fresh = new PostgresDocumentStore(suite.postgres);
    expect((await fresh.collection(collection)).dimension).toBe(768);
    expect(await fresh.collections(undefined, 10)).toHaveLength(1);
    await expect(fresh.collection("others")).rejects.toMatchObject({ kind: "not_found" });
    await suite.postgres.query("delete from collections where tenant = 't'");
  });

  test("the first vector claims the collection for its model, and one of two wins", async () => {
    const tenant = newTenant();
    await suite.postgres.query("update collections set embedding_model = null");
    await write(tenant, newDocument("no vector, no claim"));
    expect((await suite.store.collection(collection)).embeddingModel).toBeUndefined();
    const models = ["model-x", "model-y", "model-z"];
    const outcomes = await Promise.allSettled(
      models.map((one) => {
        const documents = [newDocument(`by ${one}`, { id: one, vector: vectorOf(1) })];
        return suite.store.write(tenant, { collection, model: one, documents });
      }),
    );
    const won = models.filter((_, i) => outcomes[i]?.status === "fulfilled");
    expect(won).toHaveLength(1);
    for (const one of outcomes) {
      if (one.status === "rejected") expect(one.reason).toMatchObject({ reason: "MODEL_MISMATCH" });
    }
    expect((await suite.store.collection(collection)).embeddingModel).toBe(won[0]);
    expect(await idsOf(tenant)).toContain(won[0]);
    expect(await idsOf(tenant)).toHaveLength(2);
    await suite.postgres.query("update collections set embedding_model = $1", [model]);
    await new Promise((resolve) => setTimeout(resolve, 2_100));
  });

  test("refuses a model that is not the collection's, and writes nothing", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("a", { id: "a", vector: vectorOf(1) }));
    const documents = [newDocument("b", { vector: vectorOf(2) })];
    const other = { collection, model: "model-b", documents };
    await expect(suite.store.write(tenant, other)).rejects.toMatchObject({
      kind: "failed_precondition",
      reason: "MODEL_MISMATCH",
      facts: { expected: model, actual: "model-b" },
    });
    expect(await idsOf(tenant)).toEqual(["a"]);
  });

  test("updates the document of the same id and keeps its time of origin", async () => {
    const tenant = newTenant();
    const createTime = parseInstant("2001-02-03T04:05:06.000007Z");
    await write(tenant, newDocument("old", { id: "a", createTime, agentId: "x" }));
    const again = newDocument("new", { id: "a", memoryType: "agent" });
    expect(await write(tenant, again)).toEqual([{ outcome: "updated", id: "a" }]);
    expect(await read(tenant, "a")).toMatchObject({
      content: "new",
      memoryType: "agent",
      agentId: undefined,
      createTime,
    });
    expect(await idsOf(tenant)).toEqual(["a"]);
  });

  test("a tenant sees and touches its own documents only", async () => {
    const [mine, theirs] = [newTenant(), newTenant()];
    const vector = vectorOf(1);
    await write(mine, newDocument("my secret", { id: "a", vector }));
    await write(theirs, newDocument("their secret", { id: "a", vector }));
    expect((await read(mine, "a")).content).toBe("my secret");
    expect(await suite.store.count(mine, collection, undefined)).toBe(1n);
    for (const by of [
      { mode: "vector", vector },
      { mode: "text", text: "secret" },
      { mode: "hybrid", vector, text: "secret" },
    ] as const) {
      const hits = await suite.store.search(mine, collection, { ...unbound, ...by });
      expect(hits.map((one) => one.document.content)).toEqual(["my secret"]);
    }
    expect(await suite.store.delete(mine, collection, { by: "all" })).toBe(1n);
    expect(await idsOf(theirs)).toEqual(["a"]);
  });

  test("counts and deletes by filter, by ids, and all", async () => {
    const tenant = newTenant();
    await write(
      tenant,
      newDocument("1", { id: "1", repoId: "r" }),
      newDocument("2", { id: "2", repoId: "r" }),
      newDocument("3", { id: "3" }),
      newDocument("4", { id: "4" }),
    );
    const filter = {
      node: "condition",
      condition: { on: "text", field: "repo_id", test: { kind: "equals", value: "r" } },
    } as const;
    const remove = suite.store.delete.bind(suite.store, tenant, collection);
    expect(await suite.store.count(tenant, collection, filter)).toBe(2n);
    expect(await remove({ by: "filter", filter })).toBe(2n);
    expect(await remove({ by: "filter", filter })).toBe(0n);
    expect(await remove({ by: "ids", ids: ["3", "3"] })).toBe(1n);
    expect(await remove({ by: "all" })).toBe(1n);
    expect(await idsOf(tenant)).toEqual([]);
  });

  test("an aborted call ends with the reason of its signal, and leaves nothing", async () => {
    const tenant = newTenant();
    const reason = new Error("enough");
    const aborted = AbortSignal.abort(reason);
    const document = newDocument("never", { id: "never" });
    await expect(suite.store.write(tenant, writeOf(document), aborted)).rejects.toBe(reason);
    await expect(suite.store.count(tenant, collection, undefined, aborted)).rejects.toBe(reason);
    const later = new AbortController();
    const writing = suite.store.write(
      tenant,
      writeOf(
        ...Array.from({ length: 300 }, (_, i) =>
          newDocument(`never ${i}`, { vector: vectorOf(i) }),
        ),
      ),
      later.signal,
    );
    setTimeout(() => later.abort(reason), 5);
    await expect(writing).rejects.toBe(reason);
    expect(await idsOf(tenant)).toEqual([]);
  });
});
