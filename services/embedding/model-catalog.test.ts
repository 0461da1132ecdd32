import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeOllama, nomic } from "../../test/harness/fake-ollama.ts";
import { BuiltinEmbedder } from "./builtin-embedder.ts";
import { ModelCatalog, type ModelStatus, type ProviderChoice } from "./model-catalog.ts";
import { ModelTable } from "./model-table.ts";
import { OllamaClient } from "./ollama-client.ts";
import { OllamaObserver } from "./ollama-observer.ts";
import { providerCircuit } from "./provider-circuit.ts";
import { RemoteEmbedder } from "./remote-embedder.ts";
import type { RemoteProvider } from "./remote-models.ts";
import { Slots } from "./slots.ts";

let fake: FakeOllama;
let stack: AsyncDisposableStack;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  fake = stack.use(await FakeOllama.start());
});
afterEach(() => stack.disposeAsync());

interface Watched {
  readonly catalog: ModelCatalog;
  readonly changes: string[];
}

async function open(
  provider: ProviderChoice,
  url = fake.url,
  watchIntervalMs = 20,
): Promise<Watched> {
  const client = new OllamaClient(url);
  const observer = new OllamaObserver(client, 1_000);
  const changes: string[] = [];
  const table = new ModelTable();
  const ollama: RemoteProvider = {
    endpoint: client,
    preferred: "nomic-embed-text",
    observe: (signal) => observer.observe(signal),
    mayHave: (name) => table.knows(name),
    createEmbedder: (modelName, facts) => {
      const embedder = new RemoteEmbedder({
        endpoint: client,
        modelName,
        ...facts,
        table,
        slots: new Slots(2),
        breaker: providerCircuit("ollama", { halfOpenAfterMs: 20 }),
        batchShape: { texts: 32, characters: 262_144, concurrency: 2 },
        requestTimeoutMs: 2_000,
      });
      return { embedder, direct: embedder };
    },
  };
  const catalog: ModelCatalog = new ModelCatalog({
    choice: provider,
    providers: provider === "builtin" ? [] : [ollama],
    builtin: new BuiltinEmbedder(),
    watchIntervalMs,
    missingIntervalMs: 20,
    onChange: (model) => changes.push(`${model.name} ${model.ready ? "ready" : "not ready"}`),
  });
  stack.use(catalog);
  await catalog.start();
  return { catalog, changes };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !condition(); i++) await wait(10);
  expect(condition()).toBe(true);
}

function brief(models: readonly ModelStatus[]) {
  return models.map(({ name, isDefault, ready }) => ({ name, isDefault, ready }));
}

const lexical = "mahavishnu-lexical-v1";
const nowhere = "http://127.0.0.1:1";

