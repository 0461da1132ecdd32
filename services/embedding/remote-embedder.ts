import { untilAborted } from "../../shared/abortable.ts";
import { DependencyUnavailableError, DomainError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";
import type { CircuitBreaker } from "../../shared/resilience.ts";
import {
  type BatchShape,
  type Embedder,
  type EmbeddingModel,
  type EmbeddingOutcome,
  type EmbeddingTask,
  isEmbedded,
} from "./embedder.ts";
import type { EmbeddingEndpoint } from "./embedding-endpoint.ts";
import { GarbledEmbeddingError, ModelNotFoundError, TextRefusedError } from "./errors.ts";
import { cutVector } from "./matryoshka.ts";
import type { ModelTable } from "./model-table.ts";
import {
  ProviderAnswerError,
  ProviderStatusError,
  ProviderTimeoutError,
  ProviderUnreachableError,
} from "./provider-call.ts";
import { AbandonedRequestError, ProviderDownError } from "./provider-circuit.ts";
import type { Slots } from "./slots.ts";
import { batchesOf } from "./text-batches.ts";
import { fitTokens, shorten } from "./token-estimate.ts";
import { unitVector, vectorFault } from "./unit-vector.ts";

export interface RemoteEmbedderOptions {
  readonly endpoint: EmbeddingEndpoint;
  /** As the endpoint knows it. */
  readonly modelName: string;
  /** 0 where the provider did not tell; the first good answer then does. */
  readonly dimension: number;
  /** 0 where the provider did not tell. */
  readonly contextTokens: number;
  /** Components that are wanted: fewer than the model has only where it is Matryoshka. 0: all. */
  readonly wantedDimension?: number;
  readonly table: ModelTable;
  /** Shared by all models of one provider, whose machine they share; so is the breaker. */
  readonly slots: Slots;
  readonly breaker: CircuitBreaker;
  readonly batchShape: BatchShape;
  /** Of one request. The first one may have to wait until the model is loaded. */
  readonly requestTimeoutMs: number;
  /** Of so many batches one is checked for its order, the first among them; 0 never. Default 16. */
  readonly orderCheckEvery?: number;
  /** Told once, when the provider has mixed up the texts of a batch. */
  readonly onMixedUp?: () => void;
}

/** A text as it is sent. */
interface Prepared {
  readonly input: string;
  readonly truncated: boolean;
}

interface Scope {
  readonly signal: AbortSignal;
  readonly urgent: boolean;
}

const attempts = 3;
const firstRetryMs = 100;
/** A text that is too long still is cut to this share of itself, so often. */
const shorterShare = 0.75;
const mostCuts = 10;
/** A text's vector in a batch and alone differ by the rounding of the model's arithmetic only. */
const sameTextSimilarity = 0.98;

/**
 * Embeds with a model of another process, in batches with a bound on how many run at once. Every
 * answer is checked. When a batch fails, it is halved until the text that is at fault stands alone,
 * so that only that one has no vector; when the provider fails as a whole, so does the call.
 */
export class RemoteEmbedder implements Embedder {
  readonly batchShape: BatchShape;
  readonly #options: RemoteEmbedderOptions;
  /** Asked of the provider itself, where the model is known to be able to: 0 for all. */
  readonly #asked: number;
  /** Components of what the provider sends. */
  #dimension: number;
  #batches = 0;
  #firstCheck: Promise<boolean> | undefined;
  /** True once the provider has mixed up a batch: each text then is sent alone. */
  #mixesUp = false;

  constructor(options: RemoteEmbedderOptions) {
    const { endpoint, modelName, table, wantedDimension = 0 } = options;
    this.#options = options;
    this.#dimension = options.dimension;
    this.batchShape = options.batchShape;
    const cuts = endpoint.provider === "openai" && table.matryoshka(modelName) !== undefined;
    this.#asked = cuts ? wantedDimension : 0;
  }

  get model(): EmbeddingModel {
    const { endpoint, modelName, wantedDimension = 0 } = this.#options;
    const dimension = wantedDimension > 0 ? wantedDimension : this.#dimension;
    return { name: modelName, provider: endpoint.provider, dimension, lexical: false };
  }

  async embed(
    texts: readonly string[],
    task: EmbeddingTask,
    signal?: AbortSignal,
  ): Promise<EmbeddingOutcome[]> {
    signal?.throwIfAborted();
    const prepared = texts.map((text) => this.#prepare(text, task));
    const batches = batchesOf(
      prepared,
      ({ input }) => input.length,
      this.#mixesUp ? 1 : this.batchShape.texts,
      this.batchShape.characters,
    );
    // One batch that fails as a whole ends the others.
    const failed = new AbortController();
    const scope: Scope = {
      signal: signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]),
      urgent: task === "query",
    };
    const running = batches.map((batch) =>
      this.#embedBatch(batch, scope).catch((error: unknown) => {
        failed.abort(error);
        throw error;
      }),
    );
    const settled = await Promise.allSettled(running);
    signal?.throwIfAborted();
    if (failed.signal.aborted) throw this.#asDomainError(failed.signal.reason);
    return settled.flatMap((batch) => (batch.status === "fulfilled" ? batch.value : []));
  }

  #prepare(text: string, task: EmbeddingTask): Prepared {
    const { modelName, contextTokens, table } = this.#options;
    const whole = table.taskPrefix(modelName, task) + text;
    const input = fitTokens(whole, table.textTokens(modelName, contextTokens));
    return { input, truncated: input.length < whole.length };
  }

  /** `healthy`: the provider has shown that it can embed another text since the batch first failed. */
  async #embedBatch(
    batch: readonly Prepared[],
    scope: Scope,
    healthy = false,
  ): Promise<EmbeddingOutcome[]> {
    let answers: readonly unknown[];
    try {
      answers = await this.#request(inputsOf(batch), scope, healthy ? 1 : attempts);
      if (answers.length !== batch.length) {
        throw new ProviderAnswerError(`${answers.length} vectors for ${batch.length} texts`);
      }
    } catch (error) {
      if (!isAboutTexts(error)) throw error;
      // A server error may be due to one text, or to the server: a harmless text tells.
      if (isServerError(error) && !healthy) await this.#request(["probe"], scope, 1, true);
      const [only] = batch;
      if (batch.length === 1 && only !== undefined) return [await this.#retry(only, error, scope)];
      return this.#halve(batch, scope);
    }
    const outcomes = await Promise.all(
      batch.map((text, index) => this.#check(text, answers[index], scope, batch.length === 1)),
    );
    if (batch.length === 1 || healthy || (await this.#inOrder(batch, outcomes, scope))) {
      return outcomes;
    }
    const alone = batch.map((text) => this.#embedBatch([text], scope, true));
    return (await Promise.all(alone)).flat();
  }

  /**
   * Whether vectors stand where their texts stood. No count and no dimension tells, so of some
   * batches one text, any one, is embedded again alone. Nothing is taken before the first check.
   */
  async #inOrder(
    batch: readonly Prepared[],
    outcomes: readonly EmbeddingOutcome[],
    scope: Scope,
  ): Promise<boolean> {
    const { orderCheckEvery = 16 } = this.#options;
    if (this.#mixesUp) return false;
    if (orderCheckEvery === 0) return true;
    if (this.#batches++ % orderCheckEvery === 0) {
      const check = this.#checkOrder(batch, outcomes, scope);
      this.#firstCheck ??= check;
      return check;
    }
    try {
      await this.#firstCheck;
    } catch {
      // It was given up; who is next checks again.
      this.#firstCheck = undefined;
      this.#batches = 0;
      return this.#inOrder(batch, outcomes, scope);
    }
    return !this.#mixesUp;
  }

  async #checkOrder(
    batch: readonly Prepared[],
    outcomes: readonly EmbeddingOutcome[],
    scope: Scope,
  ): Promise<boolean> {
    const at = Math.floor(Math.random() * batch.length);
    const [text, inBatch] = [batch[at], outcomes[at]];
    if (text === undefined || inBatch === undefined || !isEmbedded(inBatch)) return true;
    const [alone] = await this.#embedBatch([text], scope, true);
    if (alone === undefined || !isEmbedded(alone)) return true;
    if (similarity(alone.vector, inBatch.vector) >= sameTextSimilarity) return true;
    if (!this.#mixesUp) this.#options.onMixedUp?.();
    this.#mixesUp = true;
    return false;
  }

  async #halve(batch: readonly Prepared[], scope: Scope): Promise<EmbeddingOutcome[]> {
    const middle = Math.ceil(batch.length / 2);
    const halves = [batch.slice(0, middle), batch.slice(middle)];
    const outcomes = await Promise.all(halves.map((half) => this.#embedBatch(half, scope, true)));
    return outcomes.flat();
  }

  /** A vector that is none is asked for once more, alone: batches have been garbled before. */
  async #check(
    text: Prepared,
    answer: unknown,
    scope: Scope,
    alone: boolean,
  ): Promise<EmbeddingOutcome> {
    const { vector, fault } = this.#read(Array.isArray(answer) ? answer : []);
    if (vector !== undefined) return { vector, truncated: text.truncated };
    if (!alone) return (await this.#embedBatch([text], scope, true))[0] ?? this.#garbled(fault);
    return this.#garbled(fault);
  }

  #read(values: readonly unknown[]): { vector?: Float32Array; fault?: string } {
    const { modelName, table, wantedDimension = 0 } = this.#options;
    const short = this.#asked > 0 && values.length === this.#asked;
    const dimension = short || this.#dimension === 0 ? values.length : this.#dimension;
    const fault = vectorFault(values, dimension);
    if (fault !== undefined) return { fault };
    const numbers = values as readonly number[];
    if (wantedDimension === 0 || wantedDimension === values.length) {
      if (this.#dimension === 0) this.#dimension = values.length;
      const vector = unitVector(numbers);
      return vector === undefined ? { fault: "has no direction" } : { vector };
    }
    const matryoshka = table.matryoshka(modelName);
    const beyond = values.length < wantedDimension || wantedDimension < (matryoshka?.least ?? 0);
    if (matryoshka === undefined || beyond) {
      return {
        fault: `has ${values.length} components, which cannot be cut to ${wantedDimension}`,
      };
    }
    if (this.#dimension === 0) this.#dimension = values.length;
    const vector = cutVector(numbers, wantedDimension, matryoshka);
    return vector === undefined ? { fault: "has no direction" } : { vector };
  }

  #garbled(fault = "is missing", cause?: unknown): EmbeddingOutcome {
    const { modelName } = this.#options;
    const message = `${modelName} gave no usable vector for this text: it ${fault}`;
    return { error: new GarbledEmbeddingError(modelName, message, cause) };
  }

  /** For a text that fails alone: only its length can be helped. */
  async #retry(text: Prepared, failure: unknown, scope: Scope): Promise<EmbeddingOutcome> {
    const { endpoint, modelName } = this.#options;
    let error = failure;
    let { input } = text;
    for (let cut = 0; cut < mostCuts && isTooLong(error); cut++) {
      input = shorten(input, shorterShare);
      try {
        const [answer] = await this.#request([input], scope, 1);
        return await this.#check({ input, truncated: true }, answer, scope, true);
      } catch (next) {
        if (!isAboutTexts(next)) throw next;
        error = next;
      }
    }
    if (error instanceof ProviderStatusError && error.status < 500) {
      const message = `${endpoint.label} refuses this text with status ${error.status}`;
      return { error: new TextRefusedError(modelName, message, error) };
    }
    return this.#garbled("fails each time", error);
  }

  /**
   * Retries what may pass by itself: broken connections and server errors. With `telling`, a server
   * error is the server's own fault, whatever the text.
   */
  async #request(
    texts: readonly string[],
    { signal, urgent }: Scope,
    most: number,
    telling = false,
  ): Promise<readonly unknown[]> {
    const { breaker, endpoint, modelName, requestTimeoutMs, slots } = this.#options;
    const request = {
      model: modelName,
      texts,
      timeoutMs: requestTimeoutMs,
      signal,
      dimensions: this.#asked,
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
        if (error instanceof ProviderDownError) throw error.cause;
        const passing =
          error instanceof ProviderUnreachableError ||
          (error instanceof ProviderStatusError && error.status >= 500);
        if (!passing || attempt >= most) throw error;
      }
      await sleep(firstRetryMs * 2 ** (attempt - 1) * (0.5 + Math.random()), signal);
    }
  }

  #asDomainError(error: unknown): DomainError {
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

/** Of vectors of length 1. */
function similarity(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
}

function inputsOf(batch: readonly Prepared[]): string[] {
  return batch.map(({ input }) => input);
}

/** True where another text might fare better; false where the provider itself is the matter. */
function isAboutTexts(error: unknown): boolean {
  if (error instanceof ProviderAnswerError || isServerError(error)) return true;
  return error instanceof ProviderStatusError && [400, 413, 422].includes(error.status);
}

/** 503 says that its queue is full, whatever the text. */
function isServerError(error: unknown): boolean {
  return error instanceof ProviderStatusError && error.status >= 500 && error.status !== 503;
}

/** There is no code for it: each server words it in its own way, some with status 500. */
function isTooLong(error: unknown): boolean {
  return (
    error instanceof ProviderStatusError &&
    [400, 413, 422, 500].includes(error.status) &&
    /length|too (large|long)|context size|(less|more|fewer) than \d+ tokens/i.test(error.message)
  );
}
