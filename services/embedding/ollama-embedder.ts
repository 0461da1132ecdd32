import { DependencyUnavailableError, type DomainError } from "../../shared/errors.ts";
import { sleep } from "../../shared/lifecycle.ts";
import type {
  BatchShape,
  Embedder,
  EmbeddingModel,
  EmbeddingOutcome,
  EmbeddingTask,
} from "./embedder.ts";
import { GarbledEmbeddingError, ModelNotFoundError, TextRefusedError } from "./errors.ts";
import {
  OllamaAnswerError,
  type OllamaClient,
  OllamaStatusError,
  OllamaTimeoutError,
  OllamaUnreachableError,
} from "./ollama-client.ts";
import { taskPrefix, textTokens } from "./ollama-models.ts";
import type { Slots } from "./slots.ts";
import { batchesOf } from "./text-batches.ts";
import { fitTokens, shorten } from "./token-estimate.ts";
import { unitVector, vectorFault } from "./unit-vector.ts";

export interface OllamaEmbedderOptions {
  readonly client: OllamaClient;
  /** As Ollama knows it. */
  readonly modelName: string;
  /** 0 where Ollama did not tell; the first good answer then does. */
  readonly dimension: number;
  /** 0 where Ollama did not tell. */
  readonly contextTokens: number;
  /** Shared by all models of one Ollama, whose machine they share. */
  readonly slots: Slots;
  readonly batchShape: BatchShape;
  /** Of one request. The first one may have to wait until Ollama has loaded the model. */
  readonly requestTimeoutMs: number;
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
const mostBatchCharacters = 256 * 1024;
/** A text that is too long still is cut to this share of itself, so often. */
const shorterShare = 0.75;
const mostCuts = 10;

/**
 * Embeds with a model of Ollama, in batches with a bound on how many run at once. Every answer is
 * checked. When a batch fails, it is halved until the text that is at fault stands alone, so that
 * only that one has no vector; when Ollama fails as a whole, so does the call.
 */
export class OllamaEmbedder implements Embedder {
  readonly batchShape: BatchShape;
  readonly #options: OllamaEmbedderOptions;
  #dimension: number;

  constructor(options: OllamaEmbedderOptions) {
    this.#options = options;
    this.#dimension = options.dimension;
    this.batchShape = options.batchShape;
  }

  get model(): EmbeddingModel {
    const { modelName } = this.#options;
    return { name: modelName, provider: "ollama", dimension: this.#dimension, lexical: false };
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
      this.batchShape.texts,
      mostBatchCharacters,
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
    const { modelName, contextTokens } = this.#options;
    const whole = taskPrefix(modelName, task) + text;
    const input = fitTokens(whole, textTokens(modelName, contextTokens));
    return { input, truncated: input.length < whole.length };
  }

  /** `healthy`: Ollama has shown that it can embed another text since the batch first failed. */
  async #embedBatch(
    batch: readonly Prepared[],
    scope: Scope,
    healthy = false,
  ): Promise<EmbeddingOutcome[]> {
    let answers: readonly unknown[];
    try {
      answers = await this.#request(inputsOf(batch), scope, healthy ? 1 : attempts);
      if (answers.length !== batch.length) {
        throw new OllamaAnswerError(`${answers.length} vectors for ${batch.length} texts`);
      }
    } catch (error) {
      if (!isAboutTexts(error)) throw error;
      // A server error may be due to one text, or to Ollama: a harmless text tells.
      if (isServerError(error) && !healthy) await this.#request(["probe"], scope, 1);
      const [only] = batch;
      if (batch.length === 1 && only !== undefined) return [await this.#retry(only, error, scope)];
      return this.#halve(batch, scope);
    }
    return Promise.all(
      batch.map((text, index) => this.#check(text, answers[index], scope, batch.length === 1)),
    );
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
    const values = Array.isArray(answer) ? answer : [];
    const fault = vectorFault(values, this.#dimension === 0 ? values.length : this.#dimension);
    const vector = fault === undefined ? unitVector(values) : undefined;
    if (vector !== undefined) {
      if (this.#dimension === 0) this.#dimension = vector.length;
      return { vector, truncated: text.truncated };
    }
    if (!alone) return (await this.#embedBatch([text], scope, true))[0] ?? this.#garbled(fault);
    return this.#garbled(fault);
  }

  #garbled(fault = "is missing", cause?: unknown): EmbeddingOutcome {
    const { modelName } = this.#options;
    const message = `${modelName} gave no usable vector for this text: it ${fault}`;
    return { error: new GarbledEmbeddingError(modelName, message, cause) };
  }

  /** For a text that fails alone: only its length can be helped. */
  async #retry(text: Prepared, failure: unknown, scope: Scope): Promise<EmbeddingOutcome> {
    const { modelName } = this.#options;
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
    if (error instanceof OllamaStatusError && error.status < 500) {
      const message = `Ollama refuses this text with status ${error.status}`;
      return { error: new TextRefusedError(modelName, message, error) };
    }
    return this.#garbled("fails each time", error);
  }

  /** Retries what may pass by itself: broken connections and server errors. */
  async #request(
    inputs: readonly string[],
    { signal, urgent }: Scope,
    most: number,
  ): Promise<readonly unknown[]> {
    const { client, modelName, requestTimeoutMs, slots } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await slots.run(() => client.embed(modelName, inputs, requestTimeoutMs, signal), {
          signal,
          urgent,
        });
      } catch (error) {
        const passing =
          error instanceof OllamaUnreachableError ||
          (error instanceof OllamaStatusError && error.status >= 500);
        if (!passing || attempt >= most) throw error;
      }
      await sleep(firstRetryMs * 2 ** (attempt - 1) * (0.5 + Math.random()), signal);
    }
  }

  #asDomainError(error: unknown): DomainError {
    const { modelName } = this.#options;
    if (error instanceof OllamaStatusError && error.status === 404) {
      return new ModelNotFoundError(modelName, `Ollama has lost it; run: ollama pull ${modelName}`);
    }
    if (error instanceof OllamaStatusError) {
      const message = `Ollama answers with status ${error.status}`;
      return new DependencyUnavailableError("ollama", message, error);
    }
    if (
      error instanceof OllamaTimeoutError ||
      error instanceof OllamaUnreachableError ||
      error instanceof OllamaAnswerError
    ) {
      return new DependencyUnavailableError("ollama", error.message, error);
    }
    throw error;
  }
}

function inputsOf(batch: readonly Prepared[]): string[] {
  return batch.map(({ input }) => input);
}

/** True where another text might fare better; false where Ollama itself is the matter. */
function isAboutTexts(error: unknown): boolean {
  if (error instanceof OllamaAnswerError || isServerError(error)) return true;
  return error instanceof OllamaStatusError && [400, 413, 422].includes(error.status);
}

/** 503 says that its queue is full, whatever the text. */
function isServerError(error: unknown): boolean {
  return error instanceof OllamaStatusError && error.status >= 500 && error.status !== 503;
}

/** Since 0.13.5 Ollama does not heed `truncate` and refuses instead. */
function isTooLong(error: unknown): boolean {
  return (
    error instanceof OllamaStatusError && error.status === 400 && /length/i.test(error.message)
  );
}
