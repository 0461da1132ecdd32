import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeOpenAi } from "../../test/harness/fake-openai.ts";
import { wordVector } from "../../test/harness/word-vector.ts";
import { type EmbeddingOutcome, isEmbedded } from "./embedder.ts";
import { ModelTable } from "./model-table.ts";
import { OpenAiClient } from "./openai-client.ts";
import { OpenAiObserver } from "./openai-observer.ts";
import { providerCircuit } from "./provider-circuit.ts";
import { RemoteEmbedder, type RemoteEmbedderOptions } from "./remote-embedder.ts";
import { Slots } from "./slots.ts";

const model = "bge-small-en-v1.5";
let fake: FakeOpenAi;
beforeEach(async () => {
  fake = await FakeOpenAi.start();
});
afterEach(() => fake[Symbol.asyncDispose]());

function embedder(changes: Partial<RemoteEmbedderOptions> = {}): RemoteEmbedder {
  return new RemoteEmbedder({
    endpoint: new OpenAiClient(fake.url),
    modelName: model,
    dimension: 384,
    contextTokens: 512,
    table: new ModelTable(),
    slots: new Slots(4),
    breaker: providerCircuit("openai"),
    batchShape: { texts: 8, characters: 262_144, concurrency: 4 },
    requestTimeoutMs: 5_000,
    orderCheckEvery: 0,
    ...changes,
  });
}

const texts = Array.from({ length: 20 }, (_, i) => `text number ${i}`);

function reasons(outcomes: readonly EmbeddingOutcome[]): string[] {
  return outcomes.map((outcome) => (isEmbedded(outcome) ? "ok" : outcome.error.reason));
}

describe("embedding with an OpenAI-compatible endpoint", () => {
  it("orders vectors by their index, and prefixes queries", async () => {
    const outcomes = await embedder().embed(texts, "document");
    for (const [i, outcome] of outcomes.entries()) {
      const [expected = 0] = wordVector(`text number ${i}`, 384);
      expect(isEmbedded(outcome) && outcome.vector[0]).toBeCloseTo(expected, 6);
    }
    await embedder().embed(["why"], "query");
    expect(fake.embedRequests.at(-1)).toMatchObject({
      model,
      encodingFormat: "float",
      texts: ["Represent this sentence for searching relevant passages: why"],
    });
  });

  it.each(["wrong_count", "no_index", "twice_index"] as const)(
    "takes no vector from an answer with %s",
    async (kind) => {
      fake.fail({ kind, marker: "number 5" });
      const outcomes = await embedder().embed(texts.slice(0, 8), "document");
      // Alone, a text whose index is 0 in any case has its vector.
      const bad = kind === "twice_index" ? "ok" : "EMBEDDING_FAILED";
      expect(reasons(outcomes)).toEqual(
        Array.from({ length: 8 }, (_, i) => (i === 5 ? bad : "ok")),
      );
    },
  );

  it.each(["null", "zero", "wrong_dimension"] as const)(
    "finds a vector that is %s",
    async (kind) => {
      fake.fail({ kind, marker: "number 3" });
      const outcomes = await embedder().embed(texts.slice(0, 8), "document");
      expect(reasons(outcomes).filter((reason) => reason !== "ok")).toEqual(["EMBEDDING_FAILED"]);
    },
  );

  it("retries broken connections and server errors, and nothing else", async () => {
    fake.fail({ kind: "reset", times: 1 });
    fake.fail({ kind: "status", status: 503, times: 1 });
    expect(reasons(await embedder().embed(["a"], "document"))).toEqual(["ok"]);
    fake.fail({ kind: "status", status: 429 });
    const before = fake.embedRequests.length;
    await expect(embedder().embed(["a"], "document")).rejects.toMatchObject({
      reason: "DEPENDENCY_UNAVAILABLE",
    });
    expect(fake.embedRequests.length - before).toBe(1);
  });

  it("sends the key, and is unavailable where it is the wrong one", async () => {
    await using locked = await FakeOpenAi.start({ key: "secret" });
    const right = embedder({ endpoint: new OpenAiClient(`${locked.url}/v1/`, { key: "secret" }) });
    expect(reasons(await right.embed(["a"], "document"))).toEqual(["ok"]);
    const wrong = embedder({ endpoint: new OpenAiClient(locked.url, { key: "guess" }) });
    await expect(wrong.embed(["a"], "document")).rejects.toMatchObject({ kind: "unavailable" });
  });

  it("cuts what the server finds too long, and says so", async () => {
    await using small = await FakeOpenAi.start({ contextTokens: 100 });
    const endpoint = new OpenAiClient(small.url);
    const outcomes = await embedder({ endpoint }).embed(["word ".repeat(400), "b"], "document");
    expect(outcomes).toMatchObject([{ truncated: true }, { truncated: false }]);
  });

  it.each([true, false])(
    "asks for fewer dimensions, and cuts by itself where that is not heeded (heeded: %s)",
    async (heedsDimensions) => {
      const modelName = "text-embedding-3-small";
      await using other = await FakeOpenAi.start({
        model: modelName,
        dimension: 1_536,
        heedsDimensions,
      });
      const cutting = embedder({
        endpoint: new OpenAiClient(other.url),
        modelName,
        dimension: 0,
        wantedDimension: 256,
      });
      const [outcome] = await cutting.embed(["a text"], "document");
      expect(other.embedRequests[0]?.dimensions).toBe(256);
      const vector = outcome && isEmbedded(outcome) ? outcome.vector : new Float32Array();
      expect(vector).toHaveLength(256);
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
      expect(cutting.model.dimension).toBe(256);
    },
  );

  it("does not cut a model that was not trained for it", async () => {
    const outcomes = await embedder({ wantedDimension: 128 }).embed(["a"], "document");
    expect(reasons(outcomes)).toEqual(["EMBEDDING_FAILED"]);
    expect(fake.embedRequests[0]?.dimensions).toBeUndefined();
  });

  it("is observed with and without a list of models", async () => {
    const observe = async (url: string, key?: string) =>
      new OpenAiObserver({
        client: new OpenAiClient(url, { key }),
        modelName: model,
        timeoutMs: 1_000,
      }).observe();
    expect((await observe(fake.url)).models.get(model)?.contextTokens).toBe(512);
    await using listless = await FakeOpenAi.start({ lists: false, key: "k" });
    expect((await observe(listless.url, "k")).models.get(model)?.contextTokens).toBe(0);
    expect(await observe(listless.url)).toMatchObject({ reachable: false });
    expect(await observe("http://127.0.0.1:1")).toMatchObject({ reachable: false });
  });
});
