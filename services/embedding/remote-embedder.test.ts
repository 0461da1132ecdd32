import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DependencyUnavailableError } from "../../shared/errors.ts";
import { FakeOllama, nomic } from "../../test/harness/fake-ollama.ts";
import { wordVector } from "../../test/harness/word-vector.ts";
import { type EmbeddingOutcome, isEmbedded } from "./embedder.ts";
import { ModelNotFoundError } from "./errors.ts";
import { ModelTable } from "./model-table.ts";
import { OllamaClient } from "./ollama-client.ts";
import { providerCircuit } from "./provider-circuit.ts";
import { RemoteEmbedder, type RemoteEmbedderOptions } from "./remote-embedder.ts";
import { Slots } from "./slots.ts";

let fake: FakeOllama;
beforeEach(async () => {
  fake = await FakeOllama.start();
});
afterEach(async () => {
  vi.useRealTimers();
  await fake[Symbol.asyncDispose]();
});

function embedder(changes: Partial<RemoteEmbedderOptions> = {}): RemoteEmbedder {
  return new RemoteEmbedder({
    endpoint: new OllamaClient(fake.url),
    modelName: "nomic-embed-text",
    dimension: 768,
    contextTokens: 2_048,
    table: new ModelTable(),
    slots: new Slots(4),
    breaker: providerCircuit("ollama"),
    batchShape: { texts: 8, characters: 262_144, concurrency: 4 },
    requestTimeoutMs: 5_000,
    orderCheckEvery: 0,
    ...changes,
  });
}

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `text number ${i}`);
}

/** What became of each text: `ok`, or the reason. */
function reasons(outcomes: readonly EmbeddingOutcome[]): string[] {
  return outcomes.map((outcome) => (isEmbedded(outcome) ? "ok" : outcome.error.reason));
}

