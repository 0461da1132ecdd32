import type { Admission } from "./admission.ts";
import type { BatchingEmbedder } from "./batching-embedder.ts";
import { type BulkAnswer, type BulkItem, embedBulk } from "./bulk-embedding.ts";
import type { Embedder, EmbeddingOutcome, EmbeddingTask } from "./embedder.ts";
import type { ModelCatalog } from "./model-catalog.ts";
import { textFault } from "./text-checks.ts";

export interface EmbedOrder {
  /** Empty: the default model. */
  readonly model: string;
  readonly task: EmbeddingTask;
  readonly texts: readonly string[];
}

export interface EmbedReceipt {
  readonly model: string;
  readonly dimension: number;
  /** One per text, in the order of the texts. */
  readonly outcomes: readonly EmbeddingOutcome[];
}

/** A stream of items for one model. */
export interface BulkOrder {
  readonly model: string;
  readonly task: EmbeddingTask;
  readonly items: AsyncIterable<readonly BulkItem[]>;
}

/** Answers of a bulk stream that are ready. */
export interface BulkReceipt {
  readonly model: string;
  readonly dimension: number;
  readonly answers: readonly BulkAnswer[];
}

/** Takes orders for vectors: finds the model, turns away what is too much, checks each text. */
export class EmbeddingDesk {
  readonly #catalog: ModelCatalog<BatchingEmbedder>;
  readonly #admission: Admission;

  constructor(catalog: ModelCatalog<BatchingEmbedder>, admission: Admission) {
    this.#catalog = catalog;
    this.#admission = admission;
  }

  /** Throws ModelNotFoundError, DependencyUnavailableError, OverloadedError. */
  async embed({ model, task, texts }: EmbedOrder, signal: AbortSignal): Promise<EmbedReceipt> {
    using _place = this.#admission.enter(texts);
    const embedder = await this.#catalog.embedderOf(model);
    const outcomes = await embedGoodOnes(embedder, texts, task, signal);
    return { model: embedder.model.name, dimension: embedder.model.dimension, outcomes };
  }

  /** Throws as `embed` does, before the first answer; later failures are answers. */
  async *embedBulk(
    { model, task, items }: BulkOrder,
    signal: AbortSignal,
  ): AsyncGenerator<BulkReceipt> {
    using _place = this.#admission.enterStream();
    const embedder = await this.#catalog.embedderOf(model);
    for await (const answers of embedBulk(embedder, task, items, signal)) {
      const { name, dimension } = embedder.model;
      yield { model: name, dimension, answers };
    }
  }
}

/** Texts that no model could embed do not reach the model. */
async function embedGoodOnes(
  embedder: Embedder,
  texts: readonly string[],
  task: EmbeddingTask,
  signal: AbortSignal,
): Promise<EmbeddingOutcome[]> {
  const faults = texts.map((text, index) => textFault(text, `texts[${index}]`));
  const good = texts.filter((_, index) => faults[index] === undefined);
  const embedded = (await embedder.embed(good, task, signal)).values();
  return faults.map((error) => {
    if (error !== undefined) return { error };
    const next = embedded.next();
    if (next.done) throw new Error(`${embedder.model.name} gave fewer outcomes than texts`);
    return next.value;
  });
}
