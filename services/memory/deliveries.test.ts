import { describe, expect, it } from "vitest";
import { silentLogger } from "../../shared/logging.ts";
import { Deliveries } from "./deliveries.ts";
import { insightsOf } from "./insight-memory.ts";
import type { NewMemory } from "./memory.ts";
import type { OutboxItem, OutboxStore } from "./outbox-store.ts";
import type { Bridge } from "./ports.ts";

const memory: NewMemory = {
  id: "m",
  content: "★ Insight ─────\nUse binary unnest for batches.\n─────\n",
  memoryType: "agent",
  sourceSystem: "mahavishnu",
  agentId: "a",
  workflowId: "",
  repoId: "",
  metadata: {},
  createTime: undefined,
  expireTime: undefined,
  dedupScope: "",
};
const insights = insightsOf(memory);
const items = insights.map(
  ({ delivery }): OutboxItem => ({
    kind: "insight",
    tenant: "t",
    id: "o1",
    attempts: 1,
    ageMs: 0,
    insight: delivery,
  }),
);
const call = { tenant: "t", signal: new AbortController().signal, deadline: undefined };
const broken = async () => {
  throw new Error("the database broke");
};

describe("handing over at once", () => {
  it.each(["takeInsights", "putBack", "waitingInsights"] as const)(
    "fails no store that is durable when %s fails",
    async (method) => {
      const store = {
        takeInsights: async () => items,
        putBack: async () => {},
        waitingInsights: async () => new Set(),
        [method]: broken,
      } as unknown as OutboxStore;
      const bridge = { storeInsight: async () => ({ written: false }) } as unknown as Bridge;
      const deliveries = new Deliveries({
        store,
        bridge,
        leaseMs: 1_000,
        sharing: true,
        logger: silentLogger(),
      });
      expect(await deliveries.deliverNow(call, insights)).toMatchObject([
        { deliveryState: "queued" },
      ]);
    },
  );
});

describe("what the bridge holds in its own queue", () => {
  it("is its to deliver, and told as queued", async () => {
    const removed: string[] = [];
    const store = {
      takeInsights: async () => items,
      putBack: broken,
      waitingInsights: async () => new Set(),
      remove: async (done: readonly OutboxItem[]) => {
        removed.push(...done.map(({ id }) => id));
      },
    } as unknown as OutboxStore;
    const bridge = { storeInsight: async () => ({ written: false }) } as unknown as Bridge;
    const parts = { store, bridge, leaseMs: 1_000, sharing: true, logger: silentLogger() };
    const told = await new Deliveries(parts).deliverNow(call, insights);
    expect(told).toMatchObject([{ deliveryState: "queued" }]);
    expect(removed).toEqual(["o1"]);
  });
});
