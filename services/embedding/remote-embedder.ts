import { DependencyUnavailableError } from "../../shared/errors.ts";
import type {
  BatchShape,
  Embedder,
  EmbeddingModel,
  EmbeddingOutcome,
  EmbeddingTask,
} from "./embedder.ts";
import { GarbledEmbeddingError, TextRefusedError } from "./errors.ts";
import { OrderCheck, probeText } from "./order-check.ts";
import { ProviderAnswerError, ProviderStatusError } from "./provider-call.ts";
import {
  isAboutTexts,
  isServerError,
  isTooLong,
  ProviderRequests,
  type ProviderRequestsOptions,
  type RequestScope,
} from "./provider-requests.ts";
import { batchesOf } from "./text-batches.ts";
import { fitTokens, shorten } from "./token-estimate.ts";
import { VectorReader, type VectorReaderOptions } from "./vector-reader.ts";

export interface RemoteEmbedderOptions extends ProviderRequestsOptions, VectorReaderOptions {
  /** 0 where the provider did not tell. */
  readonly contextTokens: number;
  readonly batchShape: BatchShape;
  /** Of so many batches one is checked for its order: 1 all, 0 none. Default 2. */
  readonly orderCheckEvery?: number;
  /** Told once, when the provider has mixed up the texts of a batch. */
  readonly onMixedUp?: () => void;
  /** Told when the model behind the name gives other vectors than before. */
  readonly onOtherVectors?: () => void;
}

/** A text as it is sent. */
interface Prepared {
  readonly input: string;
  readonly truncated: boolean;
}

/** A text that is too long still is cut to this share of itself, so often. */
const shorterShare = 0.75;
const mostCuts = 10;

/**
 * Embeds with a model of another process, in batches with a bound on how many run at once. Every
 * answer is checked. When a batch fails, it is halved until the text that is at fault stands alone,
 * so that only that one has no vector; when the provider fails as a whole, so does the call.
 */
export class RemoteEmbedder implements Embedder {
  readonly batchShape: BatchShape;
  readonly #options: RemoteEmbedderOptions;
  readonly #requests: ProviderRequests;
  readonly #reader: VectorReader;
  readonly #order: OrderCheck;
  /** As it is sent. */
  readonly #probe: string;

