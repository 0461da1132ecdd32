import type { ModelFacts } from "./embedding-endpoint.ts";
import type { OpenAiClient } from "./openai-client.ts";
import { nothingSeen, type ProviderObservation } from "./remote-models.ts";

export interface OpenAiObserverOptions {
  readonly client: OpenAiClient;
  /** The one model that is asked for. */
  readonly modelName: string;
  readonly timeoutMs: number;
}

/**
 * Looks at an OpenAI-compatible endpoint: does it answer? The model is taken to be there, since
 * many servers answer for their one model whatever its name, and some list none: a vector proves it.
 */
export class OpenAiObserver {
  readonly #options: OpenAiObserverOptions;
  #facts: ModelFacts = { dimension: 0, contextTokens: 0, embeds: true };

  constructor(options: OpenAiObserverOptions) {
    this.#options = options;
  }

  /** Rejects only when the signal aborts. */
  async observe(signal?: AbortSignal): Promise<ProviderObservation> {
    const { client, modelName, timeoutMs } = this.#options;
    try {
      const listed = await client.listedModels(timeoutMs, signal);
      const own = listed.find(({ name }) => name === modelName);
      const contextTokens = own?.contextTokens ?? 0;
      // Other facts make another embedder, so equal ones must be the same object.
      if (contextTokens > 0 && contextTokens !== this.#facts.contextTokens) {
        this.#facts = { ...this.#facts, contextTokens };
      }
      return { reachable: true, models: new Map([[modelName, this.#facts]]) };
    } catch {
      signal?.throwIfAborted();
      return nothingSeen;
    }
  }
}
