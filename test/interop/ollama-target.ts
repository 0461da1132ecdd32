import type { ModelFacts } from "../../services/embedding/embedding-endpoint.ts";
import { canonicalModelName } from "../../services/embedding/model-table.ts";
import { OllamaClient } from "../../services/embedding/ollama-client.ts";
import { OllamaObserver } from "../../services/embedding/ollama-observer.ts";

/** The Ollama that the environment names. */
export function askedOllama(): { readonly url: string; readonly model: string } {
  return {
    url: process.env["OLLAMA_BASE_URL"] ?? "http://127.0.0.1:11434",
    model: canonicalModelName(process.env["OLLAMA_MODEL"] ?? "nomic-embed-text"),
  };
}

/** Undefined where none answers, or it has not the model. */
export async function ollamaFacts(): Promise<ModelFacts | undefined> {
  const { url, model } = askedOllama();
  const observer = new OllamaObserver(new OllamaClient(url), 2_000);
  return (await observer.observe()).models.get(model);
}
