import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type {
  BulkEmbedResult,
  Embedding,
} from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { nomic } from "../../test/harness/fake-ollama.ts";
import { FakeOpenAi } from "../../test/harness/fake-openai.ts";
import { wordVector } from "../../test/harness/word-vector.ts";
import { probeText } from "./order-check.ts";
import {
  type EmbeddingClients,
  failure,
  lengthOf,
  reasonOf,
  startEmbedding,
  startWithOllama,
  untilServing,
} from "./testing/embedding-app.ts";

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

/** What a wrong, slow, flapping or absent Ollama may do to callers: nothing but errors that say so. */
describe("an Ollama that misbehaves", () => {
  const expected = (text: string) => wordVector(`search_document: ${text}`, 768);

  function isRight(text: string, embedding: Embedding | undefined): boolean {
    const { result } = embedding ?? {};
    if (result?.case !== "vector") return false;
    const right = expected(text);
    return result.value.values.every((value, i) => Math.abs(value - (right[i] ?? 0)) < 1e-5);
  }

  async function bulk(
    clients: EmbeddingClients,
    count: number,
    name: string,
  ): Promise<BulkEmbedResult[]> {
    async function* requests() {
      for (let at = 0; at < count; at += 20) {
        const items = Array.from({ length: 20 }, (_, i) => {
          return { id: `${at + i}`, text: `${name} item ${at + i}` };
        });
        yield { model: "nomic-embed-text", items };
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
    const results: BulkEmbedResult[] = [];
    for await (const answer of clients.embedding.bulkEmbed(requests())) {
      results.push(...answer.results);
    }
    return results;
  }

  it("gives no wrong vector and loses no item while it flaps", async () => {
    const { fake, ...clients } = await startWithOllama(stack, {
      MAHAVISHNU_EMBEDDING_TIMEOUT_MS: "400",
      MAHAVISHNU_EMBEDDING_BATCH_SIZE: "16",
    });
    await untilServing(clients, true);
    const kinds = [
      { kind: "reset" },
      { kind: "status", status: 503 },
      { kind: "not_json" },
      { kind: "wrong_count" },
      { kind: "zero" },
      { kind: "cut_off" },
      { kind: "slow", delayMs: 600 },
      { kind: "status", status: 500 },
      { kind: "null" },
    ] as const;
    let round = 0;
    const flapping = setInterval(() => {
      fake.heal();
      const fault = kinds[round++ % kinds.length];
      if (fault !== undefined) fake.fail({ ...fault, times: 3 });
    }, 60);
    const streams = ["a", "b", "c"].map((name) => bulk(clients, 400, name));
    const answers = await Promise.all(streams);
    clearInterval(flapping);
    let good = 0;
    for (const [n, results] of answers.entries()) {
      expect(results.map(({ id }) => Number(id)).sort((a, b) => a - b)).toEqual(
        Array.from({ length: 400 }, (_, i) => i),
      );
      for (const { id, embedding } of results) {
        if (embedding?.result.case === "vector") {
          expect(isRight(`${"abc"[n]} item ${id}`, embedding)).toBe(true);
          good++;
        } else expect(embedding?.result.case).toBe("error");
      }
    }
    expect(good).toBeGreaterThan(0);
  });

  it("gives right vectors where it mixes up every batch", async () => {
    const { fake, ...clients } = await startWithOllama(stack);
    await untilServing(clients, true);
    fake.fail({ kind: "shuffled" });
    const texts = Array.from({ length: 200 }, (_, i) => `passage ${i}`);
    const { embeddings } = await clients.embedding.embed({ model: "nomic-embed-text", texts });
    expect(embeddings.every((embedding, i) => isRight(texts[i] ?? "", embedding))).toBe(true);
  });

  it("gives right vectors where it begins to mix up batches in mid-stream", async () => {
    const { fake, ...clients } = await startWithOllama(stack, {
      MAHAVISHNU_EMBEDDING_ORDER_CHECK: "1",
      MAHAVISHNU_EMBEDDING_BATCH_SIZE: "16",
    });
    await untilServing(clients, true);
    fake.fail({ kind: "shuffled", marker: "item 203" });
    const results = await bulk(clients, 400, "a");
    expect(new Set(results.map(({ id }) => id)).size).toBe(400);
    for (const { id, embedding } of results) expect(isRight(`a item ${id}`, embedding)).toBe(true);
    expect(Math.max(...fake.embedRequests.map(({ texts }) => texts.length))).toBe(16);
  });

  it("is known to have lost its model with the first call", async () => {
    const { fake, ...clients } = await startWithOllama(stack, {}, { watchIntervalMs: 3_600_000 });
    await untilServing(clients, true);
    fake.models.length = 0;
    const error = await failure(clients.embedding.embed({ texts: ["a"] }));
    expect([error.code, reasonOf(error)]).toEqual([Code.NotFound, "MODEL_NOT_FOUND"]);
    expect(error.message).toContain("ollama pull nomic-embed-text");
    await untilServing(clients, false);
  });

  it("is looked at again at once when its model has another dimension", async () => {
    const { fake, ...clients } = await startWithOllama(stack, {}, { watchIntervalMs: 3_600_000 });
    await untilServing(clients, true);
    await clients.embedding.embed({ texts: ["a"] });
    fake.models[0] = { ...nomic, dimension: 512 };
    // Refused at first; the client tries again by itself, perhaps not for long enough.
    const error = await failure(clients.embedding.embed({ texts: ["b"] }));
    expect([Code.Unknown, Code.Unavailable]).toContain(error.code);
    for (;;) {
      const { models } = await clients.embedding.listModels({});
      if (models[0]?.dimension === 512 && models[0].ready) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const answer = await clients.embedding.embed({ texts: ["a", "b"] });
    expect(answer.dimension).toBe(512);
    for (const { result } of answer.embeddings) {
      expect(result.case === "vector" && result.value.values).toHaveLength(512);
    }
  });

  it("ends streams in time where it hangs, each item answered", async () => {
    const { fake, ...clients } = await startWithOllama(stack, {
      MAHAVISHNU_EMBEDDING_TIMEOUT_MS: "200",
    });
    await untilServing(clients, true);
    fake.fail({ kind: "slow", delayMs: 60_000 });
    const results = await bulk(clients, 200, "a");
    expect(results).toHaveLength(200);
    const reasons = new Set(
      results.map(({ embedding }) =>
        embedding?.result.case === "error" ? embedding.result.value.reason : undefined,
      ),
    );
    expect([...reasons]).toEqual([ErrorReason.DEPENDENCY_UNAVAILABLE]);
  });

  it("has other callers served while one stream is not read", async () => {
    const { fake, ...clients } = await startWithOllama(stack);
    await untilServing(clients, true);
    const gone = new AbortController();
    async function* endless() {
      for (let i = 0; !gone.signal.aborted; i++) {
        yield { model: "nomic-embed-text", items: [{ id: `${i}`, text: `endless ${i}` }] };
      }
    }
    const unread = clients.embedding.bulkEmbed(endless(), { signal: gone.signal });
    const iterator = unread[Symbol.asyncIterator]();
    await iterator.next();
    expect(await bulk(clients, 100, "b")).toHaveLength(100);
    const query = { task: EmbeddingTask.SEARCH_QUERY, texts: ["why"] };
    expect((await clients.embedding.embed(query)).embeddings.map(lengthOf)).toHaveLength(1);
    gone.abort();
    await failure(iterator.next());
    expect(fake.embedRequests.length).toBeLessThan(200);
  });

  it("is asked once for texts that are the same, and not again for what it has answered", async () => {
    const { fake, ...clients } = await startWithOllama(stack);
    await untilServing(clients, true);
    fake.embedRequests.length = 0;
    const texts = Array.from({ length: 30 }, (_, i) => `text ${i % 3}`);
    const { embeddings } = await clients.embedding.embed({ model: "nomic-embed-text", texts });
    expect(embeddings.every((embedding, i) => isRight(texts[i] ?? "", embedding))).toBe(true);
    await clients.embedding.embed({ model: "nomic-embed-text", texts });
    const sent = fake.embedRequests.flatMap((request) => request.texts);
    expect(sent.filter((text) => !text.endsWith(probeText)).sort()).toEqual(
      ["text 0", "text 1", "text 2"].map((text) => `search_document: ${text}`),
    );
  });

  it("is reported when an OpenAI-compatible endpoint embeds instead", async () => {
    const openAi = stack.use(await FakeOpenAi.start());
    const clients = await startEmbedding(stack, {
      MAHAVISHNU_EMBEDDING_OPENAI_URL: openAi.url,
      MAHAVISHNU_EMBEDDING_OPENAI_MODEL: "bge-small-en-v1.5",
    });
    await untilServing(clients, true);
    const answer = await clients.embedding.embed({ texts: ["one", "two"] });
    expect(answer).toMatchObject({ model: "bge-small-en-v1.5", dimension: 384 });
    const { models } = await clients.embedding.listModels({});
    expect(models[0]).toMatchObject({ provider: "openai", isDefault: true, lexical: false });
    expect(models.find(({ provider }) => provider === "ollama")).toMatchObject({ ready: false });
  });
});
