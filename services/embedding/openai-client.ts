import type { EmbeddingEndpoint, EndpointRequest } from "./embedding-endpoint.ts";
import {
  callProvider,
  checkStatus,
  type PlainEndpoint,
  ProviderAnswerError,
  ProviderStatusError,
  plainEndpoint,
  property,
} from "./provider-call.ts";

export interface OpenAiClientOptions {
  /** Sent as `Authorization: Bearer`. */
  readonly key?: string | undefined;
}

/** What a server says of itself; empty where it does not serve a list of models. */
export interface ListedModel {
  readonly name: string;
  /** 0 where it does not tell. */
  readonly contextTokens: number;
}

const label = "the OpenAI-compatible endpoint";

/**
 * A server of `/v1/embeddings`, such as those of llama.cpp, vLLM, Text Embeddings Inference,
 * LM Studio and OpenAI. The base URL ends with `/v1` as a rule, which is added where it has no path.
 */
export class OpenAiClient implements EmbeddingEndpoint {
  readonly provider = "openai";
  readonly label = label;
  readonly #endpoint: PlainEndpoint;

  constructor(baseUrl: string, { key }: OpenAiClientOptions = {}) {
    const headers: Record<string, string> = {};
    if (key !== undefined) headers["authorization"] = `Bearer ${key}`;
    const endpoint = plainEndpoint(baseUrl, headers);
    const bare = new URL(endpoint.url).pathname === "/";
    this.#endpoint = { ...endpoint, url: bare ? `${endpoint.url}/v1` : endpoint.url };
  }

  helpForLostModel(): string {
    return "the OpenAI-compatible endpoint does not know it";
  }

  async embed(request: EndpointRequest): Promise<readonly unknown[]> {
    const { model, texts, timeoutMs, signal, dimensions = 0 } = request;
    const answer = await this.#call(timeoutMs, signal, "embeddings", {
      model,
      input: texts,
      encoding_format: "float",
      ...(dimensions > 0 ? { dimensions } : {}),
    });
    const data = property(answer, "data");
    if (!Array.isArray(data)) throw new ProviderAnswerError(`${label} answered without data`);
    return inOrder(data, texts.length);
  }

  /** Rejects where nobody answers, or asks for another key. Servers without a list have no models. */
  async listedModels(timeoutMs: number, signal?: AbortSignal): Promise<ListedModel[]> {
    try {
      const models = property(await this.#call(timeoutMs, signal, "models"), "data");
      return (Array.isArray(models) ? models : []).map((model: unknown) => ({
        name: String(property(model, "id") ?? ""),
        contextTokens: contextTokens(model),
      }));
    } catch (error) {
      const listless =
        error instanceof ProviderStatusError && [404, 405, 501].includes(error.status);
      if (listless) return [];
      throw error;
    }
  }

  #call(
    timeoutMs: number,
    signal: AbortSignal | undefined,
    path: string,
    body?: unknown,
  ): Promise<unknown> {
    const { url, headers } = this.#endpoint;
    return callProvider({ provider: label, timeoutMs, signal }, async (either) => {
      const init =
        body === undefined
          ? { headers }
          : {
              method: "POST",
              headers: { ...headers, "content-type": "application/json" },
              body: JSON.stringify(body),
            };
      const response = await fetch(`${url}/${path}`, { ...init, signal: either });
      return (await checkStatus(label, response)).json();
    });
  }
}

/** The protocol orders vectors by `index`, not by where they stand. */
function inOrder(data: readonly unknown[], count: number): unknown[] {
  if (data.length !== count) {
    throw new ProviderAnswerError(`${label} gave ${data.length} vectors for ${count} texts`);
  }
  const vectors = new Map<unknown, unknown>();
  for (const item of data) vectors.set(property(item, "index"), property(item, "embedding"));
  return Array.from({ length: count }, (_, index) => {
    if (vectors.has(index)) return vectors.get(index);
    throw new ProviderAnswerError(`${label} gave no vector with the index ${index}`);
  });
}

/** vLLM and llama.cpp tell it, each in its own way. */
function contextTokens(model: unknown): number {
  const told = property(model, "max_model_len") ?? property(property(model, "meta"), "n_ctx_train");
  return typeof told === "number" && told > 0 ? told : 0;
}
