import { getEventListeners } from "node:events";
import { create } from "@bufbuild/protobuf";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { DomainError } from "../../../shared/errors.ts";
import {
  type BulkStoreRequest,
  BulkStoreRequestSchema,
  MemoryService,
} from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { MemoryType } from "../../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { silentLogger } from "../../../shared/logging.ts";
import { notingMeter } from "../../../test/harness/noting-meter.ts";
import type { MemoryToStore } from "../memories.ts";
import { MemoryMetrics } from "../metrics.ts";
import { bulkStore, bulkStoreHandlers } from "./bulk-store.ts";

const request = (sequence: number) =>
  create(BulkStoreRequestSchema, { sequence: BigInt(sequence) });
const acknowledged = async ({ sequence }: BulkStoreRequest) => ({ sequence, results: [] });
const signal = new AbortController().signal;

describe("a stream of requests", () => {
  it("leaves one listener on the server's signal while it lasts, and none after", async () => {
    const stopping = new AbortController();
    const listeners = () => getEventListeners(stopping.signal, "abort").length;
    async function* requests() {
      for (let n = 0; n < 200; n++) yield request(n);
    }
    const seen: number[] = [];
    const options = { signal, stopping: stopping.signal, store: acknowledged };
    for await (const { sequence } of bulkStore(requests(), options)) {
      seen.push(Number(sequence));
      expect(listeners()).toBe(1);
    }
    expect(seen).toHaveLength(200);
    expect(listeners()).toBe(0);
  });

  it("leaves none when its caller goes away, and stops what is in flight", async () => {
    const stopping = new AbortController();
    const aborted: bigint[] = [];
    async function* requests() {
      yield request(1);
      yield request(2);
      await new Promise(() => {});
    }
    const stream = bulkStore(requests(), {
      signal,
      stopping: stopping.signal,
      async store(one, storing) {
        if (one.sequence === 1n) {
          // So that the second one is taken up before this one is told.
          await new Promise(setImmediate);
          return acknowledged(one);
        }
        storing.addEventListener("abort", () => aborted.push(one.sequence));
        return new Promise(() => {});
      },
    });
    await stream.next();
    await stream.return(undefined);
    expect(aborted).toEqual([2n]);
    expect(getEventListeners(stopping.signal, "abort")).toHaveLength(0);
  });

  it("is read no faster than its requests are stored: four are in flight", async () => {
    const most = 4;
    const count = 10;
    let pulled = 0;
    async function* requests() {
      while (pulled < count) {
        pulled += 1;
        yield request(pulled);
      }
    }
    const held: (() => void)[] = [];
    const stream = bulkStore(requests(), {
      signal,
      stopping: new AbortController().signal,
      async store(one) {
        await new Promise<void>((resolve) => held.push(resolve));
        return acknowledged(one);
      },
    });
    // Far more turns than an unbounded reader would need for all.
    const settle = async () => {
      for (let turn = 0; turn < 10 * count; turn++) await new Promise(setImmediate);
    };
    let next = stream.next();
    await settle();
    expect([pulled, held.length]).toEqual([most, most]);
    const seen: bigint[] = [];
    for (let stored = 1; stored <= count; stored++) {
      held.shift()?.();
      const { value } = await next;
      seen.push(value?.sequence as bigint);
      next = stream.next();
      await settle();
      expect(pulled).toBe(Math.min(count, most + stored));
      expect(held).toHaveLength(Math.min(most, count - stored));
    }
    expect(seen).toEqual(Array.from({ length: count }, (_, n) => BigInt(n + 1)));
    expect(await next).toEqual({ done: true, value: undefined });
  });

  it("ends with a reason and a delay when the server stops, after telling what it did", async () => {
    const stopping = new AbortController();
    let finish = () => {};
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let pulled = 0;
    async function* requests() {
      pulled += 1;
      yield request(1);
      await new Promise(() => {});
    }
    const stream = bulkStore(requests(), {
      signal,
      stopping: stopping.signal,
      async store(one) {
        await held;
        return acknowledged(one);
      },
    });
    const first = stream.next();
    await new Promise(setImmediate);
    stopping.abort();
    finish();
    expect(await first).toMatchObject({ value: { sequence: 1n } });
    const error = await stream.next().catch((one: unknown) => one);
    expect(error).toBeInstanceOf(DomainError);
    expect(error).toMatchObject({
      kind: "unavailable",
      reason: "DEPENDENCY_UNAVAILABLE",
      retryAfterMs: 1_000,
    });
    expect(pulled).toBe(1);
  });
});

describe("what is counted", () => {
  const memory = (memoryType: MemoryType, content: string) => ({ memoryType, content });
  const mixed = [
    memory(MemoryType.RAG, "a passage"),
    memory(MemoryType.WORKFLOW, ""),
    memory(MemoryType.UNSPECIFIED, "of no type"),
    memory(MemoryType.RAG, "refused"),
  ];

  async function send(
    storeMany: (memories: readonly MemoryToStore[]) => ("stored" | "refused")[],
    memories = mixed,
  ) {
    const { meter, noted } = notingMeter();
    const store = {
      storeMany: async (_: unknown, many: readonly MemoryToStore[]) =>
        storeMany(many).map((kind) =>
          kind === "stored"
            ? { kind, id: "m", deduplicated: false, embedding: "ready" as const }
            : { kind, error: new DomainError("unavailable", "DEPENDENCY_UNAVAILABLE", "away") },
        ),
    };
    const metrics = new MemoryMetrics(true, meter);
    const transport = createRouterTransport(({ service }) => {
      service(MemoryService, bulkStoreHandlers(store, metrics, silentLogger()));
    });
    const client = createClient(MemoryService, transport);
    async function* requests() {
      yield { sequence: 1n, memories };
    }
    for await (const answer of client.bulkStore(requests())) {
      const kinds = (noted as [string, unknown, object][]).map(([name, value, attributes]) =>
        name.endsWith(".count") ? [name, value, attributes] : [name, attributes],
      );
      return { noted: kinds, errors: answer.results.map(({ error }) => error?.field), answer };
    }
    throw new Error("a request has an acknowledgement");
  }

  it("every memory by its own type and outcome, those that are not valid too", async () => {
    const { noted, errors } = await send(() => ["stored", "refused"]);
    expect(noted).toEqual([
      ["memory.store.count", 1, { memory_type: "workflow", outcome: "failed" }],
      ["memory.store.count", 1, { memory_type: "unknown", outcome: "failed" }],
      ["memory.store.count", 1, { memory_type: "rag", outcome: "stored" }],
      ["memory.store.latency", { memory_type: "rag", outcome: "stored" }],
      ["memory.store.count", 1, { memory_type: "rag", outcome: "failed" }],
      ["memory.store.latency", { memory_type: "rag", outcome: "failed" }],
    ]);
    expect(errors).toEqual([
      undefined,
      "memories[1].content",
      "memories[2].memory_type",
      "memories[3]",
    ]);
  });

  it("all of a request as failed that fails as a whole", async () => {
    const { noted, answer } = await send(() => {
      throw new DomainError("unavailable", "DEPENDENCY_UNAVAILABLE", "away");
    });
    expect(answer.error).toBeDefined();
    expect(noted).toEqual([
      ["memory.store.count", 1, { memory_type: "workflow", outcome: "failed" }],
      ["memory.store.count", 1, { memory_type: "unknown", outcome: "failed" }],
      ["memory.store.count", 2, { memory_type: "rag", outcome: "failed" }],
      ["memory.store.latency", { memory_type: "rag", outcome: "failed" }],
    ]);
  });
});
