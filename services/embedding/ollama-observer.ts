import type { OllamaClient, OllamaModelFacts } from "./ollama-client.ts";
import { canonicalModelName } from "./ollama-models.ts";

/** What Ollama offers now. */
export interface OllamaObservation {
  readonly reachable: boolean;
  /** Models that embed, by canonical name. Empty where Ollama does not answer. */
  readonly models: ReadonlyMap<string, OllamaModelFacts>;
}

/** Installed models looked at in one observation; a machine with more is unheard of. */
const mostModels = 200;

/**
 * Looks at an Ollama: does it answer, and which of its models embed? What a model is, is asked
 * once for each content digest, so that looking often costs one small request.
 */
export class OllamaObserver {
  readonly #client: OllamaClient;
  readonly #timeoutMs: number;
  readonly #facts = new Map<string, OllamaModelFacts>();

  constructor(client: OllamaClient, timeoutMs: number) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects only when the signal aborts. */
  async observe(signal?: AbortSignal): Promise<OllamaObservation> {
    try {
      const installed = await this.#client.installedModels(this.#timeoutMs, signal);
      const models = new Map<string, OllamaModelFacts>();
      for (const { name, digest } of installed.slice(0, mostModels)) {
        const facts = await this.#factsOf(name, digest, signal);
        if (facts?.embeds) models.set(canonicalModelName(name), facts);
      }
      return { reachable: true, models };
    } catch {
      signal?.throwIfAborted();
      return { reachable: false, models: new Map() };
    }
  }

  /** Undefined where Ollama answers, but not for this model; the next observation asks again. */
  async #factsOf(
    name: string,
    digest: string,
    signal?: AbortSignal,
  ): Promise<OllamaModelFacts | undefined> {
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