describe("the model catalog", () => {
  it("prefers Ollama when it answers and has the model", async () => {
    const { catalog, changes } = await open("auto");
    expect(brief(catalog.list())).toEqual([
      { name: "nomic-embed-text", isDefault: true, ready: true },
      { name: lexical, isDefault: false, ready: true },
    ]);
    expect((await catalog.embedderOf("")).model).toMatchObject({
      provider: "ollama",
      dimension: 768,
    });
    expect((await catalog.embedderOf(lexical)).model.provider).toBe("builtin");
    expect((await catalog.embedderOf("nomic-embed-text:latest")).model.name).toBe(
      "nomic-embed-text",
    );
    expect(changes).toEqual(["nomic-embed-text ready"]);
  });

  it("uses the built-in model where there is no Ollama", async () => {
    const { catalog, changes } = await open("auto", nowhere);
    expect(brief(catalog.list())).toEqual([
      { name: lexical, isDefault: true, ready: true },
      { name: "nomic-embed-text", isDefault: false, ready: false },
    ]);
    expect((await catalog.embedderOf("")).model.lexical).toBe(true);
    await expect(catalog.embedderOf("nomic-embed-text")).rejects.toMatchObject({
      reason: "DEPENDENCY_UNAVAILABLE",
    });
    await expect(catalog.embedderOf("no-such-model")).rejects.toMatchObject({
      reason: "MODEL_NOT_FOUND",
      facts: { model: "no-such-model" },
    });
    expect(changes).toEqual([`${lexical} ready`]);
  });

  it("takes Ollama up when the model arrives, and never goes back", async () => {
    fake.models.length = 0;
    const { catalog, changes } = await open("auto");
    expect(catalog.defaultModel.name).toBe(lexical);
    expect(catalog.list()[1]?.description).toContain("ollama pull nomic-embed-text");
    fake.models.push(nomic);
    await until(() => catalog.defaultModel.name === "nomic-embed-text");
    await fake[Symbol.asyncDispose]();
    await until(() => !catalog.defaultModel.ready);
    expect(catalog.defaultModel.name).toBe("nomic-embed-text");
    await expect(catalog.embedderOf("")).rejects.toMatchObject({ kind: "unavailable" });
    expect((await catalog.embedderOf(lexical)).model.name).toBe(lexical);
    stack.use(await FakeOllama.start({ port: Number(new URL(fake.url).port) }));
    await until(() => catalog.defaultModel.ready);
    expect(changes).toEqual([
      `${lexical} ready`,
      "nomic-embed-text ready",
      "nomic-embed-text not ready",
      "nomic-embed-text ready",
    ]);
  });

  it("does not trust a model that is listed and does not embed", async () => {
    fake.fail({ kind: "status", status: 500 });
    const { catalog } = await open("auto");
    expect(catalog.defaultModel).toMatchObject({ name: lexical, ready: true });
    expect(catalog.list()[1]).toMatchObject({ ready: false });
    fake.heal();
    await until(() => catalog.defaultModel.name === "nomic-embed-text");
  });

  it("makes Ollama prove itself again after a failure", async () => {
    const { catalog } = await open("auto");
    fake.fail({ kind: "status", status: 500 });
    catalog.doubt("ollama");
    expect(catalog.defaultModel.ready).toBe(false);
    fake.heal();
    await until(() => catalog.defaultModel.ready);
  });

  it("looks soon after a failure, and often until a default that has gone is back", async () => {
    const { catalog, changes } = await open("auto", fake.url, 3_600_000);
    await fake[Symbol.asyncDispose]();
    catalog.doubt("ollama");
    expect(catalog.list()[0]?.description).toContain("being tried");
    await until(() => changes.length === 2);
    stack.use(await FakeOllama.start({ port: Number(new URL(fake.url).port) }));
    await expect(catalog.embedderOf("no-such-model")).rejects.toThrow();
    await until(() => catalog.defaultModel.ready);
  });

  it("is not ready without Ollama where Ollama was asked for", async () => {
    const { catalog, changes } = await open("ollama", nowhere);
    expect(catalog.defaultModel).toMatchObject({ name: "nomic-embed-text", ready: false });
    await expect(catalog.embedderOf("")).rejects.toMatchObject({ kind: "unavailable" });
    expect(changes).toEqual(["nomic-embed-text not ready"]);
  });

  it("does not ask Ollama at all where the built-in model was asked for", async () => {
    const { catalog } = await open("builtin");
    expect(brief(catalog.list())).toEqual([{ name: lexical, isDefault: true, ready: true }]);
    await expect(catalog.embedderOf("nomic-embed-text")).rejects.toMatchObject({
      kind: "not_found",
    });
    expect(fake.requests).toEqual([]);
  });

  it("serves other installed models that embed, by name", async () => {
    fake.models.push(
      {
        name: "all-minilm:latest",
        dimension: 384,
        contextTokens: 256,
        capabilities: ["embedding"],
      },
      { name: "llama3:8b", dimension: 4_096, contextTokens: 8_192, capabilities: ["completion"] },
    );
    const { catalog } = await open("auto");
    expect(catalog.list().map(({ name }) => name)).toEqual([
      "nomic-embed-text",
      "all-minilm",
      lexical,
    ]);
    expect((await catalog.embedderOf("all-minilm")).model.dimension).toBe(384);
    await expect(catalog.embedderOf("llama3:8b")).rejects.toMatchObject({ kind: "not_found" });
  });
});
