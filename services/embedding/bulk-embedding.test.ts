import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { DependencyUnavailableError } from "../../shared/errors.ts";
import { BatchingEmbedder } from "./batching-embedder.ts";
import { type BulkAnswer, type BulkItem, type BulkLimits, embedBulk } from "./bulk-embedding.ts";
import { type Embedder, type EmbeddingOutcome, isEmbedded } from "./embedder.ts";

const limits: BulkLimits = { items: 20, bytes: 1_000_000 };

/** An embedder whose vector is the text's number, so that an answer can be told from another's. */
class CountingEmbedder implements Embedder {
  readonly model = { name: "counting", provider: "builtin", dimension: 1, lexical: true } as const;
  readonly batchShape = { texts: 8, characters: 100_000, concurrency: 2 };
  readonly batches: number[] = [];
  running = 0;
  mostRunning = 0;
  delayMs = 1;
  failure: Error | undefined;

  async embed(texts: readonly string[], _task: unknown, signal?: AbortSignal) {
    this.batches.push(texts.length);
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    try {
      await wait(this.delayMs, undefined, signal === undefined ? {} : { signal });
      if (this.failure !== undefined) throw this.failure;
      return texts.map((text): EmbeddingOutcome => {
        return { vector: Float32Array.of(Number(text)), truncated: false };
      });
    } finally {
      this.running--;
    }
  }
}

function gathering(embedder: CountingEmbedder): BatchingEmbedder {
  return new BatchingEmbedder(embedder, { gatherMs: 2 });
}

function items(from: number, to: number): BulkItem[] {
  return Array.from({ length: to - from }, (_, i) => item(`id-${from + i}`, String(from + i), i));
}

function item(id: string, text: string, index = 0): BulkItem {
  return { id, text, field: `items[${index}]` };
}

async function* streamOf(...messages: readonly BulkItem[][]) {
  yield* messages;
}

async function collect(answers: AsyncIterable<readonly BulkAnswer[]>): Promise<BulkAnswer[]> {
  const all: BulkAnswer[] = [];
  for await (const some of answers) all.push(...some);
  return all;
}

const never = new AbortController().signal;

