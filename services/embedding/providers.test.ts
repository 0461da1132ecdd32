import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLogger } from "../../shared/logging.ts";
import { FakeOllama } from "../../test/harness/fake-ollama.ts";
import { FakeOpenAi } from "../../test/harness/fake-openai.ts";
import { BatchingEmbedder } from "./batching-embedder.ts";
import { BuiltinEmbedder } from "./builtin-embedder.ts";
import { readEmbeddingConfig } from "./config.ts";
import { isEmbedded } from "./embedder.ts";
import { ModelCatalog } from "./model-catalog.ts";
import { createProviders } from "./providers.ts";
import { VectorCache } from "./vector-cache.ts";

let stack: AsyncDisposableStack;
let ollama: FakeOllama;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  ollama = stack.use(await FakeOllama.start());
});
afterEach(() => stack.disposeAsync());

const nowhere = "http://127.0.0.1:1";
const openAiModel = "bge-small-en-v1.5";

async function open(env: Record<string, string>, watchIntervalMs = 20) {
  const config = readEmbeddingConfig({ env: { OLLAMA_BASE_URL: ollama.url, ...env }, file: {} });
  const cache = stack.use(new VectorCache(config.cacheMegabytes * 1024 * 1024));
  const providers = createProviders({
    config,
    logger: silentLogger(),
    cache,
    onNews: (provider) => catalog.doubt(provider),
  });
  for (const { puller } of providers) if (puller !== undefined) stack.use(puller);
  const changes: string[] = [];
  const catalog: ModelCatalog<BatchingEmbedder> = new ModelCatalog({
    choice: config.provider,
    providers,
    builtin: new BatchingEmbedder(new BuiltinEmbedder()),
    watchIntervalMs,
    onChange: ({ name, ready }) => changes.push(`${name} ${ready ? "ready" : "not ready"}`),
  });
  stack.use(catalog);
  await catalog.start();
  return { catalog, changes };
}

function openAiEnv(url: string): Record<string, string> {
  return {
    MAHAVISHNU_EMBEDDING_OPENAI_URL: url,
    MAHAVISHNU_EMBEDDING_OPENAI_MODEL: openAiModel,
  };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i++) await new Promise((go) => setTimeout(go, 10));
  expect(condition()).toBe(true);
}

