import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../../shared/gen/google/rpc/error_details_pb.js";
import { Health, HealthCheckResponse_ServingStatus } from "../../shared/gen/health/v1/health_pb.js";
import {
  type BulkEmbedResult,
  type Embedding,
  EmbeddingService,
} from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { ErrorReason } from "../../shared/gen/mahavishnu/type/v1/error_pb.js";
import { silentLogger } from "../../shared/logging.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { FakeOllama, nomic, wordVector } from "../../test/harness/fake-ollama.ts";
import { FakeOpenAi } from "../../test/harness/fake-openai.ts";
import { createApp, type EmbeddingOverrides } from "./app.ts";
import { readEmbeddingConfig } from "./config.ts";
import { probeText } from "./order-check.ts";

interface Clients {
  readonly embedding: Client<typeof EmbeddingService>;
  readonly health: Client<typeof Health>;
}

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

async function start(
  env: Record<string, string> = {},
  overrides: EmbeddingOverrides = {},
): Promise<Clients> {
  const config = readEmbeddingConfig({
    env: {
      MAHAVISHNU_EMBEDDING_PORT: "0",
      OLLAMA_BASE_URL: "http://127.0.0.1:1",
      MAHAVISHNU_SHUTDOWN_GRACE_MS: "100",
      ...env,
    },
    file: {},
  });
  const app = stack.use(await createApp(config, { logger: silentLogger(), ...overrides }));
  const transport = stack.use(createGrpcTransport({ address: app.address, authToken: "secret" }));
  return {
    embedding: createClient(EmbeddingService, transport),
    health: createClient(Health, transport),
  };
}

async function startWithOllama(
  env: Record<string, string> = {},
  overrides: EmbeddingOverrides = {},
) {
  const fake = stack.use(await FakeOllama.start());
  const clients = await start(
    { OLLAMA_BASE_URL: fake.url, ...env },
    { watchIntervalMs: 20, ...overrides },
  );
  return { fake, ...clients };
}

async function untilServing({ health }: Clients, serving: boolean): Promise<void> {
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  const wanted = serving ? SERVING : NOT_SERVING;
  for await (const { status } of health.watch({ service: EmbeddingService.typeName })) {
    if (status === wanted) return;
  }
}

async function failure(call: Promise<unknown>): Promise<ConnectError> {
  return ConnectError.from(
    await call.then(
      () => "no failure",
      (error: unknown) => error,
    ),
  );
}

function reasonOf(error: ConnectError): string | undefined {
  return error.findDetails(ErrorInfoSchema)[0]?.reason;
}

function length(embedding: Embedding | undefined): number {
  const { result } = embedding ?? {};
  return result?.case === "vector" ? Math.hypot(...result.value.values) : 0;
}

