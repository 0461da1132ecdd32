import { expect, test, vi } from "vitest";
import { instantNow } from "../../services/vector-store/instant.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { newDocument, vectorOf, writeOf } from "./document-store-samples.ts";
import { DocumentStoreSuite } from "./document-store-suite.ts";

describeEachStore("documents whose ids are said to be new", (_, database) => {
  const suite = new DocumentStoreSuite(database);
  const { newTenant, write, read } = suite;
  const writeNew = (tenant: string, ...documents: ReturnType<typeof newDocument>[]) =>
    suite.store.write(tenant, { ...writeOf(...documents), idsAreNew: true });

  test("are stored as others are, a lone one without a transaction", async () => {
    const tenant = newTenant();
    // The first vector gives the collection its model.
    await writeNew(tenant, newDocument("first", { id: "first", vector: vectorOf(1) }));
    const transaction = vi.spyOn(suite.postgres, "transaction");
    const given = { id: "lone", vector: vectorOf(2), agentId: "a", metadata: '{"n": 1}' };
    expect(await writeNew(tenant, newDocument("lone", given))).toEqual([
      { outcome: "created", id: "lone" },
    ]);
    expect(transaction).not.toHaveBeenCalled();
    const several = [newDocument("b", { id: "b" }), newDocument("c", { id: "c" })];
    expect(await writeNew(tenant, ...several)).toMatchObject([
      { outcome: "created" },
      { outcome: "created" },
    ]);
    expect(transaction).toHaveBeenCalledOnce();
    transaction.mockRestore();
    const kept = await read(tenant, "lone");
    expect(kept).toMatchObject({ content: "lone", agentId: "a", metadata: { n: 1 } });
    expect([...(kept.vector ?? [])]).toEqual(vectorOf(2));
  });

  test("replace what is there under their ids after all", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("before", { id: "x", vector: vectorOf(1) }));
    expect(await writeNew(tenant, newDocument("after", { id: "x" }))).toEqual([
      { outcome: "updated", id: "x" },
    ]);
    expect(await read(tenant, "x")).toMatchObject({ content: "after", vector: undefined });
  });

  test("give a document with their content what it lacks", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("same", { id: "holder" }));
    const twin = newDocument("same", { id: "twin", vector: vectorOf(3) });
    expect(await writeNew(tenant, twin)).toEqual([{ outcome: "deduplicated", id: "holder" }]);
    expect([...((await read(tenant, "holder")).vector ?? [])]).toEqual(vectorOf(3));
  });

  test("take the place of one that has expired", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("same", { id: "old", expireTime: instantNow() + 100_000n }));
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(await writeNew(tenant, newDocument("same", { id: "new" }))).toEqual([
      { outcome: "created", id: "new" },
    ]);
    expect(await suite.idsOf(tenant)).toEqual(["new"]);
  });

  test("come with their passages", async () => {
    const tenant = newTenant();
    const passages = [{ vector: vectorOf(5), range: { start: 0, end: 4 } }];
    const long = newDocument("long text", { id: "long", vector: vectorOf(4), passages });
    expect(await writeNew(tenant, long)).toEqual([{ outcome: "created", id: "long" }]);
    const hits = await suite.store.search(tenant, "memories", {
      mode: "vector",
      vector: vectorOf(5),
      filter: undefined,
      limit: 1,
      minScore: 0,
      model: undefined,
      includeVectors: false,
      maxBytes: 1_000_000,
    });
    expect(hits).toMatchObject([{ passage: { start: 0, end: 4 } }]);
  });

  test("are stored once where two writers bring one content", async () => {
    const tenant = newTenant();
    const written = await Promise.all(
      ["a", "b", "c"].map((id) => writeNew(tenant, newDocument("same", { id }))),
    );
    const outcomes = written.flat().map(({ outcome }) => outcome);
    expect(outcomes.toSorted()).toEqual(["created", "deduplicated", "deduplicated"]);
    expect(new Set(written.flat().map(({ id }) => id)).size).toBe(1);
  });
});
