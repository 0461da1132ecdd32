import { BuiltinEmbedder } from "../../services/embedding/builtin-embedder.ts";
import { MeteredEmbedder } from "../../services/embedding/metered-embedder.ts";
import { OllamaClient } from "../../services/embedding/ollama-client.ts";
import { OllamaEmbedder } from "../../services/embedding/ollama-embedder.ts";
import { Slots } from "../../services/embedding/slots.ts";
import { FakeOllama } from "../harness/fake-ollama.ts";
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

async function ollama(refusesLongTexts: boolean): Promise<EmbedderCandidate> {
  const fake = await FakeOllama.start({ refusesLongTexts });
  const embedder = new OllamaEmbedder({
    client: new OllamaClient(fake.url),
    modelName: "nomic-embed-text",
    dimension: 768,
    contextTokens: 2_048,
    slots: new Slots(4),
    batchShape: { texts: 32, concurrency: 4 },
    requestTimeoutMs: 30_000,
  });
  return { embedder, [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose]() };
}
