import { type Fetch, Ollama, type ShowResponse } from "ollama";
import type { EmbeddingEndpoint, EndpointRequest, ModelFacts } from "./embedding-endpoint.ts";
import {
  asProviderError,
  callProvider,
  checkStatus,
  type PlainEndpoint,
  ProviderAnswerError,
  ProviderTimeoutError,
  plainEndpoint,
  property,
} from "./provider-call.ts";

export interface OllamaClientOptions {
  /** How long Ollama keeps the model loaded after a request; default as Ollama is set up. */
  readonly keepAlive?: string;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** A model that is installed. The digest changes with its content. */
export interface InstalledModel {
  readonly name: string;
  readonly digest: string;
}

/** How far a pull has come. */
export interface PullProgress {
  /** As Ollama words it: `pulling manifest`. */
  readonly status: string;
  /** Of the layer that is coming, in bytes; 0 where it has no size. */
  readonly completed: number;
  readonly total: number;
}

const label = "Ollama";

/**
 * The only file that knows the `ollama` package. It adds what the package lacks: every request can
 * be aborted and has a time limit, and failures are told apart by type (`provider-call.ts`).
 */
export class OllamaClient implements EmbeddingEndpoint {
  readonly provider = "ollama";
  readonly label = label;
  readonly #endpoint: PlainEndpoint;
  readonly #keepAlive: string | number | undefined;

  constructor(baseUrl: string, { keepAlive, headers }: OllamaClientOptions = {}) {
    this.#endpoint = plainEndpoint(baseUrl, headers);
    // Ollama reads text as a duration with its unit, and a bare number as seconds.
    this.#keepAlive =
      keepAlive !== undefined && /^-?\d+$/.test(keepAlive) ? Number(keepAlive) : keepAlive;
  }

  helpForLostModel(model: string): string {
    return `run: ollama pull ${model}`;
  }

  /**
   * Ollama is told not to cut texts that are too long: where it does, nobody learns of it. It
   * refuses them, and who asked cuts and says so.
   */
  async embed({ model, texts, timeoutMs, signal }: EndpointRequest): Promise<readonly unknown[]> {
    const answer: unknown = await this.#call(timeoutMs, signal, (ollama) =>
      ollama.embed({
        model,
        input: [...texts],
        truncate: false,
        ...(this.#keepAlive === undefined ? {} : { keep_alive: this.#keepAlive }),
      }),
    );
    const vectors = property(answer, "embeddings");
    if (!Array.isArray(vectors)) {
      throw new ProviderAnswerError("Ollama answered without embeddings");
    }
    return vectors;
  }

  async installedModels(timeoutMs: number, signal?: AbortSignal): Promise<InstalledModel[]> {
    const answer: unknown = await this.#call(timeoutMs, signal, (ollama) => ollama.list());
    const models = property(answer, "models");
    if (!Array.isArray(models)) throw new ProviderAnswerError("Ollama answered without models");
    return models.flatMap((model: unknown) => {
      const name = property(model, "name") ?? property(model, "model");
      const digest = property(model, "digest");
      return typeof name === "string" ? [{ name, digest: String(digest ?? "") }] : [];
    });
  }

  async modelFacts(model: string, timeoutMs: number, signal?: AbortSignal): Promise<ModelFacts> {
    const shown = await this.#call(timeoutMs, signal, (ollama) => ollama.show({ model }));
    return {
      dimension: modelNumber(shown, ".embedding_length"),
      contextTokens: modelNumber(shown, ".context_length"),
      embeds: embeds(shown),
    };
  }

  /**
   * Has Ollama fetch a model, and yields each step. It may take hours; `silenceMs` is how long
   * Ollama may say nothing. Ollama keeps what it has fetched, so that a later pull goes on there.
   */
  async *pull(model: string, silenceMs: number, signal: AbortSignal): AsyncGenerator<PullProgress> {
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), silenceMs);
    try {
      const ollama = this.#ollama(AbortSignal.any([signal, silence.signal]));
      for await (const step of await ollama.pull({ model, stream: true })) {
        timer.refresh();
        yield { status: step.status, completed: step.completed ?? 0, total: step.total ?? 0 };
      }
    } catch (error) {
      signal.throwIfAborted();
      if (silence.signal.aborted) {
        const message = `no progress from Ollama within ${silenceMs} ms`;
        throw new ProviderTimeoutError(message, { cause: error });
      }
      throw asProviderError(label, error);
    } finally {
      clearTimeout(timer);
      // Whoever stops reading also ends the request.
      silence.abort();
    }
  }

  #call<T>(
    timeoutMs: number,
    signal: AbortSignal | undefined,
    request: (ollama: Ollama) => Promise<T>,
  ): Promise<T> {
    return callProvider({ provider: label, timeoutMs, signal }, (either) =>
      request(this.#ollama(either)),
    );
  }

  #ollama(signal: AbortSignal): Ollama {
    const { url, headers } = this.#endpoint;
    return new Ollama({ host: url, headers: { ...headers }, fetch: abortableFetch(signal) });
  }
}

/**
 * The package passes no signal and prints to standard output when an error has no JSON body, so
 * both are dealt with before it sees the response.
 */
function abortableFetch(signal: AbortSignal): Fetch {
  return async (input, init) => checkStatus(label, await fetch(input, { ...init, signal }));
}

/** The first value whose name ends so: names begin with the architecture, as in `nomic-bert.context_length`. */
function modelNumber(shown: ShowResponse, suffix: string): number {
  const info: unknown = shown.model_info;
  for (const [key, value] of Object.entries(info ?? {})) {
    if (key.endsWith(suffix) && typeof value === "number" && value > 0) return value;
  }
  return 0;
}

/** Ollama before 0.6.4 does not list capabilities; the architecture then tells. */
function embeds(shown: ShowResponse): boolean {
  const capabilities: unknown = shown.capabilities;
  if (Array.isArray(capabilities)) return capabilities.includes("embedding");
  return /bert|embed/i.test(String(shown.details?.family ?? ""));
}
