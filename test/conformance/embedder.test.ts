import { BatchingEmbedder } from "../../services/embedding/batching-embedder.ts";
import { BuiltinEmbedder } from "../../services/embedding/builtin-embedder.ts";
import { MeteredEmbedder } from "../../services/embedding/metered-embedder.ts";
import { ModelTable } from "../../services/embedding/model-table.ts";
import { OllamaClient } from "../../services/embedding/ollama-client.ts";
import { OpenAiClient } from "../../services/embedding/openai-client.ts";
import { providerCircuit } from "../../services/embedding/provider-circuit.ts";
import { RemoteEmbedder } from "../../services/embedding/remote-embedder.ts";
import { Slots } from "../../services/embedding/slots.ts";
import { VectorCache } from "../../services/embedding/vector-cache.ts";
import { FakeOllama } from "../harness/fake-ollama.ts";
import { FakeOpenAi } from "../harness/fake-openai.ts";
import { type EmbedderCandidate, examineEmbedder } from "./embedder.ts";

examineEmbedder("builtin", async () => ({
  embedder: new BuiltinEmbedder(),
  [Symbol.asyncDispose]: async () => {},
}));

examineEmbedder("builtin, metered", async () => ({
  embedder: new MeteredEmbedder(new BuiltinEmbedder()),
  [Symbol.asyncDispose]: async () => {},
}));

examineEmbedder("ollama, which refuses long texts", () => ollama(true));

examineEmbedder("ollama, which cuts long texts", () => ollama(false));

examineEmbedder("ollama, gathered and cached", async () => {
  const candidate = await ollama(true);
  const cache = new VectorCache(16 * 1024 * 1024);
  return {
    embedder: new BatchingEmbedder(candidate.embedder, { cache: cache.scope("nomic-embed-text") }),
    async [Symbol.asyncDispose]() {
      cache[Symbol.dispose]();
      await candidate[Symbol.asyncDispose]();
    },
  };
});

examineEmbedder("builtin, gathered", async () => ({
  embedder: new BatchingEmbedder(new BuiltinEmbedder()),
  [Symbol.asyncDispose]: async () => {},
}));

examineEmbedder("openai", async () => {
  const fake = await FakeOpenAi.start();
  const embedder = new RemoteEmbedder({
    endpoint: new OpenAiClient(fake.url),
    modelName: "bge-small-en-v1.5",
    dimension: 384,
    contextTokens: 512,
    table: new ModelTable(),
    slots: new Slots(4),
    breaker: providerCircuit("openai"),
    batchShape: { texts: 32, characters: 262_144, concurrency: 4 },
    requestTimeoutMs: 30_000,
  });
  return { embedder, [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose]() };
});

async function ollama(refusesLongTexts: boolean): Promise<EmbedderCandidate> {
  const fake = await FakeOllama.start({ refusesLongTexts });
  const embedder = new RemoteEmbedder({
    endpoint: new OllamaClient(fake.url),
    modelName: "nomic-embed-text",
    dimension: 768,
    contextTokens: 2_048,
    table: new ModelTable(),
    slots: new Slots(4),
    breaker: providerCircuit("ollama"),
    batchShape: { texts: 32, characters: 262_144, concurrency: 4 },
    requestTimeoutMs: 30_000,
  });
  return { embedder, [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose]() };
}