describe("the providers", () => {
  it("are preferred in this order: the endpoint that is set, Ollama, the built-in model", async () => {
    const openAi = stack.use(await FakeOpenAi.start());
    const { catalog } = await open(openAiEnv(openAi.url));
    expect(catalog.list()).toMatchObject([
      { name: openAiModel, provider: "openai", isDefault: true, ready: true, dimension: 384 },
      { name: "mahavishnu-lexical-v1", provider: "builtin", isDefault: false },
      { name: "nomic-embed-text", provider: "ollama", isDefault: false, ready: true },
    ]);
    const [outcome] = await (await catalog.embedderOf("")).embed(["a"], "query");
    expect(outcome && isEmbedded(outcome) && outcome.vector.length).toBe(384);
    expect((await catalog.embedderOf("nomic-embed-text")).model.provider).toBe("ollama");
  });

  it("rise when a better one comes, and do not fall when it goes", async () => {
    const place = await FakeOpenAi.start();
    await place[Symbol.asyncDispose]();
    const { catalog, changes } = await open(openAiEnv(place.url));
    expect(catalog.defaultModel).toMatchObject({ name: "nomic-embed-text", ready: true });
    const openAi = await FakeOpenAi.start({ port: Number(new URL(place.url).port) });
    await until(() => catalog.defaultModel.name === openAiModel);
    await openAi[Symbol.asyncDispose]();
    await until(() => changes.length === 3);
    expect(catalog.defaultModel).toMatchObject({ name: openAiModel, ready: false });
    await expect(catalog.embedderOf("")).rejects.toMatchObject({ kind: "unavailable" });
    expect((await catalog.embedderOf("nomic-embed-text")).model.provider).toBe("ollama");
    expect(changes).toEqual([
      "nomic-embed-text ready",
      `${openAiModel} ready`,
      `${openAiModel} not ready`,
    ]);
  });

  it("are only the one that is chosen, and no other stands in", async () => {
    const { catalog } = await open({
      ...openAiEnv(nowhere),
      MAHAVISHNU_EMBEDDING_PROVIDER: "openai",
    });
    expect(catalog.defaultModel).toMatchObject({ name: openAiModel, ready: false });
    await expect(catalog.embedderOf("")).rejects.toMatchObject({ kind: "unavailable" });
    expect(ollama.requests).toEqual([]);
  });

  it("do not prove themselves by a vector that is cached", async () => {
    const { catalog } = await open({});
    ollama.fail({ kind: "status", status: 500 });
    catalog.doubt("ollama");
    await until(() => !catalog.defaultModel.ready);
    ollama.heal();
    await until(() => catalog.defaultModel.ready);
  });

  it("say why a model that is there does not embed", async () => {
    const { catalog } = await open({ MAHAVISHNU_EMBEDDING_DIMENSIONS: "100000".slice(0, 4) });
    const nomic = catalog.list().find(({ provider }) => provider === "ollama");
    expect(nomic).toMatchObject({ ready: false });
    expect(nomic?.description).toContain("cannot be cut to 1000");
    expect(catalog.defaultModel.provider).toBe("builtin");
  });

  it("are not trusted where the vector of a probe has not the dimension that was told", async () => {
    ollama.fail({ kind: "wrong_dimension" });
    const { catalog } = await open({});
    const nomic = catalog.list().find(({ provider }) => provider === "ollama");
    expect(nomic).toMatchObject({ ready: false, dimension: 768 });
    expect(nomic?.description).toContain("has 767 components, not 768");
    expect(catalog.defaultModel.provider).toBe("builtin");
    ollama.heal();
    await until(() => catalog.defaultModel.provider === "ollama");
  });

  it("learn the dimension again when an endpoint without a list serves another model", async () => {
    const openAi = await FakeOpenAi.start({ lists: false });
    const { catalog } = await open({
      ...openAiEnv(openAi.url),
      MAHAVISHNU_EMBEDDING_PROVIDER: "openai",
    });
    const embedder = await catalog.embedderOf("");
    await embedder.embed(["a"], "query");
    await openAi[Symbol.asyncDispose]();
    const port = Number(new URL(openAi.url).port);
    stack.use(await FakeOpenAi.start({ lists: false, port, dimension: 512 }));
    let length = 0;
    for (let i = 0; i < 500 && length !== 512; i++) {
      const outcomes = await embedder.embed([`text ${i}`], "query").catch(() => []);
      length = outcomes.flatMap((one) => (isEmbedded(one) ? one.vector.length : []))[0] ?? 0;
      expect([0, 512]).toContain(length);
      await new Promise((go) => setTimeout(go, 10));
    }
    const [again] = await embedder.embed(["a"], "query");
    expect(again && isEmbedded(again) && again.vector.length).toBe(512);
    await until(() => catalog.defaultModel.ready);
  });

  it("cut the vectors of the model that is asked for", async () => {
    const { catalog } = await open({ MAHAVISHNU_EMBEDDING_DIMENSIONS: "256" });
    expect(catalog.defaultModel).toMatchObject({ name: "nomic-embed-text", dimension: 256 });
  });

  it("take up a model that was pulled again with other contents, and forget its vectors", async () => {
    const { catalog } = await open({});
    await (await catalog.embedderOf("")).embed(["a"], "query");
    ollama.models[0] = {
      name: "nomic-embed-text:latest",
      dimension: 512,
      contextTokens: 2_048,
      capabilities: ["embedding"],
    };
    await until(() => catalog.defaultModel.dimension === 512);
    const [outcome] = await (await catalog.embedderOf("")).embed(["a"], "query");
    expect(outcome && isEmbedded(outcome) && outcome.vector.length).toBe(512);
  });

  it("have Ollama fetch the model where that is wanted, and say how far it is", async () => {
    ollama.models.length = 0;
    ollama.pulling = { steps: [0, 40, 80, 100], total: 100, pauseMs: 40 };
    const { catalog } = await open({ MAHAVISHNU_EMBEDDING_PULL: "true" });
    const seen = new Set<string>();
    await until(() => {
      seen.add(catalog.list().find(({ provider }) => provider === "ollama")?.description ?? "");
      return catalog.defaultModel.name === "nomic-embed-text";
    });
    expect([...seen].join()).toMatch(/pulling 970aa74c0a90 (40|80) %/);
    expect(ollama.requests.filter((path) => path === "POST /api/pull")).toHaveLength(1);
  });

  it("are looked at when a model has been fetched, and not only when it is time", async () => {
    ollama.models.length = 0;
    const { catalog } = await open({ MAHAVISHNU_EMBEDDING_PULL: "true" }, 3_600_000);
    await until(() => catalog.defaultModel.name === "nomic-embed-text");
  });

  it("survive a pull that fails, and do not fetch what nobody wanted", async () => {
    ollama.models.length = 0;
    ollama.pulling = { steps: [1], total: 10, error: "pull model manifest: file does not exist" };
    const { catalog } = await open({ MAHAVISHNU_EMBEDDING_PULL: "true" });
    await until(() => ollama.requests.filter((path) => path === "GET /api/tags").length > 5);
    expect(ollama.requests.filter((path) => path === "POST /api/pull")).toHaveLength(1);
    expect(catalog.defaultModel.provider).toBe("builtin");
    ollama.requests.length = 0;
    const other = await open({});
    expect(other.catalog.defaultModel.provider).toBe("builtin");
    expect(ollama.requests).not.toContain("POST /api/pull");
  });
});
