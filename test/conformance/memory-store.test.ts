import { describe, expect, it } from "vitest";
import type { Operation, RequestKey } from "../../services/memory/operation-store.ts";
import { describeEachStore } from "../harness/postgres.ts";
import {
  insight,
  key,
  listAll,
  longMs,
  MemoryStoreSuite,
  operation,
  other,
  tenant,
  turn,
} from "./memory-store-suite.ts";

describeEachStore("memory store", (_kind, database) => {
  const suite = new MemoryStoreSuite(database);
  const { takeAll, waiting } = suite;
  const requestOf = async (who: string, { method, requestId }: RequestKey) => {
    const { rows } = await suite.postgres.query<{ subject: string; deduplicated: boolean }>(
      `select subject, deduplicated from request_ids
       where tenant = $1 and method = $2 and request_id = $3`,
      [who, method, requestId],
    );
    return rows[0];
  };

  describe("an operation", () => {
    it("records turn and work at once, and gives the work back as it was", async () => {
      const spoken = turn();
      const begun = operation({ turnId: spoken.id, insights: [insight("i1")] });
      const result = await suite.store.begin(tenant, begun, { turn: spoken, graceMs: 0 });
      expect(result).toMatchObject({
        turn: { id: spoken.id, sequence: 1n, metadata: { mood: "calm" }, role: "user" },
      });
      const [item] = await takeAll("operation");
      expect(item).toMatchObject({ tenant, id: begun.id, attempts: 1 });
      expect(item?.kind === "operation" && item.operation).toEqual(begun);
    });

    it("is left alone for its grace", async () => {
      await suite.store.begin(tenant, operation(), { graceMs: longMs });
      expect(await takeAll("operation")).toEqual([]);
    });

    it("links, queues and ends in one step", async () => {
      const spoken = turn();
      const begun = operation({ turnId: spoken.id, insights: [insight("i1"), insight("i2")] });
      await suite.store.begin(tenant, begun, { turn: spoken, graceMs: longMs });
      const end = {
        subject: "existing",
        deduplicated: true,
        withoutVector: [{ memoryId: "existing", dedupScope: "scope" }],
      };
      expect(await suite.store.finish(tenant, begun, end)).toBe(true);
      expect(await suite.store.turn(tenant, spoken.id)).toMatchObject({ memoryId: "existing" });
      expect(await waiting()).toEqual({ insight: 2, embedding: 1 });
      expect(await suite.store.finish(tenant, begun, end)).toBe(false);
      expect(await waiting()).toEqual({ insight: 2, embedding: 1 });
    });

    it("ends together with others, each by itself", async () => {
      const begun = Array.from({ length: 20 }, () => operation());
      for (const one of begun) await suite.store.begin(tenant, one, { graceMs: longMs });
      const end = (one: Operation, who = tenant) => {
        const [document] = one.documents;
        const ended = { subject: document?.id, deduplicated: false, withoutVector: [] };
        return suite.store.finish(who, one, ended);
      };
      const [first, second, ...rest] = begun as [Operation, Operation, ...Operation[]];
      const gone = new AbortController();
      const left = suite.store.finish(
        tenant,
        second,
        { subject: second.documents[0]?.id, deduplicated: false, withoutVector: [] },
        gone.signal,
      );
      gone.abort();
      const ends = [first, ...rest, operation(), first].map((one) => end(one));
      await expect(left).rejects.toThrow();
      // Of another tenant there is no such operation.
      expect(await end(first, "other")).toBe(false);
      expect(await Promise.all(ends)).toEqual([
        ...Array.from({ length: 19 }, () => true),
        false,
        expect.any(Boolean),
      ]);
      expect(await waiting()).toEqual({});
      expect(await end(first)).toBe(false);
    });

    it("ends soon where nobody waits", async () => {
      const begun = [operation(), operation(), operation()];
      for (const one of begun) await suite.store.begin(tenant, one, { graceMs: longMs });
      const ends = [...begun, operation()].map((one) => suite.store.endSoon(tenant, one));
      expect(await Promise.all(ends)).toEqual([true, true, true, false]);
      expect(await waiting()).toEqual({});
    });

    it("leaves nothing when it is abandoned, and cannot be abandoned after its end", async () => {
      const spoken = turn();
      const request = key("r1");
      const begun = operation({ turnId: spoken.id, request });
      await suite.store.begin(tenant, begun, { turn: spoken, request, graceMs: longMs });
      const late = [{ memoryId: "late", dedupScope: "scope" }];
      expect(await suite.store.abandon(tenant, begun, late)).toBe(true);
      expect(await suite.store.turn(tenant, spoken.id)).toBeUndefined();
      expect(await requestOf(tenant, request)).toBeUndefined();
      expect(await takeAll("embedding")).toMatchObject(late);
      expect(await waiting()).toEqual({ embedding: 1 });

      const second = operation({ turnId: spoken.id });
      await suite.store.begin(tenant, second, { turn: spoken, graceMs: longMs });
      const end = { subject: "m", deduplicated: false, withoutVector: [] };
      await suite.store.finish(tenant, second, end);
      expect(await suite.store.abandon(tenant, second, late)).toBe(false);
      expect(await suite.store.turn(tenant, spoken.id)).toBeDefined();
    });

    it("queues an insight that waits already once", async () => {
      for (const begun of [operation(), operation()]) {
        const telling = { ...begun, insights: [insight("same")] };
        await suite.store.begin(tenant, telling, { graceMs: longMs });
        const end = { subject: "m", deduplicated: false, withoutVector: [] };
        await suite.store.finish(tenant, telling, end);
      }
      expect(await waiting()).toEqual({ insight: 1 });
    });

    it("may be begun twice, as after a connection was lost in its commit", async () => {
      const spoken = turn();
      const begun = operation({ turnId: spoken.id });
      const first = await suite.store.begin(tenant, begun, { turn: spoken, graceMs: longMs });
      expect(await suite.store.begin(tenant, begun, { turn: spoken, graceMs: longMs })).toEqual(
        first,
      );
      expect(
        await suite.store.listTurns(tenant, { ...listAll, sessionId: "session" }),
      ).toHaveLength(1);
    });
  });

  describe("a request id", () => {
    it("answers a repetition and records nothing anew", async () => {
      const spoken = turn();
      const request = key("r1");
      const begun = operation({ turnId: spoken.id, request });
      await suite.store.begin(tenant, begun, { turn: spoken, request, graceMs: longMs });
      const again = turn();
      const repeated = operation({ turnId: again.id, request });
      expect(
        await suite.store.begin(tenant, repeated, { turn: again, request, graceMs: 0 }),
      ).toEqual({
        known: { payloadHash: "hash", subject: spoken.id, deduplicated: false },
      });
      expect(await suite.store.turn(tenant, again.id)).toBeUndefined();
      expect(await suite.store.openOperation(tenant, request)).toMatchObject({ id: begun.id });
      const end = { subject: "m", deduplicated: true, withoutVector: [] };
      await suite.store.finish(tenant, begun, end);
      expect(await suite.store.openOperation(tenant, request)).toBeUndefined();
      expect(await requestOf(tenant, request)).toMatchObject({
        subject: spoken.id,
        deduplicated: true,
      });
    });

    it("belongs to its tenant and method", async () => {
      const request = key("r1");
      await suite.store.begin(tenant, operation({ request }), { request, graceMs: longMs });
      expect(await requestOf(other, request)).toBeUndefined();
      const elsewhere = { ...request, method: "StoreMemory" };
      expect(await requestOf(tenant, elsewhere)).toBeUndefined();
    });

    it("lets one of many win that come at the same time", async () => {
      const request = key("r1");
      const results = await Promise.all(
        Array.from({ length: 8 }, () =>
          suite.store.begin(tenant, operation({ request }), { request, graceMs: longMs }),
        ),
      );
      expect(results.filter((result) => "known" in result)).toHaveLength(7);
      expect(await waiting()).toEqual({ operation: 1 });
    });

    it("is forgotten after 7 days", async () => {
      const request = key("r1");
      await suite.store.begin(tenant, operation({ request }), { request, graceMs: longMs });
      await suite.postgres.query("update request_ids set created_at = now() - interval '8 days'");
      const anew = await suite.store.begin(tenant, operation({ request }), {
        request: { ...request, payloadHash: "new" },
        graceMs: longMs,
      });
      expect(anew).toEqual({ turn: undefined });
      const later = await suite.store.begin(tenant, operation({ request }), {
        request,
        graceMs: 0,
      });
      expect(later).toMatchObject({ known: { payloadHash: "new" } });
      await suite.postgres.query("update request_ids set created_at = now() - interval '8 days'");
      expect(await suite.store.purgeRequests()).toBe(1);
    });
  });
});
