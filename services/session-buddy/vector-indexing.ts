import { sleep } from "../../shared/lifecycle.ts";
import type { Logger } from "../../shared/logging.ts";
import type { Catalogue } from "./catalogue.ts";
import type { IndexedContent, SideIndex } from "./side-index.ts";
import { noSimilarities, type Similarities } from "./vector-matrix.ts";

/** What became of one text. */
export type EmbeddedText =
  | { readonly vector: readonly number[] }
  /** `lasting`: the model will refuse it again. */
  | { readonly refused: "lasting" | "passing" };

/** Makes vectors; the embedding service, to this one. */
export interface Embedder {
  /**
   * As many answers as texts, in their order. An empty model means the service's default; the
   * answer names it.
   * @throws UnknownModelError when nobody serves the model; anything else may pass.
   */
  embed(
    model: string,
    texts: readonly string[],
    signal: AbortSignal,
  ): Promise<{ model: string; texts: readonly EmbeddedText[] }>;
}

export class UnknownModelError extends Error {
  override readonly name = "UnknownModelError";
}

export interface VectorIndexingOptions {
  /** Undefined: no side index could be opened, so all is found by text. */
  readonly index: SideIndex | undefined;
  readonly embedder: Embedder;
  /** What there is to embed; undefined while the file cannot be read. */
  readonly catalogue: () => Catalogue | undefined;
  readonly logger: Logger;
  /** Pause after each batch, so that others get their turn at the embedder; default 20 ms. */
  readonly pauseMs?: number;
  /** First wait after a failure, doubled up to 60 times as long; default 1,000 ms. */
  readonly retryMs?: number;
  /** How long a model that searches ask for keeps its place; default 10 minutes. */
  readonly modelHoldMs?: number;
}

export interface Comparison {
  /** The model of the side index; undefined: it is empty or missing. */
  readonly model: string | undefined;
  readonly dimension: number | undefined;
  /** Contents that wait for their vector. */
  readonly pending: number;
  readonly found: Similarities;
}

const batchTexts = 32;
const batchLength = 131_072;
/** Models read far less than this; more would only travel. */
const textLength = 32_768;
const embedTimeoutMs = 120_000;

/**
 * Fills the side index in the background: one batch at a time, each kept before the next, so that
 * a restart goes on where it stopped. A new model displaces the former one only when it has
 * embedded a first batch, and not while searches still ask for the former one.
 */
export class VectorIndexing implements AsyncDisposable {
  readonly #options: Required<VectorIndexingOptions>;
  readonly #stop = new AbortController();
  /** Contents that the present model refuses. */
  readonly #refused = new Set<string>();
  readonly #unknownModels = new Map<string, number>();
  #lastPending:
    | { readonly catalogue: Catalogue; readonly state: string; readonly pending: number }
    | undefined;
  #queue: string[] = [];
  #queueOf: Catalogue | undefined;
  #wantedModel: string | undefined;
  #presentModelAsked = Number.NEGATIVE_INFINITY;
  #awake = true;
  #wakeUp: () => void = () => {};
  #running: Promise<void> | undefined;

  constructor(options: VectorIndexingOptions) {
    this.#options = { pauseMs: 20, retryMs: 1_000, modelHoldMs: 600_000, ...options };
  }

  start(): void {
    const { index } = this.#options;
    if (index !== undefined) this.#running ??= this.#run(index);
  }

  /** To be called when there may be new contents. */
  contentsChanged(): void {
    this.#queueOf = undefined;
    this.#wake();
  }

