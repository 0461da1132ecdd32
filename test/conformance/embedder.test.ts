import { BuiltinEmbedder } from "../../services/embedding/builtin-embedder.ts";
import { MeteredEmbedder } from "../../services/embedding/metered-embedder.ts";
import { ModelTable } from "../../services/embedding/model-table.ts";
import { OllamaClient } from "../../services/embedding/ollama-client.ts";
import { providerCircuit } from "../../services/embedding/provider-circuit.ts";
import { RemoteEmbedder } from "../../services/embedding/remote-embedder.ts";
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
