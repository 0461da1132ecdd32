import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BadRequestSchema, RetryInfoSchema } from "../../shared/gen/google/rpc/error_details_pb.js";
import type { BulkEmbedResult } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { silentLogger } from "../../shared/logging.ts";
import { FakeOllama, nomic } from "../../test/harness/fake-ollama.ts";
import { wordVector } from "../../test/harness/word-vector.ts";
import {
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

describe("the embedding service", () => {
  it("embeds with the built-in model on a machine without Ollama", async () => {
    const clients = await startEmbedding(stack);
    await untilServing(clients, true);
    const answer = await clients.embedding.embed({ texts: ["one", "two"] });
    expect(answer).toMatchObject({ model: "mahavishnu-lexical-v1", dimension: 768 });
    expect(answer.embeddings.map(lengthOf)).toEqual([expect.closeTo(1, 5), expect.closeTo(1, 5)]);
    const { models } = await clients.embedding.listModels({});
    expect(models).toMatchObject([
      {
        name: "mahavishnu-lexical-v1",
        provider: "builtin",
        isDefault: true,
        ready: true,
        lexical: true,
      },
      {
        name: "nomic-embed-text",
        provider: "ollama",
        isDefault: false,
        ready: false,
        lexical: false,
      },
    ]);
  });

  it("embeds with Ollama where it answers, queries otherwise than documents", async () => {
    const { fake, ...clients } = await startWithOllama(stack);
    await untilServing(clients, true);
    const answer = await clients.embedding.embed({
      task: EmbeddingTask.SEARCH_QUERY,
      texts: ["why"],
    });
    expect(answer.model).toBe("nomic-embed-text");
    expect(fake.embedRequests.at(-1)?.texts).toEqual(["search_query: why"]);
  });

  it("says in the log which model embeds, and what that means", async () => {
    const logger = silentLogger();
    const [warn, info] = [vi.spyOn(logger, "warn"), vi.spyOn(logger, "info")];
    const { fake, ...clients } = await startWithOllama(stack, {}, { logger });
    await untilServing(clients, true);
    expect(info.mock.calls).toContainEqual([
      { model: "nomic-embed-text", provider: "ollama", dimension: 768 },
      "embedding by meaning",
    ]);
    expect(warn).not.toHaveBeenCalled();
    fake.models[0] = { ...nomic, weights: "other" };
    while (warn.mock.calls.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const other = { provider: "ollama", model: "nomic-embed-text" };
    expect(warn.mock.calls[0]).toEqual([other, expect.stringContaining("other contents")]);
    warn.mockClear();
    await untilServing(await startEmbedding(stack, {}, { logger }), true);
    expect(warn.mock.calls).toEqual([
      [expect.objectContaining({ provider: "builtin" }), expect.stringContaining("LEXICAL")],
    ]);
  });

  it("cuts to the context that Ollama tells, or that is set, and reports it", async () => {
    const models = [{ ...nomic, contextTokens: 300 }];
    const fake = stack.use(await FakeOllama.start({ models }));
    const clients = await startEmbedding(stack, { OLLAMA_BASE_URL: fake.url });
    const own = { "nomic-embed-text": { query_prefix: "ask: ", context_tokens: 100 } };
    const overridden = await startEmbedding(stack, {
      OLLAMA_BASE_URL: fake.url,
      MAHAVISHNU_EMBEDDING_MODELS: JSON.stringify(own),
    });
    for (const [some, words] of [[clients, 290] as const, [overridden, 90] as const]) {
      await untilServing(some, true);
      fake.embedRequests.length = 0;
      const texts = ["word ".repeat(1_000), "word ".repeat(50)];
      const query = { task: EmbeddingTask.SEARCH_QUERY, texts };
      const { embeddings } = await some.embedding.embed(query);
      expect(embeddings.map(({ truncated }) => truncated)).toEqual([true, false]);
      const sent = fake.embedRequests.flatMap((request) => request.texts);
      const long = sent.find((text) => text.length > 300)?.match(/word/g)?.length;
      expect(long).toBeGreaterThan(words - 10);
      expect(long).toBeLessThan(words + 10);
    }
    expect(fake.embedRequests.at(-1)?.texts.some((text) => text.startsWith("ask: word"))).toBe(
      true,
    );
  });

  it("stops serving when Ollama goes away, and serves again when it is back", async () => {
    const { fake, ...clients } = await startWithOllama(stack);
    await untilServing(clients, true);
    await fake[Symbol.asyncDispose]();
    await untilServing(clients, false);
    const error = await failure(clients.embedding.embed({ texts: ["a"] }));
    expect([error.code, reasonOf(error)]).toEqual([Code.Unavailable, "DEPENDENCY_UNAVAILABLE"]);
    expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
    const builtin = { model: "mahavishnu-lexical-v1", texts: ["a"] };
    expect((await clients.embedding.embed(builtin)).embeddings).toHaveLength(1);
    stack.use(await FakeOllama.start({ port: Number(new URL(fake.url).port) }));
    await untilServing(clients, true);
  });

  it("reports bad texts in their place and embeds the others", async () => {
    const { embedding } = await startEmbedding(stack);
    const texts = ["good", "", " \n", "x".repeat(1024 * 1024 + 1), "also good"];
    const { embeddings } = await embedding.embed({ texts });
    expect(embeddings.map(({ result }) => result.case)).toEqual([
      "vector",
      "error",
      "error",
      "error",
      "vector",
    ]);
    expect(embeddings[3]?.result.value).toMatchObject({
      code: Code.InvalidArgument,
      reason: ErrorReason.INVALID_FIELD,
      field: "texts[3]",
    });
  });

  it("names what is wrong with a request, all at once", async () => {
    const { embedding } = await startEmbedding(stack);
    const error = await failure(
      embedding.embed({ model: "m".repeat(300), task: 9 as EmbeddingTask, texts: [] }),
    );
    expect([error.code, reasonOf(error)]).toEqual([Code.InvalidArgument, "INVALID_FIELD"]);
    const fields = error
      .findDetails(BadRequestSchema)[0]
      ?.fieldViolations.map(({ field }) => field);
    expect(fields?.sort()).toEqual(["model", "task", "texts"]);
    const many = await failure(embedding.embed({ texts: Array(1_001).fill("a") }));
    expect(many.code).toBe(Code.InvalidArgument);
  });

  it("does not know every model", async () => {
    const { embedding } = await startEmbedding(stack);
    const error = await failure(embedding.embed({ model: "no-such-model", texts: ["a"] }));
    expect([error.code, reasonOf(error)]).toEqual([Code.NotFound, "MODEL_NOT_FOUND"]);
  });

  it("turns away what is too much, and says when to come again", async () => {
    const limits = { texts: 10, bytes: 1_000_000, streams: 1 };
    const { fake, ...clients } = await startWithOllama(stack, {}, { admissionLimits: limits });
    await untilServing(clients, true);
    fake.fail({ kind: "held" });
    const first = clients.embedding.embed({ texts: Array(10).fill("a") });
    while (fake.embedsInFlight === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const error = await failure(clients.embedding.embed({ texts: ["b"] }));
    expect([error.code, reasonOf(error)]).toEqual([Code.ResourceExhausted, "OVERLOADED"]);
    expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
    fake.heal();
    expect((await first).embeddings).toHaveLength(10);
  });

  it("passes a cancellation on to Ollama", async () => {
    const { fake, ...clients } = await startWithOllama(stack);
    await untilServing(clients, true);
    fake.fail({ kind: "slow", delayMs: 10_000 });
    const gone = new AbortController();
    const call = failure(clients.embedding.embed({ texts: ["a"] }, { signal: gone.signal }));
    while (fake.embedsInFlight === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    gone.abort();
    expect((await call).code).toBe(Code.Canceled);
    while (fake.abandoned === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const late = await failure(clients.embedding.embed({ texts: ["a"] }, { timeoutMs: 100 }));
    expect(late.code).toBe(Code.DeadlineExceeded);
  });

  it("needs the token where one is set", async () => {
    const clients = await startEmbedding(stack, { MAHAVISHNU_AUTH_TOKEN: "other" });
    await untilServing(clients, true);
    const error = await failure(clients.embedding.listModels({}));
    expect(error.code).toBe(Code.Unauthenticated);
  });
});

describe("BulkEmbed", () => {
  it("answers every item of a long stream exactly once", async () => {
    const { fake, ...clients } = await startWithOllama(stack);
    await untilServing(clients, true);
    fake.embedRequests.length = 0;
    fake.fail({ kind: "status", status: 400, marker: "text 77." });
    async function* requests() {
      for (let i = 0; i < 100; i++) {
        const items = Array.from({ length: 10 }, (_, j) => {
          const n = i * 10 + j;
          return { id: `id-${n}`, text: n === 5 ? "" : `text ${n}.` };
        });
        yield i === 0 ? { model: "nomic-embed-text", items } : { items };
      }
    }
    const results: BulkEmbedResult[] = [];
    for await (const answer of clients.embedding.bulkEmbed(requests())) {
      expect(answer).toMatchObject({ model: "nomic-embed-text", dimension: 768 });
      results.push(...answer.results);
    }
    expect(results).toHaveLength(1_000);
    expect(new Set(results.map(({ id }) => id)).size).toBe(1_000);
    const failed = results.filter(({ embedding }) => embedding?.result.case !== "vector");
    expect(failed.map(({ id }) => id).sort()).toEqual(["id-5", "id-77"]);
    expect(fake.embedRequests.length).toBeLessThan(80);
  });

  it("refuses a stream that changes its model, or holds an empty message", async () => {
    const { embedding } = await startEmbedding(stack);
    const items = [{ id: "a", text: "a" }];
    const drain = async (requests: readonly object[]) => {
      async function* all() {
        yield* requests;
      }
      for await (const _ of embedding.bulkEmbed(all())) {
        // Only the end matters.
      }
    };
    const model = await failure(drain([{ items }, { model: "another", items }]));
    expect(model.code).toBe(Code.InvalidArgument);
    expect(model.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field).toBe("model");
    expect((await failure(drain([{ items: [] }]))).code).toBe(Code.InvalidArgument);
    expect((await failure(drain([{ model: "no-such-model", items }]))).code).toBe(Code.NotFound);
    await expect(drain([])).resolves.toBeUndefined();
  });

  it("gives way to the first query at once, and answers every item all the same", async () => {
    const { fake, ...clients } = await startWithOllama(stack, {
      MAHAVISHNU_EMBEDDING_CONCURRENCY: "2",
    });
    await untilServing(clients, true);
    // Without giving way neither the query nor the stream would ever end.
    fake.fail({ kind: "slow", delayMs: 3_600_000, times: 2, marker: "item" });
    async function* requests() {
      const items = Array.from({ length: 400 }, (_, i) => ({ id: `${i}`, text: `item ${i}` }));
      yield { model: "nomic-embed-text", items };
    }
    const answers: BulkEmbedResult[] = [];
    const reading = (async () => {
      for await (const { results } of clients.embedding.bulkEmbed(requests())) {
        answers.push(...results);
      }
    })();
    while (fake.embedsInFlight < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    const query = { task: EmbeddingTask.SEARCH_QUERY, texts: ["why"] };
    expect((await clients.embedding.embed(query)).embeddings.map(lengthOf)).toHaveLength(1);
    await reading;
    expect(fake.abandoned).toBe(2);
    expect(new Set(answers.map(({ id }) => id)).size).toBe(400);
    expect(answers).toHaveLength(400);
    const right = wordVector("search_document: item 7", 768);
    const seventh = answers.find(({ id }) => id === "7")?.embedding?.result;
    expect(seventh?.case === "vector" && seventh.value.values[3]).toBeCloseTo(right[3] ?? 0, 5);
  });

  it("bounds the streams at once, and frees what a cancelled one held", async () => {
    const limits = { texts: 10, bytes: 1_000_000, streams: 1 };
    const { fake, ...clients } = await startWithOllama(stack, {}, { admissionLimits: limits });
    await untilServing(clients, true);
    fake.fail({ kind: "slow", delayMs: 10_000, times: 1 });
    const gone = new AbortController();
    async function* hanging() {
      yield { items: [{ id: "a", text: "a" }] };
      await new Promise((resolve) => gone.signal.addEventListener("abort", resolve));
    }
    const read = async (signal?: AbortSignal) => {
      const options = signal === undefined ? {} : { signal };
      const requests = signal === undefined ? one() : hanging();
      for await (const answer of clients.embedding.bulkEmbed(requests, options)) return answer;
      return undefined;
    };
    async function* one() {
      yield { items: [{ id: "b", text: "b" }] };
    }
    const first = failure(read(gone.signal));
    while (fake.embedsInFlight === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await failure(read())).code).toBe(Code.ResourceExhausted);
    gone.abort();
    expect((await first).code).toBe(Code.Canceled);
    while (fake.abandoned === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await read())?.results).toHaveLength(1);
  });
});
