import { untilAborted } from "../../shared/abortable.ts";
import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";
import type { CircuitBreaker } from "../../shared/resilience.ts";
import type { EmbeddingEndpoint } from "./embedding-endpoint.ts";
import { ModelNotFoundError } from "./errors.ts";
import {
  ProviderAnswerError,
  ProviderStatusError,
  ProviderTimeoutError,
  ProviderUnreachableError,
} from "./provider-call.ts";
import { AbandonedRequestError, ProviderDownError } from "./provider-circuit.ts";
import type { Slots } from "./slots.ts";

export interface ProviderRequestsOptions {
  readonly endpoint: EmbeddingEndpoint;
  /** As the endpoint knows it. */
  readonly modelName: string;
  /** Shared by all models of one provider, whose machine they share; so is the breaker. */
  readonly slots: Slots;
  readonly breaker: CircuitBreaker;
  /** Of one request. The first one may have to wait until the model is loaded. */
  readonly requestTimeoutMs: number;
}

/** For whom a request is made. */
export interface RequestScope {
  readonly signal: AbortSignal;
  readonly urgent: boolean;
}

export interface RequestTries {
  /** Requests in all, the first one included. Default 3. */
  readonly attempts?: number;
  /** With it a server error is the server's own fault, whatever the text. Default false. */
  readonly telling?: boolean;
}

const firstRetryMs = 100;

/** Makes requests to one model of a provider: in its slots, through its breaker, with retries. */
export class ProviderRequests {
  readonly #options: ProviderRequestsOptions;
  readonly #dimensions: number;
  readonly #onTrouble: () => void;

  /**
   * `dimensions`: asked of the provider, 0 for all. `onTrouble` is told of what may have been a
   * restart of the provider: a broken connection, a server error, no answer in time.
   */
  constructor(options: ProviderRequestsOptions, dimensions: number, onTrouble: () => void) {
    this.#options = options;
    this.#dimensions = dimensions;
    this.#onTrouble = onTrouble;
  }

  /** Retries what may pass by itself: broken connections and server errors. */
  async send(
    texts: readonly string[],
    { signal, urgent }: RequestScope,
    { attempts = 3, telling = false }: RequestTries = {},
  ): Promise<readonly unknown[]> {
    const { breaker, endpoint, modelName, requestTimeoutMs, slots } = this.#options;
    const request = {
      model: modelName,
      texts,
      timeoutMs: requestTimeoutMs,
      signal,
      dimensions: this.#dimensions,
    };
    const send = async () => {
      try {
        return await endpoint.embed(request);
      } catch (error) {
        if (signal.aborted) throw new AbandonedRequestError(signal.reason);
        throw telling && isServerError(error) ? new ProviderDownError(error) : error;
      }
    };
    for (let attempt = 1; ; attempt++) {
      try {
        // Whoever waits for another one's trial of a broken circuit may leave.
        const guarded = () => untilAborted(breaker.execute(send), signal);
        return await slots.run(guarded, { signal, urgent });
      } catch (error) {
        signal.throwIfAborted();
        const passing =
          error instanceof ProviderUnreachableError ||
          (error instanceof ProviderStatusError && error.status >= 500);
        const down = error instanceof ProviderDownError;
        if (passing || down || error instanceof ProviderTimeoutError) this.#onTrouble();
        if (down) throw error.cause;
        if (!passing || attempt >= attempts) throw error;
      }
      await sleep(firstRetryMs * 2 ** (attempt - 1) * (0.5 + Math.random()), signal);
    }
  }

  /** What a failure of the whole is to callers. Throws what is none of the provider's. */
  asDomainError(error: unknown): DomainError {
    const { endpoint, modelName } = this.#options;
    if (error instanceof DomainError) return error;
    if (error instanceof ProviderStatusError && error.status === 404) {
      const help = `${endpoint.label} has lost it; ${endpoint.helpForLostModel(modelName)}`;
      return new ModelNotFoundError(modelName, help);
    }
    if (error instanceof ProviderStatusError) {
      const message = `${endpoint.label} answers with status ${error.status}`;
      return new DependencyUnavailableError(endpoint.provider, message, error);
    }
    if (
      error instanceof ProviderTimeoutError ||
      error instanceof ProviderUnreachableError ||
      error instanceof ProviderAnswerError
    ) {
      return new DependencyUnavailableError(endpoint.provider, error.message, error);
    }
    throw error;
  }
}

/** True where another text might fare better; false where the provider itself is the matter. */
export function isAboutTexts(error: unknown): boolean {
  if (error instanceof ProviderAnswerError || isServerError(error)) return true;
  return error instanceof ProviderStatusError && [400, 413, 422].includes(error.status);
}

/** 503 says that its queue is full, whatever the text. */
export function isServerError(error: unknown): boolean {
  return error instanceof ProviderStatusError && error.status >= 500 && error.status !== 503;
}

/** There is no code for it: each server words it in its own way, some with status 500. */
export function isTooLong(error: unknown): boolean {
  return (
    error instanceof ProviderStatusError &&
    [400, 413, 422, 500].includes(error.status) &&
    /length|too (large|long)|context size|(less|more|fewer) than \d+ tokens/i.test(error.message)
  );
}
