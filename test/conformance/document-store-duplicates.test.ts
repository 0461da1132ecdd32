import { expect, test } from "vitest";
import { instantNow } from "../../services/vector-store/instant.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, newDocument, vectorOf } from "./document-store-samples.ts";
import { DocumentStoreSuite, everything } from "./document-store-suite.ts";

describeEachStore("document store", (_, database) => {
  const suite = new DocumentStoreSuite(database);
  const { newTenant, write, read } = suite;

  test("ten replays of a corpus leave no duplicate, and name the document that stays", async () => {
    const tenant = newTenant();
    const contents = Array.from({ length: 30 }, (_, i) => `passage ${i}`);
    const first = await write(tenant, ...contents.map((one) => newDocument(one)));
    expect(first.map((one) => one.outcome)).toEqual(contents.map(() => "created"));
    for (let replay = 0; replay < 9; replay++) {
      const again = await write(tenant, ...contents.map((one) => newDocument(one)));
      expect(again).toEqual(first.map(({ id }) => ({ outcome: "deduplicated", id })));
    }
    expect(await suite.store.count(tenant, collection, undefined)).toBe(30n);
  });

  test("the same content is another document in another scope, type or tenant", async () => {
    const tenant = newTenant();
    const documents = [
      newDocument("same"),
      newDocument("same", { agentId: "a" }),
      newDocument("same", { repoId: "a" }),
      newDocument("same", { workflowId: "a" }),
      newDocument("same", { memoryType: "agent" }),
      newDocument("same", { dedupScope: "named:x" }),
      newDocument("same", { dedupScope: "named:owner:" }),
    ];
    const results = await write(tenant, ...documents);
    expect(results.map((one) => one.outcome)).toEqual(documents.map(() => "created"));
    expect(await write(newTenant(), newDocument("same"))).toMatchObject([{ outcome: "created" }]);
  });

  test("duplicates within one request become one document that has what any of them brings", async () => {
    const tenant = newTenant();
    const expireTime = instantNow() + 3_600_000_000n;
    const results = await write(
      tenant,
      newDocument("twice", { expireTime }),
      newDocument("once"),
      newDocument("twice", { vector: vectorOf(4), expireTime: expireTime + 1_000_000n }),
      newDocument("twice", { vector: vectorOf(5), expireTime: expireTime - 1n }),
    );
    expect(results.map((one) => one.outcome)).toEqual([
      "created",
      "created",
      "deduplicated",
      "deduplicated",
    ]);
    const id = results[0]?.id ?? "";
    expect([results[2]?.id, results[3]?.id]).toEqual([id, id]);
    const kept = await read(tenant, id);
    expect([...(kept.vector ?? [])]).toEqual(vectorOf(4));
    expect(kept.expireTime).toBe(expireTime + 1_000_000n);
  });

  test("a duplicate gives its vector to a holder that has none, and never replaces one", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("pending", { id: "a" }));
    const second = newDocument("pending", { vector: vectorOf(1) });
    expect(await write(tenant, second)).toEqual([{ outcome: "deduplicated", id: "a" }]);
    await write(tenant, newDocument("pending", { vector: vectorOf(2) }));
    expect([...((await read(tenant, "a")).vector ?? [])]).toEqual(vectorOf(1));
  });

  test("refuses an update to the content of another document, alone", async () => {
    const tenant = newTenant();
    await write(tenant, newDocument("one", { id: "a" }), newDocument("two", { id: "b" }));
    const results = await write(
      tenant,
      newDocument("two", { id: "a" }),
      newDocument("three", { id: "c" }),
    );
    expect(results).toEqual([
      { outcome: "duplicate_content", id: "b" },
      { outcome: "created", id: "c" },
    ]);
    expect((await read(tenant, "a")).content).toBe("one");
  });

  test("a content that one update gives up another takes, in one request", async () => {
    const tenant = newTenant();
    const names = ["a", "b", "c", "d"];
    await write(tenant, ...names.map((id, i) => newDocument(`content ${i}`, { id })));
    // Each takes its neighbour's content; the last one has a content of its own.
    const results = await write(
      tenant,
      newDocument("content 9", { id: "d" }),
      newDocument("content 3", { id: "c" }),
      newDocument("content 2", { id: "b" }),
      newDocument("content 1", { id: "a" }),
      newDocument("content 0"),
    );
    // Whatever order was taken, nothing that was said to be stored is missing.
    for (const [i, content] of [9, 3, 2, 1, 0].entries()) {
      const result = results[i];
      if (result === undefined || result.outcome === "duplicate_content") continue;
      expect((await read(tenant, result.id)).content).toBe(`content ${content}`);
    }
    expect(results[0]).toEqual({ outcome: "updated", id: "d" });
    expect(results[4]?.outcome).toMatch(/created|deduplicated/);
  });

  test("eight writers of one corpus, each in its own order, leave each content once", async () => {
    const tenant = newTenant();
    const contents = Array.from({ length: 120 }, (_, i) => `shared passage ${i}`);
    const stored = new Map<string, Set<string>>();
    const created = { count: 0 };
    const writer = async (number: number) => {
      const order = contents.map((one, i) => contents[(i * 7 + number * 13) % 120] ?? one);
      for (let at = 0; at < order.length; at += 30) {
        const part = order.slice(at, at + 30);
        const results = await write(
          tenant,
          ...part.map((content) => newDocument(content, { vector: vectorOf(number) })),
        );
        for (const [i, result] of results.entries()) {
          const ids = stored.get(part[i] ?? "") ?? new Set();
          stored.set(part[i] ?? "", ids.add(result.id));
          if (result.outcome === "created") created.count += 1;
        }
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, number) => writer(number)));
    expect(await suite.store.count(tenant, collection, undefined)).toBe(120n);
    expect(created.count).toBe(120);
    expect([...stored.values()].every((ids) => ids.size === 1)).toBe(true);
  });

  test("writers that update, swap and insert the same documents end without an error", async () => {
    const tenant = newTenant();
    const ids = ["a", "b", "c", "d", "e", "f"];
    const writer = async (number: number) => {
      for (let round = 0; round < 8; round++) {
        const order = number % 2 === 0 ? ids : [...ids].reverse();
        await write(
          tenant,
          ...order.map((id, i) => newDocument(`text ${(i + round * number) % 9}`, { id })),
          newDocument(`free ${round % 3}`),
        );
      }
    };
    await Promise.all([1, 2, 3, 4, 5, 6].map(writer));
    const { documents } = await suite.store.list(tenant, collection, everything);
    expect(new Set(documents.map((one) => one.contentHash)).size).toBe(documents.length);
  });
});
