import type { EmbeddingModel } from "./embedder.ts";

export interface EndpointRequest {
  readonly model: string;
  /** As the model is to see them: prefixed, and short enough as far as one can tell. */
  readonly texts: readonly string[];
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Components wanted, where the model can leave some out by itself; 0 for all. */
  readonly dimensions?: number;
}

/** What a provider tells of a model; 0 where it does not tell. */
export interface ModelFacts {
  readonly dimension: number;
  readonly contextTokens: number;
  readonly embeds: boolean;
}

/** A server of embeddings, with nothing added: one request, one answer or one error. */
export interface EmbeddingEndpoint {
  readonly provider: Exclude<EmbeddingModel["provider"], "builtin">;
  /** For people: `Ollama`. */
  readonly label: string;
  /** What to do where the server does not know the model. */
  helpForLostModel(model: string): string;
  /**
   * The vectors as they came, in the order of the texts, unchecked: an array is promised, of
   * anything. Throws the errors of `provider-call.ts`, or the signal's reason.
   */
  embed(request: EndpointRequest): Promise<readonly unknown[]>;
}
