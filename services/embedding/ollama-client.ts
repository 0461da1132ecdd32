import { type Fetch, Ollama, type ShowResponse } from "ollama";

/** Ollama answered with a status that is no success. */
export class OllamaStatusError extends Error {
  override readonly name = "OllamaStatusError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(`Ollama answered ${status}: ${message}`);
    this.status = status;
  }
}

/** Nobody answered: no connection, or it broke. */
export class OllamaUnreachableError extends Error {
  override readonly name = "OllamaUnreachableError";
}

/** The answer did not come in time. */
export class OllamaTimeoutError extends Error {
  override readonly name = "OllamaTimeoutError";
}

/** The answer is not what the protocol says. */
export class OllamaAnswerError extends Error {
  override readonly name = "OllamaAnswerError";
}

/** A model as Ollama describes it; 0 where it does not tell. */
export interface OllamaModelFacts {
  readonly dimension: number;
  readonly contextTokens: number;
  readonly embeds: boolean;
}

/** A model that is installed. The digest changes with its content. */
export interface InstalledModel {
  readonly name: string;
  readonly digest: string;
}

/**
 * The only file that knows the `ollama` package. It adds what the package lacks: every request can
 * be aborted and has a time limit, and failures are told apart by type. An abort by the caller
 * rejects with the signal's reason.
 */
export class OllamaClient {
  readonly baseUrl: string;

  constructor(baseUrl: string) {
    this.baseUrl = baseUrl;
  }

  /** The vectors as they came, unchecked: an array is promised, of anything. */
  async embed(
    model: string,
    texts: readonly string[],
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<readonly unknown[]> {
    const answer: unknown = await this.#call(timeoutMs, signal, (ollama) =>
      ollama.embed({ model, input: [...texts], truncate: true }),
    );
    const vectors = property(answer, "embeddings");
    if (!Array.isArray(vectors)) throw new OllamaAnswerError("Ollama answered without embeddings");
    return vectors;
  }

  async installedModels(timeoutMs: number, signal?: AbortSignal): Promise<InstalledModel[]> {
    const answer: unknown = await this.#call(timeoutMs, signal, (ollama) => ollama.list());
    const models = property(answer, "models");
    if (!Array.isArray(models)) throw new OllamaAnswerError("Ollama answered without models");
    return models.flatMap((model: unknown) => {
      const name = property(model, "name") ?? property(model, "model");
      const digest = property(model, "digest");
      return typeof name === "string" ? [{ name, digest: String(digest ?? "") }] : [];
    });
  }

  async modelFacts(
    model: string,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<OllamaModelFacts> {
    const shown = await this.#call(timeoutMs, signal, (ollama) => ollama.show({ model }));
    return {
      dimension: modelNumber(shown, ".embedding_length"),
      contextTokens: modelNumber(shown, ".context_length"),
      embeds: embeds(shown),
    };
  }

  async #call<T>(
    timeoutMs: number,
    signal: AbortSignal | undefined,
    request: (ollama: Ollama) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const timeout = AbortSignal.timeout(timeoutMs);
    const either = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
    const ollama = new Ollama({ host: this.baseUrl, fetch: abortableFetch(either) });
    try {
      return await request(ollama);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (timeout.aborted) {
        throw new OllamaTimeoutError(`no answer from Ollama within ${timeoutMs} ms`, {
          cause: error,
        });
      }
      if (error instanceof OllamaStatusError) throw error;
      if (error instanceof SyntaxError) {
        throw new OllamaAnswerError("Ollama's answer is not JSON", { cause: error });
      }
      throw new OllamaUnreachableError(`Ollama does not answer at ${this.baseUrl}`, {
        cause: error,
      });
    }
  }
}

/**
 * The package passes no signal and prints to standard output when an error has no JSON body, so
 * both are dealt with before it sees the response.
 */
function abortableFetch(signal: AbortSignal): Fetch {
  return async (input, init) => {
    const response = await fetch(input, { ...init, signal });
    if (response.ok) return response;
    throw new OllamaStatusError(response.status, errorText(await response.text()));
  };
}

function errorText(body: string): string {
  try {
    const error = property(JSON.parse(body), "error");
    if (typeof error === "string") return error.slice(0, 300);
  } catch {
    // Not JSON: the answer of a proxy, say.
  }
  return body.slice(0, 300);
}

function property(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
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
