import type { ModelFacts } from "./embedding-endpoint.ts";
import { canonicalModelName } from "./model-table.ts";
import type { OllamaClient } from "./ollama-client.ts";
import { nothingSeen, type ProviderObservation } from "./remote-models.ts";

/** Installed models looked at in one observation; a machine with more is unheard of. */
const mostModels = 200;

/**
 * Looks at an Ollama: does it answer, and which of its models embed? What a model is, is asked
 * once for each content digest, so that looking often costs one small request.
 */
export class OllamaObserver {
  readonly #client: OllamaClient;
  readonly #timeoutMs: number;
  readonly #facts = new Map<string, ModelFacts>();

  constructor(client: OllamaClient, timeoutMs: number) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects only when the signal aborts. */
  async observe(signal?: AbortSignal): Promise<ProviderObservation> {
    try {
      const installed = await this.#client.installedModels(this.#timeoutMs, signal);
      const models = new Map<string, ModelFacts>();
      for (const { name, digest } of installed.slice(0, mostModels)) {
        const facts = await this.#factsOf(name, digest, signal);
        if (facts?.embeds) models.set(canonicalModelName(name), facts);
      }
      return { reachable: true, models };
    } catch {
      signal?.throwIfAborted();
      return nothingSeen;
    }
  }

  /** Undefined where Ollama answers, but not for this model; the next observation asks again. */
  async #factsOf(
    name: string,
    digest: string,
    signal?: AbortSignal,
  ): Promise<ModelFacts | undefined> {
    const key = `${name}@${digest}`;
    const known = this.#facts.get(key);
    if (known !== undefined) return known;
    try {
      const facts = await this.#client.modelFacts(name, this.#timeoutMs, signal);
      this.#facts.set(key, facts);
      return facts;
    } catch {
      signal?.throwIfAborted();
      return undefined;
    }
  }
}
