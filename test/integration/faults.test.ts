import { afterEach, describe, expect, it } from "vitest";
import { serviceEntries } from "../../deploy/local/services.ts";
import { sleep } from "../../shared/lifecycle.ts";
import { startTestPlatform, type TestPlatform } from "../harness/platform.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { type PlainMessage, StockClient } from "../harness/stock-client.ts";

let running: TestPlatform | undefined;

afterEach(async () => {
  await running?.[Symbol.asyncDispose]();
  running = undefined;
});

const open = (name: string) => {
  const entry = serviceEntries.find((one) => one.name === name);
  if (running === undefined || entry === undefined) throw new Error(name);
  return new StockClient(running.platform.address(name), entry.service);
};

const memoriesOf = (sequence: number, label: string) =>
  Array.from({ length: 20 }, (_, index) => ({
    content: `${label}: memory ${index} of request ${sequence}`,
    memory_type: "MEMORY_TYPE_AGENT",
    agent_id: "bulk",
  }));

/**
 * Sends requests until told to stop, one after the other's acknowledgement; a stream that breaks is
 * opened again. Returns the ids that were acknowledged.
 */
async function storeUntil(stopped: () => boolean, label: string): Promise<string[]> {
  const acknowledged: string[] = [];
  let sequence = 0;
  while (!stopped()) {
    using memory = open("memory");
    const stream = memory.bidi("BulkStore");
    const answers = stream[Symbol.asyncIterator]();
    try {
      while (!stopped()) {
        sequence += 1;
        stream.write({ sequence, memories: memoriesOf(sequence, label) });
        const { value, done } = await answers.next();
        if (done) break;
        for (const result of (value as { results: PlainMessage[] }).results) {
          if (result["error"] == null) acknowledged.push(String(result["id"]));
        }
      }
      stream.end();
    } catch {
      await sleep(50);
    } finally {
      stream.destroy();
    }
  }
  return acknowledged;
}

/** How many of the ids the store has, once it answers: a restarted database takes a moment. */
async function present(ids: readonly string[]): Promise<number> {
  using store = open("vector-store");
  const deadline = AbortSignal.timeout(60_000);
  let found = 0;
  for (let start = 0; start < ids.length; ) {
    try {
      const { documents } = await store.unary<{ documents: PlainMessage[] }>("GetDocuments", {
        ids: ids.slice(start, start + 500),
      });
      found += documents.length;
      start += 500;
    } catch (error) {
      if ((error as { code?: number }).code !== 14) throw error;
      await sleep(200, deadline);
    }
  }
  return found;
}

describeEachStore(
  "a process that is killed during a bulk store",
  (kind, database) => {
    it("costs no acknowledged memory, whichever it is", async () => {
      running = await startTestPlatform({
        // On PGlite the platform brings its own, which is among the victims.
        postgresUrl: kind === "postgres" ? database().url : undefined,
      });
      const { platform, events } = running;
      const victims = platform.processNames;
      for (const victim of victims) {
        let stop = false;
        const storing = storeUntil(() => stop, victim);
        await sleep(1_000);
        const before = platform.process(victim).pid;
        platform.process(victim).kill("SIGKILL");
        await sleep(500);
        for (const { name } of serviceEntries) await platform.untilServing(name, 60_000);
        await sleep(500);
        stop = true;
        const ids = [...new Set(await storing)];
        expect(platform.process(victim).pid, victim).not.toBe(before);
        expect(ids.length, victim).toBeGreaterThan(20);
        expect(await present(ids), victim).toBe(ids.length);
      }
      const restarted = events.map((event) => event.name);
      for (const victim of victims) expect(restarted).toContain(victim);
      await running[Symbol.asyncDispose]();
      running = undefined;
    }, 300_000);
  },
  { migrations: null },
);

describe("with session-buddy stopped", () => {
  it("UnifiedSearch answers from PostgreSQL within its deadline and says so", async () => {
    running = await startTestPlatform();
    using memory = open("memory");
    await memory.unary("StoreMemory", {
      memory: {
        content: "The build cache is on the second disk.",
        memory_type: "MEMORY_TYPE_AGENT",
      },
    });
    await running.platform.process("session-buddy").stop(5_000);
    const answer = await memory.unary<{ results: PlainMessage[]; source_reports: PlainMessage[] }>(
      "UnifiedSearch",
      { query: "where is the build cache?" },
      { timeoutMs: 2_000 },
    );
    expect(answer.results[0]).toMatchObject({ source: "SOURCE_POSTGRESQL" });
    expect(answer.source_reports).toMatchObject([
      { source: "SOURCE_POSTGRESQL", status: "SOURCE_STATUS_OK" },
      { source: "SOURCE_SESSION_BUDDY", status: "SOURCE_STATUS_FAILED" },
    ]);
  }, 120_000);

  it("an insight waits, and is delivered once when session-buddy is back", async () => {
    running = await startTestPlatform();
    const bridge = running.platform.process("session-buddy");
    await bridge.stop(5_000);
    using memory = open("memory");
    const lesson = "Keep insights in a durable outbox until they are delivered.";
    const stored = await memory.unary<{ insights: PlainMessage[] }>("StoreConversationTurn", {
      agent_id: "a",
      session_id: "s",
      role: "ROLE_ASSISTANT",
      content: `★ Insight ─────\n${lesson}\n─────`,
    });
    expect(stored.insights).toMatchObject([
      { content: lesson, delivery: "INSIGHT_DELIVERY_QUEUED" },
    ]);
    bridge.start();
    await running.platform.untilServing("session-buddy");
    using sessionBuddy = open("session-buddy");
    const deadline = AbortSignal.timeout(60_000);
    const delivered = async () => {
      const { hits } = await sessionBuddy.unary<{ hits: { record: PlainMessage }[] }>(
        "SearchReflections",
        { query: lesson },
      );
      return hits.filter(({ record }) => record["content"] === lesson).length;
    };
    while ((await delivered()) === 0) await sleep(250, deadline);
    expect(await delivered()).toBe(1);
  }, 120_000);
});