describe("embedding with Ollama", () => {
  it("sends batches with the task's prefix, a bounded number at once, and keeps the order", async () => {
    fake.fail({ kind: "held" });
    const texts = numbered(50);
    const embedding = embedder().embed(texts, "document");
    while (fake.embedsInFlight < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    fake.heal();
    const outcomes = await embedding;
    expect(fake.embedRequests).toHaveLength(7);
    expect(fake.mostEmbedsInFlight).toBe(4);
    expect(fake.embedRequests[0]?.texts[0]).toBe("search_document: text number 0");
    for (const [i, text] of texts.entries()) {
      const outcome = outcomes[i];
      const expected = wordVector(`search_document: ${text}`, 768);
      expect(outcome && isEmbedded(outcome) && outcome.vector[5]).toBeCloseTo(expected[5] ?? 0, 6);
    }
    await embedder().embed(["why"], "query");
    expect(fake.embedRequests.at(-1)?.texts).toEqual(["search_query: why"]);
  });

  it.each(["null", "zero", "wrong_dimension"] as const)(
    "gives an error in place of a vector that is %s, and the others their vectors",
    async (kind) => {
      fake.fail({ kind, marker: "number 3" });
      const outcomes = await embedder().embed(numbered(8), "document");
      const expected = Array(8).fill("ok");
      expected[3] = "EMBEDDING_FAILED";
      expect(reasons(outcomes)).toEqual(expected);
      // Asked for once more, alone; and for another text, whether it is the model that has changed.
      const sizes = kind === "wrong_dimension" ? [8, 1, 1] : [8, 1];
      expect(fake.embedRequests.map(({ texts }) => texts.length)).toEqual(sizes);
    },
  );

  it("takes the vector where only the batch was garbled", async () => {
    fake.fail({ kind: "zero", marker: "number 3", times: 1 });
    expect(reasons(await embedder().embed(numbered(8), "document"))).toEqual(Array(8).fill("ok"));
  });

  it.each([
    { kind: "status", status: 400, marker: "number 5" } as const,
    { kind: "status", status: 500, marker: "number 5" } as const,
    { kind: "not_json", marker: "number 5" } as const,
    { kind: "wrong_count", marker: "number 5" } as const,
  ])("halves a batch that fails with %j until the bad text is alone", async (fault) => {
    fake.fail(fault);
    const outcomes = await embedder().embed(numbered(8), "document");
    const expected = Array(8).fill("ok");
    expected[5] = "EMBEDDING_FAILED";
    expect(reasons(outcomes)).toEqual(expected);
    expect(fake.embedRequests.length).toBeLessThan(15);
  });

  it("tells a text that is refused from one that makes the model fail", async () => {
    fake.fail({ kind: "status", status: 400, marker: "refused" });
    fake.fail({ kind: "status", status: 500, marker: "poison" });
    const outcomes = await embedder().embed(["refused", "poison"], "document");
    expect(outcomes).toMatchObject([
      { error: { kind: "invalid_argument", reason: "EMBEDDING_FAILED" } },
      { error: { kind: "internal", reason: "EMBEDDING_FAILED" } },
    ]);
  });

  it("retries what passes by itself", async () => {
    fake.fail({ kind: "reset", times: 1 });
    fake.fail({ kind: "status", status: 503, times: 1 });
    expect(reasons(await embedder().embed(["a"], "document"))).toEqual(["ok"]);
    expect(fake.embedRequests).toHaveLength(3);
    fake.fail({ kind: "cut_off", times: 1 });
    expect(reasons(await embedder().embed(["b"], "document"))).toEqual(["ok"]);
  });

  it.each([
    { kind: "status", status: 500 } as const,
    { kind: "status", status: 503 } as const,
    { kind: "status", status: 401 } as const,
    { kind: "reset" } as const,
  ])("is unavailable when Ollama fails whatever the text: %j", async (fault) => {
    fake.fail(fault);
    const failed = embedder().embed(numbered(20), "document");
    await expect(failed).rejects.toThrow(DependencyUnavailableError);
    // No storm: at most three attempts and one probe for each of three batches.
    expect(fake.embedRequests.length).toBeLessThanOrEqual(12);
  });

  it("is unavailable when nobody listens, and when no answer comes in time", async () => {
    fake.fail({ kind: "slow", delayMs: 5_000 });
    const late = embedder({ requestTimeoutMs: 50 }).embed(["a"], "document");
    await expect(late).rejects.toMatchObject({ reason: "DEPENDENCY_UNAVAILABLE" });
    const nobody = embedder({ endpoint: new OllamaClient("http://127.0.0.1:1") });
    await expect(nobody.embed(["a"], "document")).rejects.toMatchObject({
      reason: "DEPENDENCY_UNAVAILABLE",
      facts: { dependency: "ollama" },
    });
  });

  it("says so when Ollama has lost the model", async () => {
    fake.models.length = 0;
    await expect(embedder().embed(["a"], "document")).rejects.toThrow(ModelNotFoundError);
  });

  it("ends its HTTP requests, and starts no more, when the caller goes away", async () => {
    fake.fail({ kind: "slow", delayMs: 5_000 });
    const gone = new AbortController();
    const embedding = embedder().embed(numbered(100), "document", gone.signal);
    while (fake.embedsInFlight < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    gone.abort(new Error("gone"));
    await expect(embedding).rejects.toThrow("gone");
    while (fake.abandoned < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(fake.embedRequests).toHaveLength(4);
  });

  it("cuts a text that is too long, and says so", async () => {
    const long = "word ".repeat(5_000);
    const outcomes = await embedder().embed([long, "short"], "document");
    expect(outcomes).toMatchObject([{ truncated: true }, { truncated: false }]);
    // Its estimate was right, so one request was enough.
    expect(fake.embedRequests).toHaveLength(1);
  });

  it("cuts further when Ollama counts more tokens than the estimate", async () => {
    await fake[Symbol.asyncDispose]();
    fake = await FakeOllama.start({ models: [{ ...nomic, contextTokens: 300 }] });
    const outcomes = await embedder().embed(["word ".repeat(1_500), "short"], "document");
    expect(outcomes).toMatchObject([
      { vector: expect.anything(), truncated: true },
      { vector: expect.anything(), truncated: false },
    ]);
  });

  it("learns the dimension from the first answer where Ollama does not tell it", async () => {
    const learning = embedder({ dimension: 0 });
    expect(learning.model.dimension).toBe(0);
    await learning.embed(["a"], "document");
    expect(learning.model.dimension).toBe(768);
  });

  it("says what it wants: keep-alive, headers, no silent truncation", async () => {
    const secured = new URL(fake.url);
    secured.username = "user";
    secured.password = "pass";
    const endpoint = new OllamaClient(secured.href, {
      keepAlive: "-1",
      headers: { "x-team": "memory" },
    });
    await embedder({ endpoint }).embed(["a"], "document");
    expect(fake.embedRequests[0]).toMatchObject({
      keepAlive: -1,
      truncate: false,
      headers: { "x-team": "memory", authorization: `Basic ${btoa("user:pass")}` },
    });
  });

  it("never takes what Ollama would have cut in silence", async () => {
    await fake[Symbol.asyncDispose]();
    fake = await FakeOllama.start({
      refusesLongTexts: false,
      models: [{ ...nomic, contextTokens: 300 }],
    });
    const outcomes = await embedder().embed(["word ".repeat(1_500), "short"], "document");
    expect(outcomes).toMatchObject([{ truncated: true }, { truncated: false }]);
  });

  function expectRight(outcomes: readonly EmbeddingOutcome[], weights?: string): void {
    for (const [i, outcome] of outcomes.entries()) {
      const [expected = 0] = wordVector(`search_document: text number ${i}`, 768, weights);
      expect(isEmbedded(outcome) && outcome.vector[0]).toBeCloseTo(expected, 6);
    }
  }

  it("finds out an Ollama that mixes up the texts of a batch", async () => {
    fake.fail({ kind: "shuffled" });
    let told = 0;
    const checking = embedder({ orderCheckEvery: 16, onMixedUp: () => told++ });
    for (let round = 0; round < 2; round++) {
      expectRight(await checking.embed(numbered(20), "document"));
    }
    expect(told).toBe(1);
  });

  it("takes no vector from the one batch in many that was mixed up", async () => {
    let told = 0;
    const checking = embedder({ orderCheckEvery: 1, onMixedUp: () => told++ });
    for (let round = 0; round < 6; round++) {
      expectRight(await checking.embed(numbered(40), "document"));
      expect(told).toBe(round < 4 ? 0 : 1);
      if (round === 3) fake.fail({ kind: "shuffled", times: 1 });
    }
  });

  it("checks every batch at first and after a failure, then some", async () => {
    const checking = embedder({
      orderCheckEvery: 1_000_000,
      onMixedUp: () => expect.fail("not mixed up"),
    });
    const sizes = async (texts: number) => {
      fake.embedRequests.length = 0;
      await checking.embed(numbered(texts), "document");
      return fake.embedRequests.map((request) => request.texts.length).sort();
    };
    // The text whose vector is to be known is embedded alone before.
    expect((await sizes(64)).filter((size) => size === 9)).toHaveLength(8);
    expect(await sizes(64)).toEqual(Array(8).fill(8));
    fake.fail({ kind: "reset", times: 1 });
    const after = await sizes(16);
    expect(after.at(-1)).toBe(8);
    expect((await sizes(64)).filter((size) => size === 9)).toHaveLength(8);
    expect(fake.embedRequests.every(({ texts }) => texts.length > 1)).toBe(true);
  });

  it("does not take a model of other contents for a mixed-up batch, and says that it changed", async () => {
    let changed = 0;
    const checking = embedder({
      orderCheckEvery: 1,
      onMixedUp: () => expect.fail("not mixed up"),
      onOtherVectors: () => changed++,
    });
    expectRight(await checking.embed(numbered(8), "document"));
    fake.models[0] = { ...nomic, weights: "other" };
    for (let round = 0; round < 2; round++) {
      expectRight(await checking.embed(numbered(8), "document"), "other");
    }
    expect(changed).toBe(1);
  });

  it("tells a model of another dimension from a text that is garbled", async () => {
    let changed = 0;
    const checking = embedder({ onOtherVectors: () => changed++ });
    fake.models[0] = { ...nomic, dimension: 512 };
    for (const count of [1, 8]) {
      await expect(checking.embed(numbered(count), "document")).rejects.toMatchObject({
        reason: "DEPENDENCY_UNAVAILABLE",
        message: expect.stringContaining("has 512 components, not 768"),
      });
    }
    expect(changed).toBeGreaterThan(0);
    const learning = embedder({ dimension: 0 });
    fake.models[0] = nomic;
    await learning.embed(["a"], "document");
    fake.models[0] = { ...nomic, dimension: 512 };
    await expect(learning.embed(["b"], "document")).rejects.toMatchObject({ kind: "unavailable" });
    expect(reasons(await learning.embed(["b"], "document"))).toEqual(["ok"]);
    expect(learning.model.dimension).toBe(512);
  });

  it("keeps the beginning of a Matryoshka vector, and only where the model can", async () => {
    const short = embedder({ wantedDimension: 256 });
    expect(short.model.dimension).toBe(256);
    const [outcome] = await short.embed(["a text"], "document");
    const whole = wordVector("search_document: a text", 768);
    const mean = whole.reduce((sum, value) => sum + value, 0) / 768;
    const expected = whole.slice(0, 256).map((value) => value - mean);
    const vector = outcome && isEmbedded(outcome) ? outcome.vector : new Float32Array();
    expect(vector).toHaveLength(256);
    expect(vector[7]).toBeCloseTo((expected[7] ?? 0) / Math.hypot(...expected), 5);
    const tooShort = await embedder({ wantedDimension: 32 }).embed(["a"], "document");
    expect(reasons(tooShort)).toEqual(["EMBEDDING_FAILED"]);
  });

  it("leaves an Ollama alone that is down, tries it with one request, and takes it up again", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const breaker = providerCircuit("ollama", { threshold: 3, halfOpenAfterMs: 2_000 });
    const guarded = embedder({ breaker });
    fake.fail({ kind: "reset" });
    await expect(guarded.embed(["a"], "document")).rejects.toThrow(DependencyUnavailableError);
    expect(breaker.state).toBe("open");
    const before = fake.embedRequests.length;
    for (let i = 0; i < 20; i++) {
      await expect(guarded.embed(["a"], "document")).rejects.toMatchObject({ kind: "unavailable" });
    }
    expect(fake.embedRequests.length).toBe(before);
    // Still down: one request finds out for all; who made it may try again as it would anyway.
    vi.setSystemTime(Date.now() + 2_000);
    const tries = Array.from({ length: 10 }, () => guarded.embed(["a"], "document"));
    for (const one of await Promise.allSettled(tries)) expect(one.status).toBe("rejected");
    expect(fake.embedRequests.length - before).toBeLessThanOrEqual(3);
    fake.heal();
    vi.setSystemTime(Date.now() + 2_000);
    const again = Array.from({ length: 10 }, () => guarded.embed(["a"], "document"));
    for (const one of await Promise.allSettled(again)) expect(one.status).toBe("fulfilled");
    expect(breaker.state).toBe("closed");
  });

  it("does not cut off others for the sake of poisonous texts", async () => {
    const breaker = providerCircuit("ollama", { threshold: 3, halfOpenAfterMs: 60_000 });
    fake.fail({ kind: "status", status: 500, marker: "poison" });
    const texts = [...numbered(4), ...Array.from({ length: 8 }, (_, i) => `poison ${i}`)];
    const outcomes = await embedder({ breaker }).embed(texts, "document");
    expect(reasons(outcomes).slice(0, 4)).toEqual(Array(4).fill("ok"));
    expect(breaker.state).toBe("closed");
  });

  it("does not take a trial that was given up for a success", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const breaker = providerCircuit("ollama", { threshold: 1, halfOpenAfterMs: 2_000 });
    fake.fail({ kind: "reset", times: 1 });
    await expect(embedder({ breaker }).embed(["a"], "document")).rejects.toThrow();
    vi.setSystemTime(Date.now() + 2_000);
    fake.fail({ kind: "slow", delayMs: 5_000 });
    const gone = new AbortController();
    const trial = embedder({ breaker }).embed(["a"], "document", gone.signal);
    while (fake.embedsInFlight === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    gone.abort(new Error("gone"));
    await expect(trial).rejects.toThrow("gone");
    while (breaker.state === "half_open") await new Promise((resolve) => setTimeout(resolve, 5));
    expect(breaker.state).toBe("open");
  });
});
