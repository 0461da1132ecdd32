import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { DependencyUnavailableError } from "../../shared/errors.ts";
import { type BatchCaller, BatchingEmbedder, type BatchingOptions } from "./batching-embedder.ts";
import { type Embedder, type EmbeddingOutcome, isEmbedded } from "./embedder.ts";
import { VectorCache } from "./vector-cache.ts";

/** Embeds a text as its length, when it is told to go on. */
class GatedEmbedder implements Embedder {
  readonly model = { name: "gated", provider: "ollama", dimension: 1, lexical: false } as const;
  readonly batchShape = { texts: 4, characters: 1_000, concurrency: 2 };
  readonly batches: string[][] = [];
  readonly gates: { go(): void; fail(error: unknown): void }[] = [];
  aborted = 0;
  /** Batches go on by themselves. */
  open = false;

  async embed(texts: readonly string[], task: string, signal?: AbortSignal) {
    this.batches.push(texts.map((text) => (task === "query" ? `${text}?` : text)));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.gates.push({ go: resolve, fail: reject });
    signal?.addEventListener("abort", () => {
      this.aborted++;
      reject(signal.reason);
    });
    if (this.open) setTimeout(resolve, 1);
    await promise;
    return texts.map((text): EmbeddingOutcome => {
      return { vector: Float32Array.of(text.length), truncated: false };
    });
  }
}

function open(options: BatchingOptions = {}) {
  const inner = new GatedEmbedder();
  return { inner, embedder: new BatchingEmbedder(inner, { gatherMs: 5, ...options }) };
}

/** A bulk stream that collects what it is given. */
function stream() {
  const keys: number[] = [];
  const errors: unknown[] = [];
  const caller: BatchCaller = {
    task: "document",
    urgent: false,
    prompt: false,
    deliver: (some) => keys.push(...some),
    fail: (_, error) => errors.push(error),
  };
  return { caller, keys, errors };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000 && !condition(); i++) await wait(1);
  expect(condition()).toBe(true);
}

