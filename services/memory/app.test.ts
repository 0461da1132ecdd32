import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { InsightDelivery } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { sleep } from "../../shared/lifecycle.ts";
import { reasonOf } from "../../shared/rpc/peer-errors.ts";
import { eventually } from "./testing/running-service.ts";
import {
  agentMemory,
  failure,
  lesson,
  ServiceSuite,
  telling,
  turnOf,
} from "./testing/service-suite.ts";

const suite = new ServiceSuite();

describe("switches", () => {
  it("refuse agent memory", async () => {
    await suite.start({ MAHAVISHNU_ENABLE_AGENT_MEMORY: "false" });
    for (const call of [
      suite.client.storeMemory(agentMemory("x")),
      suite.client.storeConversationTurn(turnOf("x")),
    ]) {
      const error = await failure(call);
      expect(error.code).toBe(Code.FailedPrecondition);
      expect(reasonOf(error)).toBe("SWITCHED_OFF");
    }
    await suite.client.storeMemory(agentMemory("x", { memoryType: MemoryType.RAG }));
  });

  it("keep insights here when sharing is off", async () => {
    await suite.start({ MAHAVISHNU_ENABLE_CROSS_SYSTEM_SHARING: "false" });
    const { insights } = await suite.client.storeConversationTurn(turnOf(telling));
    expect(insights).toMatchObject([{ content: lesson, delivery: InsightDelivery.UNSPECIFIED }]);
    expect(suite.peers.delivered.size).toBe(0);
    expect(await suite.waiting()).toBe(0);
    expect(suite.peers.vectorStore.size).toBe(2);
  });

  it("refuse everything", async () => {
    await suite.start({ MAHAVISHNU_MEMORY_ENABLED: "false" });
    expect(reasonOf(await failure(suite.client.getMemory({ id: "x" })))).toBe("SWITCHED_OFF");
  });
});

describe("readiness", () => {
  it("outlasts load that takes every connection for longer than a look waits", async () => {
    await using blocker = suite.database.open({ poolSize: 1 });
    let serving = true;
    const release = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const blocking = blocker.transaction(async (tx) => {
      await tx.query("lock table agent_conversations");
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    const waiting = Array.from({ length: 40 }, () => suite.listTurns());
    for (let look = 0; look < 60 && serving; look++) {
      await sleep(50);
      serving = await suite.service.serving();
    }
    release.resolve();
    await Promise.all([blocking, ...waiting]);
    expect(serving).toBe(true);
  });

  it("follows the store and not embedding or the bridge", async () => {
    suite.peers.moods.embedding = "down";
    suite.peers.moods.sessionBuddy = "down";
    expect(await suite.service.serving()).toBe(true);
    suite.peers.moods.vectorStore = "down";
    await eventually(async () => !(await suite.service.serving()));
    suite.peers.moods.vectorStore = "up";
    await eventually(() => suite.service.serving());
  });
});
