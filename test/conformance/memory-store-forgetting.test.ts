import { describe, expect, it } from "vitest";
import { workflowMemoryId } from "../../services/memory/content-identity.ts";
import { describeEachStore } from "../harness/postgres.ts";
import {
  execution,
  insight,
  key,
  longMs,
  MemoryStoreSuite,
  memory,
  operation,
  other,
  tenant,
  turn,
} from "./memory-store-suite.ts";

describeEachStore("memory store", (_kind, database) => {
  const suite = new MemoryStoreSuite(database);
  const { takeAll, waiting, makeDue } = suite;

  describe("forgetting", () => {
    it("removes turns, executions and what waits, of this tenant alone", async () => {
      const spoken = turn({ memoryId: "m1" });
      for (const who of [tenant, other]) {
        const begun = operation({ turnId: spoken.id, insights: [insight("i1")] });
        await suite.store.begin(who, begun, { turn: spoken, graceMs: 0 });
        await suite.store.finish(who, begun, {
          subject: "m1",
          deduplicated: false,
          withoutVector: [],
        });
        await suite.store.record(who, execution(), 0);
      }
      const ids = ["m1", "i1", workflowMemoryId("wf-1")];
      expect(await suite.store.forget(tenant, ids, 0)).toBe(2);
      expect(await suite.store.turn(tenant, spoken.id)).toBeUndefined();
      expect(await suite.store.workflow(tenant, "wf-1")).toBeUndefined();
      expect(await suite.store.waitingInsights(tenant, ["i1"])).toEqual(new Set());
      expect(await suite.store.turn(other, spoken.id)).toBeDefined();
      expect(await suite.store.workflow(other, "wf-1")).toBeDefined();
      expect(await suite.store.waitingInsights(other, ["i1"])).toEqual(new Set(["i1"]));
    });

    it("leaves a mark until the document is gone, and longer where it may come back", async () => {
      await suite.store.addEmbeddings(tenant, [{ memoryId: "m2", dedupScope: "" }], 0);
      await suite.store.forget(tenant, ["m1", "m2"], longMs);
      expect(await waiting()).toEqual({ deletion: 2 });
      expect(await takeAll("deletion")).toEqual([]);
      await suite.store.deleted(tenant, ["m1", "m2"]);
      await makeDue();
      expect(await takeAll("deletion")).toMatchObject([{ memoryId: "m2" }]);
    });

    it("takes documents out of operations that wait", async () => {
      const begun = operation({ documents: [memory("m1"), memory("m2")] });
      await suite.store.begin(tenant, begun, { graceMs: 0 });
      await suite.store.forget(tenant, ["m1"], 0);
      const [item] = await takeAll("operation");
      expect(item?.kind === "operation" && item.operation.documents).toEqual([memory("m2")]);
    });

    it("tells operations how many of the caller's documents are left, and ends empty ones", async () => {
      const request = key("r1");
      const documents = [memory("m1"), memory("m2"), memory("i1"), memory("i2")];
      const insights = [insight("i1"), insight("i2")];
      const begun = operation({ documents, mainCount: 2, insights, request });
      await suite.store.begin(tenant, begun, { request, graceMs: longMs });
      await suite.store.forget(tenant, ["m1", "i2"], 0);
      const left = { documents: [memory("m2"), memory("i1")], insights: [insight("i1")] };
      expect(await suite.store.openOperation(tenant, request)).toEqual({
        ...begun,
        ...left,
        mainCount: 1,
      });
      await suite.store.forget(tenant, ["m2"], 0);
      const rest = await suite.store.openOperation(tenant, request);
      expect(rest).toMatchObject({ documents: [memory("i1")], mainCount: 0 });
      await suite.store.forget(tenant, ["i1"], 0);
      expect(await suite.store.openOperation(tenant, request)).toBeUndefined();
    });

    it("leaves of the request id of a deleted memory that it was used", async () => {
      const request = key("r1");
      const begun = operation({ documents: [memory("m1"), memory("i1")], request });
      await suite.store.begin(tenant, begun, { request, graceMs: longMs });
      await suite.store.forget(tenant, ["m1"], 0);
      const rest = await suite.store.openOperation(tenant, request);
      if (rest === undefined) throw new Error("the insight is left");
      const end = { subject: undefined, deduplicated: false, withoutVector: [] };
      expect(await suite.store.finish(tenant, rest, end)).toBe(true);
      expect(await suite.store.knownRequest(tenant, request)).toMatchObject({
        subject: "",
        payloadHash: "",
      });
    });

    it("is undone for an id that is given anew", async () => {
      await suite.store.forget(tenant, ["m1", "m2"], 0);
      await suite.store.unmark(tenant, ["m1"]);
      expect(await takeAll("deletion")).toMatchObject([{ memoryId: "m2" }]);
      const begun = operation({ documents: [memory("m3"), memory("m2")] });
      await suite.store.begin(tenant, begun, { graceMs: longMs });
      await makeDue();
      expect(await takeAll("deletion")).toEqual([]);
    });
  });
});
