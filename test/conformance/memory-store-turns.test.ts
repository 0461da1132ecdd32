import { beforeEach, describe, expect, it } from "vitest";
import type { Turn } from "../../services/memory/memory.ts";
import type { NewTurn } from "../../services/memory/operation-store.ts";
import type { MemoryStore } from "../../services/memory/store.ts";
import { describeEachStore } from "../harness/postgres.ts";
import {
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

  describe("turns", () => {
    it("get gapless places in their session, however many come at once", async () => {
      await Promise.all(
        Array.from({ length: 20 }, () => {
          const spoken = turn();
          return suite.store.begin(tenant, operation({ turnId: spoken.id }), {
            turn: spoken,
            graceMs: longMs,
          });
        }),
      );
      const turns = await suite.store.listTurns(tenant, { ...listAll, sessionId: "session" });
      expect(turns.map(({ sequence }) => sequence)).toEqual(
        Array.from({ length: 20 }, (_, index) => BigInt(index + 1)),
      );
    });

    it("are listed by session, agent and place, within their tenant", async () => {
      for (const [agentId, sessionId] of [
        ["a", "s"],
        ["b", "s"],
        ["a", "s2"],
        ["a", "s"],
      ] as const) {
        const spoken = turn({ agentId, sessionId });
        await suite.store.begin(tenant, operation({ turnId: spoken.id }), {
          turn: spoken,
          graceMs: 0,
        });
      }
      const list = (query: Partial<Parameters<MemoryStore["listTurns"]>[1]>, who = tenant) =>
        suite.store
          .listTurns(who, { ...listAll, sessionId: "s", ...query })
          .then((turns) => turns.map(({ agentId, sequence }) => `${agentId}${sequence}`));
      expect(await list({})).toEqual(["a1", "b2", "a3"]);
      expect(await list({ agentId: "a" })).toEqual(["a1", "a3"]);
      expect(await list({ afterSequence: 1n, limit: 1 })).toEqual(["b2"]);
      expect(await list({}, other)).toEqual([]);
    });
  });

  describe("the turns around a turn", () => {
    const say = async (tenant: string, parts: Partial<NewTurn>) => {
      const spoken = turn(parts);
      await suite.store.begin(tenant, operation({ turnId: spoken.id }), {
        turn: spoken,
        graceMs: longMs,
      });
    };
    beforeEach(async () => {
      // The third one's place is given, and then taken back.
      for (const name of ["a", "b", "gone", "c", "d"]) {
        await say("t1", { memoryId: name, content: `says ${name}` });
        await say("t1", { memoryId: `other ${name}`, sessionId: "other" });
        await say("t2", { memoryId: name });
      }
      await suite.postgres.query(
        "delete from agent_conversations where tenant = 't1' and memory_id = 'gone'",
      );
    });

    it("are those of its session that are next to it", async () => {
      const found = await suite.store.neighbours("t1", ["a", "b", "d", "nobody's", "other c"]);
      expect(new Map([...found].sort())).toEqual(
        new Map([
          ["a", { before: undefined, after: "b" }],
          ["b", { before: "a", after: "c" }],
          ["d", { before: "c", after: undefined }],
          ["other c", { before: "other gone", after: "other d" }],
        ]),
      );
    });

    it("are looked for only where the tenant has turns", async () => {
      expect(await suite.store.hasTurns("t1")).toBe(true);
      expect(await suite.store.hasTurns("somebody else")).toBe(false);
    });

    it("are of the latest turn where several have one memory", async () => {
      await say("t1", { memoryId: "b" });
      const found = await suite.store.neighbours("t1", ["b"]);
      expect(found.get("b")).toEqual({ before: "d", after: undefined });
      expect((await suite.store.contexts("t1", ["b"], 1, 1_000)).get("b")?.turn.sequence).toBe(6n);
    });

    it("are told with it in order", async () => {
      const contexts = await suite.store.contexts("t1", ["c", "nobody's", "a"], 2, 10_000);
      const told = (id: string) => {
        const context = contexts.get(id);
        const names = (turns: readonly Turn[] = []) => turns.map(({ memoryId }) => memoryId);
        return [names(context?.before), context?.turn.memoryId, names(context?.after)];
      };
      expect(told("c")).toEqual([["a", "b"], "c", ["d"]]);
      expect(told("a")).toEqual([[], "a", ["b", "c"]]);
      expect(contexts.size).toBe(2);
      expect(contexts.get("c")?.turn).toMatchObject({
        content: "says c",
        role: "user",
        metadata: { mood: "calm" },
      });
    });

    it("are left out where they would be too much, from the first that does not fit", async () => {
      await say("t1", { memoryId: "large", content: "x".repeat(5_000) });
      const ids = async (...asked: string[]) => [
        ...(await suite.store.contexts("t1", asked, 1, 1_000)).keys(),
      ];
      expect(await ids("a", "d", "b")).toEqual(["a"]);
      expect(await ids("a", "b")).toEqual(["a", "b"]);
    });
  });

  it("keeps when a turn was said, unless that is yet to come", async () => {
    const said = async (createTime: bigint) => {
      const spoken = turn({ createTime });
      const begun = await suite.store.begin("t1", operation({ turnId: spoken.id }), {
        turn: spoken,
        graceMs: longMs,
      });
      return "turn" in begun ? begun.turn?.createTime : undefined;
    };
    expect(await said(1_700_000_000_000_001n)).toBe(1_700_000_000_000_001n);
    const inAnHour = BigInt(Date.now() + 3_600_000) * 1_000n;
    expect(await said(inAnHour)).toBeLessThan(inAnHour);
  });
});
