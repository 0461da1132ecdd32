import { getEventListeners } from "node:events";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { DomainError } from "../../../shared/errors.ts";
import {
  type BulkStoreRequest,
  BulkStoreRequestSchema,
} from "../../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { bulkStore } from "./bulk-store.ts";

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