describe("the batching embedder", () => {
  it("gathers the texts of all callers into one batch, equal ones once", async () => {
    const { inner, embedder } = open();
    const [one, two] = [stream(), stream()];
    embedder.submit(one.caller, 0, "a");
    embedder.submit(two.caller, 0, "a");
    embedder.submit(two.caller, 1, "b");
    expect(inner.batches).toEqual([]);
    await until(() => inner.batches.length === 1);
    expect(inner.batches).toEqual([["a", "b"]]);
    inner.gates[0]?.go();
    await until(() => two.keys.length === 2);
    expect([one.keys, two.keys]).toEqual([[0], [0, 1]]);
  });

  it("starts a batch at once when it is full, by texts or by characters", async () => {
    const { inner, embedder } = open({ gatherMs: 10_000 });
    const { caller } = stream();
    for (let i = 0; i < 4; i++) embedder.submit(caller, i, `${i}`);
    expect(inner.batches).toHaveLength(1);
    embedder.submit(caller, 4, "x".repeat(600));
    embedder.submit(caller, 5, "y".repeat(600));
    expect(inner.batches.map((batch) => batch.length)).toEqual([4, 1]);
    embedder.leave(caller);
  });

  it("lets callers take turns, so that a long list is not everybody's wait", async () => {
    const { inner, embedder } = open();
    inner.open = true;
    const long = embedder.embed(
      Array.from({ length: 40 }, (_, i) => `l${i}`),
      "document",
    );
    const short = embedder.embed(["s0", "s1"], "document");
    await short;
    expect(inner.batches.length).toBeLessThanOrEqual(5);
    expect(await long).toHaveLength(40);
  });

  it("serves several streams evenly", async () => {
    const { inner, embedder } = open();
    inner.open = true;
    const streams = [stream(), stream(), stream()];
    for (const [n, { caller }] of streams.entries()) {
      for (let i = 0; i < 40 * (n + 1); i++) embedder.submit(caller, i, `${n}-${i}`);
    }
    await until(() => (streams[0]?.keys.length ?? 0) === 40);
    const done = streams.map(({ keys }) => keys.length);
    expect(Math.max(...done) - 40).toBeLessThanOrEqual(8);
    await until(() => streams[2]?.keys.length === 120);
  });

  it("sends queries first", async () => {
    const { inner, embedder } = open();
    const { caller, keys } = stream();
    for (let i = 0; i < 40; i++) embedder.submit(caller, i, `${i}`);
    const query = embedder.embed(["why"], "query");
    const another = embedder.embed(["how"], "query");
    await until(() => inner.batches.length > 2);
    expect(inner.batches[2]).toEqual(["why?", "how?"]);
    inner.open = true;
    for (const gate of inner.gates) gate.go();
    expect((await Promise.all([query, another])).flat()).toHaveLength(2);
    await until(() => keys.length === 40);
  });

  it("ends large batches for the first query after a pause, and embeds their texts later", async () => {
    const { inner, embedder } = open({ courtesyMs: 3_600_000 });
    const [one, two] = [stream(), stream()];
    for (let i = 0; i < 8; i++) embedder.submit(one.caller, i, `one ${i}`);
    for (let i = 0; i < 4; i++) embedder.submit(two.caller, i, `two ${i}`);
    expect(inner.batches).toHaveLength(2);
    const gone = new AbortController();
    const leaving = embedder.embed(["late"], "document", gone.signal);
    const query = embedder.embed(["why"], "query");
    expect(inner.aborted).toBe(2);
    await until(() => inner.batches.length > 2);
    expect(inner.batches[2]).toEqual(["why?"]);
    gone.abort(new Error("gone"));
    await expect(leaving).rejects.toThrow("gone");
    // The next query finds what started in courtesy, which nobody ends.
    inner.gates[2]?.go();
    await query;
    const next = embedder.embed(["how"], "query");
    expect(inner.aborted).toBe(2);
    inner.open = true;
    for (const gate of inner.gates) gate.go();
    await next;
    await until(() => one.keys.length + two.keys.length === 12);
    expect(one.keys.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(two.keys.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3]);
    expect([one.errors, two.errors, embedder.waiting]).toEqual([[], [], 0]);
    expect(inner.batches.flat()).not.toContain("late");
  });

  it("lets a batch be that may find out whether a provider is back", async () => {
    const { inner, embedder } = open();
    const failing = embedder.embed(["a"], "document");
    inner.gates[0]?.fail(new DependencyUnavailableError("ollama", "down"));
    await expect(failing).rejects.toThrow();
    const { aborted } = inner;
    const { caller, keys } = stream();
    for (let i = 0; i < 8; i++) embedder.submit(caller, i, `${i}`);
    const query = embedder.embed(["why"], "query");
    expect(inner.aborted).toBe(aborted);
    inner.open = true;
    for (const gate of inner.gates) gate.go();
    await query;
    await until(() => keys.length === 8);
  });

  it("leaves a place free for the next query", async () => {
    const { inner, embedder } = open({ courtesyMs: 3_600_000 });
    inner.open = true;
    await embedder.embed(["why"], "query");
    inner.open = false;
    const { caller, keys } = stream();
    for (let i = 0; i < 40; i++) embedder.submit(caller, i, `${i}`);
    expect(inner.batches).toHaveLength(2);
    const next = embedder.embed(["how"], "query");
    expect(inner.batches[2]).toEqual(["how?"]);
    inner.open = true;
    for (const gate of inner.gates) gate.go();
    await next;
    await until(() => keys.length === 40);
  });

  it("lets a stream through although queries never end", async () => {
    const { inner, embedder } = open();
    inner.open = true;
    const { caller, keys } = stream();
    let asking = true;
    const ask = async () => {
      while (asking) await embedder.embed([`q${Math.random()}`], "query");
    };
    const askers = Array.from({ length: 12 }, ask);
    for (let i = 0; i < 10; i++) embedder.submit(caller, i, `${i}`);
    await until(() => keys.length === 10);
    asking = false;
    await Promise.all(askers);
  });

  it("ends a batch when all who wanted it have gone, and not before", async () => {
    const { inner, embedder } = open();
    const gone = new AbortController();
    const first = embedder.embed(["a"], "document", gone.signal);
    const { caller, keys } = stream();
    inner.gates[0]?.go();
    await first;
    for (const [i, text] of ["b", "c"].entries()) embedder.submit(caller, i, text);
    const second = embedder.embed(["d"], "document", gone.signal);
    await until(() => inner.batches.length === 2);
    gone.abort(new Error("gone"));
    await expect(second).rejects.toThrow("gone");
    expect(inner.aborted).toBe(0);
    embedder.leave(caller);
    expect(inner.aborted).toBe(1);
    expect(keys).toEqual([]);
    expect(embedder.waiting).toBe(0);
  });

  it("tells all callers of a batch that has failed, and goes on", async () => {
    const { inner, embedder } = open();
    const { caller, errors } = stream();
    embedder.submit(caller, 0, "a");
    const unary = embedder.embed(["b", "c", "d", "e", "f"], "document");
    const down = new DependencyUnavailableError("ollama", "down");
    inner.gates[0]?.fail(down);
    await expect(unary).rejects.toBe(down);
    expect(errors).toEqual([down]);
    inner.open = true;
    expect(await embedder.embed(["g"], "document")).toHaveLength(1);
  });

  it("does not embed what is cached, each task for itself", async () => {
    using cache = new VectorCache(100_000);
    const { inner, embedder } = open({ cache: cache.scope("gated") });
    inner.open = true;
    const [first] = await embedder.embed(["same"], "query");
    const [again, other] = await embedder.embed(["same", "other"], "query");
    expect(again && isEmbedded(again) && again.vector).toEqual(
      first && isEmbedded(first) && first.vector,
    );
    expect(other && isEmbedded(other) && other.vector[0]).toBe(5);
    await embedder.embed(["same"], "document");
    expect(inner.batches).toEqual([["same?"], ["other?"], ["same"]]);
    const { caller, keys } = stream();
    embedder.submit(caller, 7, "same");
    expect(keys).toEqual([7]);
  });
});