describe("the embedding service", () => {
  it("embeds with the built-in model on a machine without Ollama", async () => {
    const clients = await start();
    await untilServing(clients, true);
    const answer = await clients.embedding.embed({ texts: ["one", "two"] });
    expect(answer).toMatchObject({ model: "mahavishnu-lexical-v1", dimension: 768 });
    expect(answer.embeddings.map(length)).toEqual([expect.closeTo(1, 5), expect.closeTo(1, 5)]);
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
    const { fake, ...clients } = await startWithOllama();
    await untilServing(clients, true);
    const answer = await clients.embedding.embed({
      task: EmbeddingTask.SEARCH_QUERY,
      texts: ["why"],
    });
    expect(answer.model).toBe("nomic-embed-text");
    expect(fake.embedRequests.at(-1)?.texts).toEqual(["search_query: why"]);
  });

  it("stops serving when Ollama goes away, and serves again when it is back", async () => {
    const { fake, ...clients } = await startWithOllama();
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
    const { embedding } = await start();
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
    const { embedding } = await start();
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
    const { embedding } = await start();
    const error = await failure(embedding.embed({ model: "no-such-model", texts: ["a"] }));
    expect([error.code, reasonOf(error)]).toEqual([Code.NotFound, "MODEL_NOT_FOUND"]);
  });

  it("turns away what is too much, and says when to come again", async () => {
    const limits = { texts: 10, bytes: 1_000_000, streams: 1 };
    const { fake, ...clients } = await startWithOllama({}, { admissionLimits: limits });
    await untilServing(clients, true);
    fake.fail({ kind: "slow", delayMs: 300, times: 1 });
    const first = clients.embedding.embed({ texts: Array(10).fill("a") });
    while (fake.embedsInFlight === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const error = await failure(clients.embedding.embed({ texts: ["b"] }));
    expect([error.code, reasonOf(error)]).toEqual([Code.ResourceExhausted, "OVERLOADED"]);
    expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
    expect((await first).embeddings).toHaveLength(10);
  });

  it("passes a cancellation on to Ollama", async () => {
    const { fake, ...clients } = await startWithOllama();
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
    const clients = await start({ MAHAVISHNU_AUTH_TOKEN: "other" });
    await untilServing(clients, true);
    const error = await failure(clients.embedding.listModels({}));
    expect(error.code).toBe(Code.Unauthenticated);
  });
});

describe("BulkEmbed", () => {
  it("answers every item of a long stream exactly once", async () => {
    const { fake, ...clients } = await startWithOllama();
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
    const { embedding } = await start();
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
    const { fake, ...clients } = await startWithOllama({ MAHAVISHNU_EMBEDDING_CONCURRENCY: "2" });
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
    expect((await clients.embedding.embed(query)).embeddings.map(length)).toHaveLength(1);
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
    const { fake, ...clients } = await startWithOllama({}, { admissionLimits: limits });
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

/** What a wrong, slow, flapping or absent Ollama may do to callers: nothing but errors that say so. */
describe("an Ollama that misbehaves", () => {
  const expected = (text: string) => wordVector(`search_document: ${text}`, 768);

  function isRight(text: string, embedding: Embedding | undefined): boolean {
    const { result } = embedding ?? {};
    if (result?.case !== "vector") return false;
    const right = expected(text);
    return result.value.values.every((value, i) => Math.abs(value - (right[i] ?? 0)) < 1e-5);
  }

  async function bulk(clients: Clients, count: number, name: string): Promise<BulkEmbedResult[]> {
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
    const { fake, ...clients } = await startWithOllama({
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
    expect(good).toBeGreaterThan(300);
  });

  it("gives right vectors where it mixes up every batch", async () => {
    const { fake, ...clients } = await startWithOllama();
    await untilServing(clients, true);
    fake.fail({ kind: "shuffled" });
    const texts = Array.from({ length: 200 }, (_, i) => `passage ${i}`);
    const { embeddings } = await clients.embedding.embed({ model: "nomic-embed-text", texts });
    expect(embeddings.every((embedding, i) => isRight(texts[i] ?? "", embedding))).toBe(true);
  });

  it("gives right vectors where it begins to mix up batches in mid-stream", async () => {
    const { fake, ...clients } = await startWithOllama({
      MAHAVISHNU_EMBEDDING_ORDER_CHECK: "1",
      MAHAVISHNU_EMBEDDING_BATCH_SIZE: "16",
    });
    await untilServing(clients, true);
    fake.fail({ kind: "shuffled", marker: "item 203" });
    const results = await bulk(clients, 400, "a");
    expect(new Set(results.map(({ id }) => id)).size).toBe(400);
    for (const { id, embedding } of results) expect(isRight(`a item ${id}`, embedding)).toBe(true);
  });

  it("is looked at again at once when its model has another dimension", async () => {
    const { fake, ...clients } = await startWithOllama({}, { watchIntervalMs: 3_600_000 });
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
    const { fake, ...clients } = await startWithOllama({ MAHAVISHNU_EMBEDDING_TIMEOUT_MS: "200" });
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
    const { fake, ...clients } = await startWithOllama();
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
    expect((await clients.embedding.embed(query)).embeddings.map(length)).toHaveLength(1);
    gone.abort();
    await failure(iterator.next());
    expect(fake.embedRequests.length).toBeLessThan(200);
  });

  it("is asked once for texts that are the same, and not again for what it has answered", async () => {
    const { fake, ...clients } = await startWithOllama();
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
    const clients = await start({
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
