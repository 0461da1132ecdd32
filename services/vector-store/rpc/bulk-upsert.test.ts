import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { MemoryType } from "../../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import {
  type BulkUpsertRequest,
  BulkUpsertRequestSchema,
} from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { drain, eventually, settled } from "../../../shared/rpc/testing/conditions.ts";
import type { WriteResult } from "../document.ts";
import type { DocumentStore, DocumentWrite } from "../store.ts";
import { bulkUpsert } from "./bulk-upsert.ts";

/** A store whose writes end when the test says so. */
class HeldStore {
  readonly held: { write: DocumentWrite; finish: () => void; fail: (error: Error) => void }[] = [];
  aborted = 0;

  readonly store = {
    collection: async () => ({
      name: "memories",
      dimension: 3,
      distance: "cosine",
      embeddingModel: "m",
      index: undefined,
      createTime: 0n,
    }),
    write: (_tenant: string, write: DocumentWrite, signal: AbortSignal) =>
      new Promise<WriteResult[]>((resolve, reject) => {
        const results = write.documents.map(({ id }) => ({ outcome: "created" as const, id }));
        this.held.push({ write, finish: () => resolve(results), fail: reject });
        signal.addEventListener("abort", () => {
          this.aborted += 1;
          reject(signal.reason);
        });
      }),
  } as unknown as DocumentStore;
}

function request(sequence: number, given: { collection?: string } = {}): BulkUpsertRequest {
  return create(BulkUpsertRequestSchema, {
    sequence: BigInt(sequence),
    documents: [
      { id: `d${sequence}`, content: "text", memoryType: MemoryType.RAG, sourceSystem: "test" },
    ],
    ...given,
  });
}

class Source {
  pulled = 0;
  readonly #requests: readonly BulkUpsertRequest[];
  readonly #endless: boolean;

  constructor(requests: readonly BulkUpsertRequest[], endless = false) {
    this.#requests = requests;
    this.#endless = endless;
  }

  async *[Symbol.asyncIterator]() {
    for (const one of this.#requests) {
      this.pulled += 1;
      yield one;
    }
    if (this.#endless) await new Promise(() => {});
  }
}

function start(source: Source, { inFlight = 2, stopping = new AbortController().signal } = {}) {
  const held = new HeldStore();
  const call = new AbortController();
  const faults: unknown[] = [];
  const stream = bulkUpsert(source, {
    store: held.store,
    tenant: "t",
    inFlight,
    signal: call.signal,
    stopping,
    onUnexpected: (error) => faults.push(error),
  });
  return { held, call, stream, faults };
}

describe("bulk upsert", () => {
  test("reads on only while there is room, and acknowledges in the order of commits", async () => {
    const source = new Source([1, 2, 3, 4, 5].map((one) => request(one)));
    const { held, stream } = start(source);
    const drained = drain(stream);
    await eventually(() => held.held.length === 2);
    expect(await settled(() => source.pulled, 30)).toBe(2);
    held.held[1]?.finish();
    await eventually(() => held.held.length === 3);
    for (const index of [2, 0, 3, 4]) {
      await eventually(() => held.held.length > index);
      held.held[index]?.finish();
    }
    const { items, error } = await drained;
    expect(error).toBeUndefined();
    expect(items.map((one) => Number(one.sequence))).toHaveLength(5);
    expect(items[0]?.sequence).toBe(2n);
    expect(new Set(items.map((one) => one.sequence))).toEqual(new Set([1n, 2n, 3n, 4n, 5n]));
  });

  test("a caller that takes no acknowledgements holds the stream back", async () => {
    const source = new Source(Array.from({ length: 50 }, (_, i) => request(i)));
    const { held, stream } = start(source);
    const first = stream.next();
    await eventually(() => held.held.length === 2);
    for (const one of held.held) one.finish();
    await first;
    expect(await settled(() => source.pulled, 30)).toBeLessThanOrEqual(4);
    await stream.return(undefined);
  });

  test("a request that is refused, or fails, is answered by its error and no end", async () => {
    const source = new Source([
      request(1, { collection: "memories" }),
      request(2, { collection: "others" }),
      create(BulkUpsertRequestSchema, { sequence: 3n }),
      request(4, { collection: "memories" }),
      request(5),
    ]);
    const { held, stream, faults } = start(source, { inFlight: 1 });
    const drained = drain(stream);
    await eventually(() => held.held.length === 1);
    held.held[0]?.finish();
    await eventually(() => held.held.length === 2);
    held.held[1]?.fail(new Error("a bug"));
    await eventually(() => held.held.length === 3);
    held.held[2]?.finish();
    const { items, error } = await drained;
    expect(error).toBeUndefined();
    expect(items.map((one) => [Number(one.sequence), one.error?.field])).toEqual([
      [1, undefined],
      [2, "collection"],
      [3, "documents"],
      [4, ""],
      [5, undefined],
    ]);
    expect(faults).toHaveLength(1);
  });

  test("cancelling stops the writes in flight", async () => {
    const { held, call, stream } = start(new Source([request(1), request(2)], true));
    const drained = drain(stream);
    await eventually(() => held.held.length === 2);
    const reason = new Error("cancelled");
    call.abort(reason);
    expect((await drained).error).toBe(reason);
    expect(held.aborted).toBe(2);
  });

  test("a caller that leaves stops the writes in flight", async () => {
    const { held, stream } = start(new Source([request(1), request(2)], true));
    const first = stream.next();
    await eventually(() => held.held.length === 2);
    held.held[0]?.finish();
    await first;
    await stream.return(undefined);
    expect(held.aborted).toBeGreaterThan(0);
  });

  test("a failing input ends the stream with its error", async () => {
    const broken = {
      async *[Symbol.asyncIterator]() {
        yield request(1);
        throw new Error("reset");
      },
    };
    const { stream } = start(broken as unknown as Source);
    expect((await drain(stream)).error).toMatchObject({ message: "reset" });
  });

  test("a stopping server acknowledges what it has begun, and then says that it stops", async () => {
    const stopping = new AbortController();
    const source = new Source([request(1)], true);
    const { held, stream } = start(source, { stopping: stopping.signal });
    const drained = drain(stream);
    await eventually(() => held.held.length === 1);
    stopping.abort();
    held.held[0]?.finish();
    const { items, error } = await drained;
    expect(items.map((one) => one.sequence)).toEqual([1n]);
    expect(error).toMatchObject({ kind: "unavailable" });
  });
});
