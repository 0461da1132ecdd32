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
import { FakeOllama } from "../../test/harness/fake-ollama.ts";
import { createApp, type EmbeddingOverrides } from "./app.ts";
import { readEmbeddingConfig } from "./config.ts";

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