  constructor(options: RemoteEmbedderOptions) {
    const { endpoint, modelName, table, wantedDimension = 0, orderCheckEvery = 2 } = options;
    this.#options = options;
    this.batchShape = options.batchShape;
    // Asked of the provider itself, where the model is known to be able to.
    const cuts = endpoint.provider === "openai" && table.matryoshka(modelName) !== undefined;
    const asked = cuts ? wantedDimension : 0;
    this.#reader = new VectorReader(options, asked);
    this.#order = new OrderCheck({
      every: orderCheckEvery,
      onMixedUp: () => options.onMixedUp?.(),
      onOtherVectors: () => options.onOtherVectors?.(),
    });
    this.#requests = new ProviderRequests(options, asked, () => this.#order.doubt());
    this.#probe = this.#prepare(probeText, "query").input;
  }

  get model(): EmbeddingModel {
    const { endpoint, modelName } = this.#options;
    const { dimension } = this.#reader;
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
      this.#order.mixesUp ? 1 : this.batchShape.texts,
      this.batchShape.characters,
    );
    // One batch that fails as a whole ends the others.
    const failed = new AbortController();
    const scope: RequestScope = {
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
    if (failed.signal.aborted) throw this.#requests.asDomainError(failed.signal.reason);
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
    scope: RequestScope,
    healthy = false,
  ): Promise<EmbeddingOutcome[]> {
    const embedProbe = () => this.#embedProbe(scope);
    const place = await this.#order.placeIn(batch.length, embedProbe);
    const inputs = batch.map(({ input }) => input);
    if (place !== undefined) inputs.splice(place, 0, this.#probe);
    let answers: unknown[];
    try {
      answers = [...(await this.#requests.send(inputs, scope, healthy ? { attempts: 1 } : {}))];
      if (answers.length !== inputs.length) {
        throw new ProviderAnswerError(`${answers.length} vectors for ${inputs.length} texts`);
      }
    } catch (error) {
      if (!isAboutTexts(error)) throw error;
      // A server error may be due to one text, or to the server: a harmless text tells.
      if (isServerError(error) && !healthy) await this.#askProbe(scope);
      const [only] = batch;
      if (batch.length === 1 && only !== undefined) return [await this.#retry(only, error, scope)];
      return this.#halve(batch, scope);
    }
    if (place !== undefined) {
      const { vector } = this.#reader.read(answers.splice(place, 1)[0]);
      if (!(await this.#order.isKept(vector, embedProbe))) return this.#oneByOne(batch, scope);
    }
    // What was sent before others were found to be mixed up is not trusted either.
    if (batch.length > 1 && this.#order.mixesUp) return this.#oneByOne(batch, scope);
    return Promise.all(batch.map((text, i) => this.#check(text, answers[i], scope, batch.length)));
  }

  async #oneByOne(batch: readonly Prepared[], scope: RequestScope): Promise<EmbeddingOutcome[]> {
    const alone = batch.map((text) => this.#embedBatch([text], scope, true));
    return (await Promise.all(alone)).flat();
  }

  async #embedProbe(scope: RequestScope): Promise<Float32Array | undefined> {
    const [answer] = await this.#requests.send([this.#probe], scope);
    return this.#reader.read(answer).vector;
  }

  /** If it fails for a harmless text, the provider is at fault, and the call has failed. */
  async #askProbe(scope: RequestScope): Promise<unknown> {
    return (await this.#requests.send([this.#probe], scope, { attempts: 1, telling: true }))[0];
  }

  async #halve(batch: readonly Prepared[], scope: RequestScope): Promise<EmbeddingOutcome[]> {
    const middle = Math.ceil(batch.length / 2);
    const halves = [batch.slice(0, middle), batch.slice(middle)];
    const outcomes = await Promise.all(halves.map((half) => this.#embedBatch(half, scope, true)));
    return outcomes.flat();
  }

  /** A vector that is none is asked for once more, alone: batches have been garbled before. */
  async #check(
    text: Prepared,
    answer: unknown,
    scope: RequestScope,
    company: number,
  ): Promise<EmbeddingOutcome> {
    const { vector, fault } = this.#reader.read(answer);
    if (vector !== undefined) {
      if (company === 1 && text.input === this.#probe) this.#order.learn(vector);
      return { vector, truncated: text.truncated };
    }
    if (company > 1)
      return (await this.#embedBatch([text], scope, true))[0] ?? this.#garbled(fault);
    if (this.#reader.hasOtherDimension(answer)) await this.#checkDimension(scope);
    return this.#garbled(fault);
  }

  /** Throws where it is not this text but the model that has another dimension now. */
  async #checkDimension(scope: RequestScope): Promise<void> {
    const { endpoint, modelName, onOtherVectors } = this.#options;
    const answer = await this.#askProbe(scope);
    if (!this.#reader.hasOtherDimension(answer)) return;
    const { fault } = this.#reader.read(answer);
    this.#reader.forget();
    onOtherVectors?.();
    const message = `${modelName} is another model now: its vector ${fault}`;
    throw new DependencyUnavailableError(endpoint.provider, message);
  }

  #garbled(fault = "is missing", cause?: unknown): EmbeddingOutcome {
    const { modelName } = this.#options;
    const message = `${modelName} gave no usable vector for this text: it ${fault}`;
    return { error: new GarbledEmbeddingError(modelName, message, cause) };
  }

  /** For a text that fails alone: only its length can be helped. */
  async #retry(text: Prepared, failure: unknown, scope: RequestScope): Promise<EmbeddingOutcome> {
    const { endpoint, modelName } = this.#options;
    let error = failure;
    let { input } = text;
    for (let cut = 0; cut < mostCuts && isTooLong(error); cut++) {
      input = shorten(input, shorterShare);
      try {
        const [answer] = await this.#requests.send([input], scope, { attempts: 1 });
        return await this.#check({ input, truncated: true }, answer, scope, 1);
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
}
