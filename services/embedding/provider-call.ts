/** A provider answered with a status that is no success. */
export class ProviderStatusError extends Error {
  override readonly name = "ProviderStatusError";
  readonly status: number;

  /** `detail` is what the provider said; it may quote a text and is not for callers. */
  constructor(provider: string, status: number, detail: string) {
    super(`${provider} answered ${status}: ${detail}`);
    this.status = status;
  }
}

/** Nobody answered: no connection, or it broke. */
export class ProviderUnreachableError extends Error {
  override readonly name = "ProviderUnreachableError";
}

/** The answer did not come in time. */
export class ProviderTimeoutError extends Error {
  override readonly name = "ProviderTimeoutError";
}

/** The answer is not what the protocol says. */
export class ProviderAnswerError extends Error {
  override readonly name = "ProviderAnswerError";
}

export interface ProviderCall {
  /** How the provider is called in errors: `Ollama`. */
  readonly provider: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a request to a provider with a time limit, and tells failures apart by type: one of the
 * errors above. An abort by the caller rejects with the signal's reason.
 */
export async function callProvider<T>(
  { provider, timeoutMs, signal }: ProviderCall,
  request: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    return await request(signal === undefined ? timeout : AbortSignal.any([signal, timeout]));
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (timeout.aborted) {
      const message = `no answer from ${provider} within ${timeoutMs} ms`;
      throw new ProviderTimeoutError(message, { cause: error });
    }
    throw asProviderError(provider, error);
  }
}

export function asProviderError(provider: string, error: unknown): unknown {
  if (error instanceof ProviderStatusError || error instanceof ProviderAnswerError) return error;
  if (error instanceof SyntaxError) {
    return new ProviderAnswerError(`${provider}'s answer is not JSON`, { cause: error });
  }
  return new ProviderUnreachableError(`${provider} does not answer`, { cause: error });
}

const mostErrorCharacters = 300;

/** Throws ProviderStatusError unless the response is a success. */
export async function checkStatus(provider: string, response: Response): Promise<Response> {
  if (response.ok) return response;
  throw new ProviderStatusError(provider, response.status, errorText(await response.text()));
}

/** Both `{"error": "text"}` and `{"error": {"message": "text"}}` are about. */
function errorText(body: string): string {
  try {
    const error = property(JSON.parse(body), "error");
    const text = typeof error === "string" ? error : property(error, "message");
    if (typeof text === "string") return text.slice(0, mostErrorCharacters);
  } catch {
    // Not JSON: the answer of a proxy, say.
  }
  return body.slice(0, mostErrorCharacters);
}

/** A field of whatever came by JSON; undefined where there is none. */
export function property(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}

export interface PlainEndpoint {
  /** Without credentials and without a slash at its end. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** fetch refuses credentials within a URL, and they must not be shown: they become a header. */
export function plainEndpoint(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): PlainEndpoint {
  const parsed = new URL(url);
  const credentials = [parsed.username, parsed.password].map(decodeURIComponent).join(":");
  parsed.username = "";
  parsed.password = "";
  const plain = parsed.href.replace(/\/+$/, "");
  if (credentials === ":") return { url: plain, headers };
  const authorization = `Basic ${Buffer.from(credentials).toString("base64")}`;
  return { url: plain, headers: { authorization, ...headers } };
}
