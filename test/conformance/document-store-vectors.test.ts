import { expect, test } from "vitest";
import { instantNow } from "../../services/vector-store/instant.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { contentHash } from "../../shared/hash.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, model, newDocument, vectorOf } from "./document-store-samples.ts";
import { DocumentStoreSuite, unbound } from "./document-store-suite.ts";

describeEachStore("document store", (_, database) => {
  const suite = new DocumentStoreSuite(database);
  const { newTenant, write, read } = suite;

  test("an update without a vector keeps it for the same content, and drops it for another", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("same", { id: "a", vector: vectorOf(3) }));
    await write(tenant, newDocument("same", { id: "a", metadata: '{"x":1}' }));
    expect((await read(tenant, "a")).vector).toHaveLength(768);
    await write(tenant, newDocument("other", { id: "a" }));
    expect((await read(tenant, "a")).vector).toBeUndefined();
  });

  test("vectors alone go into documents that are still as they were, and touch nothing else", async () => {
    const tenant = newTenant();
    const vectors = (...given: [id: string, content: string, seed: number][]) => ({
      collection,
      model,
      vectors: given.map(([id, content, seed]) => ({
        id,
        contentHash: contentHash(content),
        vector: vectorOf(seed),
      })),
    });
    const pending = newDocument("pending", { id: "a", agentId: "x", metadata: '{"n":1}' });
    const changed = newDocument("changed since", { id: "b", vector: vectorOf(1) });
    const expired = newDocument("gone", { id: "c", expireTime: instantNow() - 1n });
    await write(tenant, pending, changed, expired, newDocument("filled", { id: "d" }));
    await suite.store.writeVectors(tenant, vectors(["d", "filled", 2]));
    const theirs = newTenant();
    await write(theirs, newDocument("pending", { id: "a" }));
    const before = await read(tenant, "a");
    const outcomes = await suite.store.writeVectors(
      tenant,
      vectors(
        ["nobody", "x", 3],
        ["b", "as it was", 4],
        ["d", "filled", 5],
        ["c", "gone", 6],
        ["a", "pending", 7],
      ),
    );
    expect(outcomes).toEqual(["not_found", "content_changed", "updated", "not_found", "updated"]);
    const { vector, updateTime, ...rest } = await read(tenant, "a");
    expect([...(vector ?? [])]).toEqual(vectorOf(7));
    expect({ ...rest, vector: undefined, updateTime: before.updateTime }).toEqual(before);
    expect(updateTime).toBeGreaterThan(before.updateTime);
    expect([...((await read(tenant, "d")).vector ?? [])]).toEqual(vectorOf(5));
    expect([...((await read(tenant, "b")).vector ?? [])]).toEqual(vectorOf(1));
    expect((await read(theirs, "a")).vector).toBeUndefined();
    const other = { ...vectors(["a", "pending", 8]), model: "model-b" };
    await expect(suite.store.writeVectors(tenant, other)).rejects.toMatchObject({
      reason: "MODEL_MISMATCH",
    });
    expect([...((await read(tenant, "a")).vector ?? [])]).toEqual(vectorOf(7));
    const [found] = await suite.store.search(tenant, collection, {
      ...unbound,
      mode: "vector",
      vector: vectorOf(7),
    });
    expect(found).toMatchObject({ document: { id: "a" }, score: 1 });
  });

  test("a vector for a content that another writer replaces meanwhile is never stored", async () => {
    const tenant = newTenant();
    const ids = ["a", "b", "c", "d"];
    await write(tenant, ...ids.map((id) => newDocument(`first ${id}`, { id })));
    const vectors = [...ids].reverse().map((id) => {
      return { id, contentHash: contentHash(`first ${id}`), vector: vectorOf(1) };
    });
    const rewrite = ids.map((id) => newDocument(`second ${id}`, { id }));
    await Promise.all([
      suite.store.writeVectors(tenant, { collection, model, vectors }),
      write(tenant, ...rewrite),
      suite.store.writeVectors(tenant, { collection, model, vectors }),
    ]);
    for (const id of ids) {
      expect(await read(tenant, id)).toMatchObject({ content: `second ${id}`, vector: undefined });
    }
  });

  test("a vector that waits for another writer's commit is measured by what that wrote", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("first", { id: "a" }), newDocument("first b", { id: "b" }));
    const vectors = [
      { id: "a", contentHash: contentHash("first"), vector: vectorOf(1) },
      { id: "b", contentHash: contentHash("second b"), vector: vectorOf(2) },
    ];
    let writing: Promise<unknown> | undefined;
    await suite.postgres.transaction(async (tx) => {
      for (const [id, content] of [
        ["a", "second"],
        ["b", "second b"],
      ] as const) {
        await tx.query(
          "update memories set content = $3, content_hash = $4 where tenant = $1 and id = $2",
          [tenant, id, content, contentHash(content)],
        );
      }
      writing = suite.store.writeVectors(tenant, { collection, model, vectors });
      await new Promise((resolve) => setTimeout(resolve, 100));
    });
    expect(await writing).toEqual(["content_changed", "updated"]);
    expect((await read(tenant, "a")).vector).toBeUndefined();
    expect([...((await read(tenant, "b")).vector ?? [])]).toEqual(vectorOf(2));
  });

  test("vectors alone claim a collection that no model has", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("text", { id: "a" }));
    // Another store, since this one knows the collection's model for a while.
    const fresh = new PostgresDocumentStore(suite.postgres);
    await suite.postgres.query("update collections set embedding_model = null");
    const vectors = [{ id: "a", contentHash: contentHash("text"), vector: vectorOf(1) }];
    await fresh.writeVectors(tenant, { collection, model, vectors });
    expect((await fresh.collection(collection)).embeddingModel).toBe(model);
  });
});