describe("embedBulk", () => {
  it("answers every item exactly once, in batches across messages", async () => {
    const embedder = new CountingEmbedder();
    const messages = Array.from({ length: 100 }, (_, i) => items(i * 3, i * 3 + 3));
    const answers = await collect(
      embedBulk(gathering(embedder), "document", streamOf(...messages), never, limits),
    );
    expect(new Set(answers.map(({ id }) => id)).size).toBe(300);
    expect(answers).toHaveLength(300);
    for (const { id, outcome } of answers) {
      expect(isEmbedded(outcome) && `id-${outcome.vector[0]}`).toBe(id);
    }
    expect(embedder.batches.length).toBeLessThan(60);
    expect(embedder.mostRunning).toBe(2);
  });

  it("does not wait for company for ever", async () => {
    const gate = Promise.withResolvers<void>();
    async function* slowly() {
      yield items(0, 1);
      await gate.promise;
    }
    const answers = embedBulk(gathering(new CountingEmbedder()), "query", slowly(), never, limits);
    expect((await answers.next()).value).toHaveLength(1);
    gate.resolve();
    expect((await answers.next()).done).toBe(true);
  });

  it("reads no more while its caller takes no answers", async () => {
    let sent = 0;
    async function* endless() {
      for (; sent < 10_000; sent++) yield items(sent, sent + 1);
    }
    const answers = embedBulk(
      gathering(new CountingEmbedder()),
      "document",
      endless(),
      never,
      limits,
    );
    await answers.next();
    await wait(50);
    expect(sent).toBeLessThan(100);
    expect((await collect(answers)).length).toBeGreaterThan(9_800);
  });

  it("counts bytes as well as items", async () => {
    let sent = 0;
    async function* large() {
      for (; sent < 50; sent++) yield [item(`id-${sent}`, "1".padStart(1_000, "0"))];
    }
    const embedder = new CountingEmbedder();
    embedder.delayMs = 3_600_000;
    const tight = { ...limits, bytes: 4_000 };
    const gone = new AbortController();
    const collecting = collect(
      embedBulk(gathering(embedder), "document", large(), gone.signal, tight),
    );
    while (embedder.running === 0) await wait(1);
    await wait(20);
    expect(sent).toBeLessThan(8);
    gone.abort(new Error("gone"));
    await expect(collecting).rejects.toThrow("gone");
  });

  it("refuses bad items in their place", async () => {
    const answers = await collect(
      embedBulk(
        gathering(new CountingEmbedder()),
        "document",
        streamOf([item("a", "1", 0), item("a", "2", 1), item("", "3", 2), item("b", " ", 3)]),
        never,
        limits,
      ),
    );
    const refused = answers.flatMap(({ id, outcome }) =>
      isEmbedded(outcome) ? [] : [[id, outcome.error.violations[0]?.field]],
    );
    expect(refused).toEqual([
      ["a", "items[1].id"],
      ["", "items[2].id"],
      ["b", "items[3].text"],
    ]);
    expect(answers).toHaveLength(4);
  });

  it("lets an id be used again once it is answered", async () => {
    const gate = Promise.withResolvers<void>();
    async function* twice() {
      yield [item("a", "1")];
      await gate.promise;
      yield [item("a", "2")];
    }
    const answers = embedBulk(
      gathering(new CountingEmbedder()),
      "document",
      twice(),
      never,
      limits,
    );
    const first = await answers.next();
    gate.resolve();
    const second = await answers.next();
    for (const { value } of [first, second]) {
      expect(value?.map(({ outcome }: BulkAnswer) => isEmbedded(outcome))).toEqual([true]);
    }
  });

  it("answers each item with the reason when the provider is down", async () => {
    const embedder = new CountingEmbedder();
    embedder.failure = new DependencyUnavailableError("ollama", "down");
    const answers = await collect(
      embedBulk(gathering(embedder), "document", streamOf(items(0, 30)), never, limits),
    );
    expect(answers).toHaveLength(30);
    expect(answers[0]).toMatchObject({ outcome: { error: { reason: "DEPENDENCY_UNAVAILABLE" } } });
  });

  it("ends with the input's failure, and with a fault of our own", async () => {
    async function* broken() {
      yield items(0, 1);
      throw new Error("broken input");
    }
    await expect(
      collect(embedBulk(gathering(new CountingEmbedder()), "document", broken(), never, limits)),
    ).rejects.toThrow("broken input");
    const embedder = new CountingEmbedder();
    embedder.failure = new TypeError("a bug");
    await expect(
      collect(embedBulk(gathering(embedder), "document", streamOf(items(0, 3)), never, limits)),
    ).rejects.toThrow("a bug");
  });

  it("stops all work when the call is cancelled or nobody reads on", async () => {
    const embedder = new CountingEmbedder();
    embedder.delayMs = 10_000;
    const gone = new AbortController();
    const collecting = collect(
      embedBulk(gathering(embedder), "document", streamOf(items(0, 16)), gone.signal, limits),
    );
    while (embedder.running < 2) await wait(1);
    gone.abort(new Error("gone"));
    await expect(collecting).rejects.toThrow("gone");
    while (embedder.running > 0) await wait(1);

    embedder.delayMs = 1;
    const answers = embedBulk(
      gathering(embedder),
      "document",
      streamOf(items(0, 100)),
      never,
      limits,
    );
    await answers.next();
    await answers.return(undefined);
    while (embedder.running > 0) await wait(1);
    expect(embedder.batches.reduce((sum, size) => sum + size, 0)).toBeLessThan(80);
  });

  it("does nothing for a call that is cancelled already", async () => {
    const embedder = new CountingEmbedder();
    const aborted = AbortSignal.abort(new Error("too late"));
    await expect(
      collect(embedBulk(gathering(embedder), "document", streamOf(items(0, 3)), aborted, limits)),
    ).rejects.toThrow("too late");
    expect(embedder.batches).toEqual([]);
  });
});
