import { describe, expect, it } from "vitest";
import { describeEachStore } from "../harness/postgres.ts";
import {
  insight,
  longMs,
  MemoryStoreSuite,
  operation,
  other,
  tenant,
} from "./memory-store-suite.ts";

describeEachStore("memory store", (_kind, database) => {
  const suite = new MemoryStoreSuite(database);
  const { takeAll, waiting, makeDue } = suite;

  describe("the outbox", () => {
    const pending = (memoryId: string) => ({ memoryId, dedupScope: `scope of ${memoryId}` });

    it("gives each item to one taker, and again when the lease is over", async () => {
      await suite.store.addEmbeddings(tenant, [pending("a"), pending("b")], 0);
      await suite.store.addEmbeddings(other, [pending("a")], 0);
      const taken = await Promise.all([takeAll("embedding"), takeAll("embedding")]);
      expect(taken.flat()).toHaveLength(3);
      expect(taken.flat()).toContainEqual(
        expect.objectContaining({ tenant, kind: "embedding", ...pending("b"), attempts: 1 }),
      );
      expect(await takeAll("embedding")).toEqual([]);
      await makeDue();
      expect(await takeAll("embedding")).toMatchObject([
        { attempts: 2 },
        { attempts: 2 },
        { attempts: 2 },
      ]);
    });

    it("holds a document once, with what was said of it last", async () => {
      await suite.store.addEmbeddings(tenant, [pending("a"), pending("a")], longMs);
      expect(await takeAll("embedding")).toEqual([]);
      await suite.store.addEmbeddings(tenant, [{ memoryId: "a", dedupScope: "new" }], 0);
      expect(await takeAll("embedding")).toMatchObject([{ memoryId: "a", dedupScope: "new" }]);
    });

    it("puts back and removes what is named, of the right tenant", async () => {
      await suite.store.addEmbeddings(tenant, [pending("a"), pending("b")], 0);
      await suite.store.addEmbeddings(other, [pending("a")], 0);
      const items = await takeAll("embedding");
      await suite.store.putBack(items.slice(0, 1), 0);
      expect(await takeAll("embedding")).toMatchObject([{ id: items[0]?.id }]);
      await suite.store.remove(items.filter((item) => item.tenant === tenant));
      await makeDue();
      expect(await takeAll("embedding")).toMatchObject([{ tenant: other }]);
      await suite.store.removeEmbeddings(other, ["a"]);
      expect(await waiting()).toEqual({});
    });

    it("gives the insights of a call at once, due or not, and tells which still wait", async () => {
      const begun = operation({ insights: [insight("i1"), insight("i2")] });
      await suite.store.begin(tenant, begun, { graceMs: longMs });
      await suite.store.finish(tenant, begun, {
        subject: "m",
        deduplicated: false,
        withoutVector: [],
      });
      expect(await suite.store.takeInsights(tenant, ["i1"], longMs)).toMatchObject([
        { kind: "insight", insight: insight("i1") },
      ]);
      const again = await suite.store.takeInsights(tenant, ["i1"], longMs);
      expect(again).toMatchObject([{ attempts: 2 }]);
      await suite.store.remove(again);
      expect(await suite.store.waitingInsights(tenant, ["i1", "i2"])).toEqual(new Set(["i2"]));
      expect(await suite.store.waitingInsights(other, ["i1", "i2"])).toEqual(new Set());
    });
  });
});