  /** Compares a query's vector with the vectors of its own model; notes which model is asked for. */
  compare(
    query: { readonly model: string; readonly values: readonly number[] },
    catalogue: Catalogue,
  ): Comparison {
    const { index } = this.#options;
    const model = index?.model;
    const dimension = index?.dimension;
    if (index === undefined) return { model, dimension, pending: 0, found: noSimilarities };
    if (model === query.model) this.#presentModelAsked = performance.now();
    else this.#ask(query.model);
    const comparable = model === query.model && dimension === query.values.length;
    const found = comparable ? index.similarities(query.values, catalogue.hashes) : noSimilarities;
    return { model, dimension, pending: this.#pending(catalogue, index), found };
  }

  /** How many records have a vector. */
  indexedRecords(catalogue: Catalogue): number {
    const { index } = this.#options;
    if (index === undefined) return 0;
    return catalogue.entries.reduce((sum, { hash }) => sum + (index.has(hash) ? 1 : 0), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#running;
  }

  #ask(model: string): void {
    const now = performance.now();
    if (now - this.#presentModelAsked < this.#options.modelHoldMs) return;
    const refusedAt = this.#unknownModels.get(model);
    if (refusedAt !== undefined && now - refusedAt < this.#options.modelHoldMs) return;
    this.#wantedModel = model;
    this.#wake();
  }

  /** Counted again only when something has changed: every search asks. */
  #pending(catalogue: Catalogue, index: SideIndex): number {
    const state = [catalogue.contents.size, index.model, index.size, this.#refused.size].join();
    const last = this.#lastPending;
    if (last?.catalogue === catalogue && last.state === state) return last.pending;
    const pending = this.#countPending(catalogue, index);
    this.#lastPending = { catalogue, state, pending };
    return pending;
  }

  #countPending(catalogue: Catalogue, index: SideIndex): number {
    let pending = 0;
    for (const hash of catalogue.contents.keys()) {
      if (!index.has(hash) && !this.#refused.has(hash)) pending++;
    }
    return pending;
  }

  async #run(index: SideIndex): Promise<void> {
    const { signal } = this.#stop;
    const { logger, pauseMs, retryMs } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      try {
        this.#awake = false;
        const worked = await this.#embedBatch(index, signal);
        failures = 0;
        if (worked) await sleep(pauseMs, signal);
        else await this.#untilWoken();
      } catch (error) {
        if (signal.aborted) return;
        if (failures++ === 0) logger.warn({ err: error }, "could not embed records; trying again");
        await sleep(retryMs * Math.min(2 ** (failures - 1), 60), signal).catch(() => {});
      }
    }
  }

  /** False when there is nothing to do. */
  async #embedBatch(index: SideIndex, signal: AbortSignal): Promise<boolean> {
    const catalogue = this.#options.catalogue();
    if (catalogue === undefined) return false;
    const model = this.#wantedModel ?? index.model ?? "";
    const anew = model !== index.model;
    const batch = anew
      ? takeBatch([...catalogue.contents.keys()], catalogue)
      : takeBatch(this.#waiting(catalogue, index), catalogue);
    if (batch.length === 0) {
      await index.retain((hash) => catalogue.contents.has(hash));
      return false;
    }
    const answer = await this.#embed(model, batch, signal);
    if (answer === undefined) return true;
    await this.#keep(index, answer.model, batch, answer.texts, signal);
    return true;
  }

  async #embed(model: string, batch: readonly Content[], signal: AbortSignal) {
    try {
      return await this.#options.embedder.embed(
        model,
        batch.map(({ text }) => text),
        AbortSignal.any([signal, AbortSignal.timeout(embedTimeoutMs)]),
      );
    } catch (error) {
      if (!(error instanceof UnknownModelError)) throw error;
      if (this.#wantedModel !== model) throw error;
      this.#options.logger.warn({ model }, "a search asks for a model that nobody serves");
      this.#unknownModels.set(model, performance.now());
      this.#wantedModel = undefined;
      return undefined;
    }
  }

  async #keep(
    index: SideIndex,
    model: string,
    batch: readonly Content[],
    answers: readonly EmbeddedText[],
    signal: AbortSignal,
  ): Promise<void> {
    const vectors: IndexedContent[] = [];
    const refused: string[] = [];
    let passing = 0;
    batch.forEach(({ hash }, at) => {
      const answer = answers[at];
      if (answer !== undefined && "vector" in answer) vectors.push({ hash, vector: answer.vector });
      else if (answer?.refused === "lasting") refused.push(hash);
      else passing++;
    });
    const dimension = vectors[0]?.vector.length;
    const otherDimension =
      dimension !== undefined && index.dimension !== undefined && dimension !== index.dimension;
    if (model !== index.model || otherDimension) {
      this.#options.logger.info({ model, former: index.model }, "building the side index anew");
      await index.setModel(model);
      this.#refused.clear();
      this.#queueOf = undefined;
    }
    if (this.#wantedModel === model) this.#wantedModel = undefined;
    for (const hash of refused) this.#refused.add(hash);
    await index.add(vectors, signal);
    if (passing > 0) {
      this.#queueOf = undefined;
      throw new Error(`the embedder put off ${passing} of ${batch.length} texts`);
    }
  }

  /** Hashes without a vector, gathered once for each catalogue and then used up. */
  #waiting(catalogue: Catalogue, index: SideIndex): string[] {
    if (this.#queueOf !== catalogue) {
      this.#queueOf = catalogue;
      this.#queue = [...catalogue.contents.keys()].reverse();
    }
    while (this.#queue.length > 0) {
      const last = this.#queue.at(-1) ?? "";
      if (!index.has(last) && !this.#refused.has(last)) break;
      this.#queue.pop();
    }
    return this.#queue
      .slice(-batchTexts)
      .reverse()
      .filter((hash) => !index.has(hash) && !this.#refused.has(hash));
  }

  #wake(): void {
    this.#awake = true;
    this.#wakeUp();
  }

  /** Until there may be something to do; at once when that came up meanwhile. */
  async #untilWoken(): Promise<void> {
    if (!this.#awake) {
      await new Promise<void>((resolve) => {
        this.#wakeUp = resolve;
      });
    }
  }
}

interface Content {
  readonly hash: string;
  readonly text: string;
}

function takeBatch(hashes: readonly string[], catalogue: Catalogue): Content[] {
  const batch: Content[] = [];
  let length = 0;
  for (const hash of hashes) {
    const text = catalogue.contents.get(hash)?.slice(0, textLength).toWellFormed() ?? "";
    if (batch.length >= batchTexts || (batch.length > 0 && length + text.length > batchLength)) {
      break;
    }
    length += text.length;
    batch.push({ hash, text });
  }
  return batch;
}
