import { describe, it } from "vitest";
import { ModelTable } from "../../services/embedding/model-table.ts";
import { OllamaClient } from "../../services/embedding/ollama-client.ts";
import { providerCircuit } from "../../services/embedding/provider-circuit.ts";
import { RemoteEmbedder } from "../../services/embedding/remote-embedder.ts";
import { Slots } from "../../services/embedding/slots.ts";
import { examineEmbedder } from "../conformance/embedder.ts";
import { askedOllama, ollamaFacts } from "./ollama-target.ts";

const { url, model } = askedOllama();
// Only where it is asked for: a test run must not depend on what happens to listen.
const facts = process.env["OLLAMA_BASE_URL"] === undefined ? undefined : await ollamaFacts();

if (facts === undefined) {
  console.warn(
    `skipped: conformance on a real Ollama (set OLLAMA_BASE_URL; it must have ${model})`,
  );
  describe.skip("embedder: a real Ollama", () => {
    it("keeps the promises", () => {});
  });
} else {
  examineEmbedder(`a real Ollama, ${model}`, async () => ({
    embedder: new RemoteEmbedder({
      endpoint: new OllamaClient(url),
      modelName: model,
      ...facts,
      table: new ModelTable(),
      slots: new Slots(4),
      breaker: providerCircuit("ollama"),
      batchShape: { texts: 32, characters: 65_536, concurrency: 4 },
      requestTimeoutMs: 300_000,
    }),
    [Symbol.asyncDispose]: async () => {},
  }));
}
