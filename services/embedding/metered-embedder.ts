import { type Attributes, metrics } from "@opentelemetry/api";
import {
  type BatchShape,
  type Embedder,
  type EmbeddingModel,
  type EmbeddingOutcome,
  type EmbeddingTask,
  isEmbedded,
} from "./embedder.ts";

/** Measures another embedder: texts by outcome, and how long each call of it takes. */
export class MeteredEmbedder implements Embedder {
  readonly #inner: Embedder;
  readonly #onFailure: (error: unknown) => void;
  readonly #texts;
  readonly #latency;

  constructor(inner: Embedder, onFailure: (error: unknown) => void = () => {}) {
    this.#inner = inner;
    this.#onFailure = onFailure;
    const meter = metrics.getMeter("mahavishnu.embedding");
    this.#texts = meter.createCounter("mahavishnu.embedding.texts", {
      description: "Texts embedded or refused",
      unit: "{text}",
    });
    this.#latency = meter.createHistogram("mahavishnu.embedding.latency", {
      description: "Time to embed one list of texts",
      unit: "ms",
    });
  }

  get model(): EmbeddingModel {
    return this.#inner.model;
  }

  get batchShape(): BatchShape {
    return this.#inner.batchShape;
  }

  async embed(
    texts: readonly string[],
    task: EmbeddingTask,
    signal?: AbortSignal,
  ): Promise<EmbeddingOutcome[]> {
    const begun = performance.now();
    const attributes: Attributes = { model: this.model.name, provider: this.model.provider };
    try {
      const outcomes = await this.#inner.embed(texts, task, signal);
      const good = outcomes.filter(isEmbedded).length;
      this.#count(good, { ...attributes, outcome: "embedded" });
      this.#count(outcomes.length - good, { ...attributes, outcome: "refused" });
      return outcomes;
    } catch (error) {
      const outcome = signal?.aborted ? "given_up" : "failed";
      this.#count(texts.length, { ...attributes, outcome });
      if (outcome === "failed") this.#onFailure(error);
      throw error;
    } finally {
      this.#latency.record(performance.now() - begun, attributes);
    }
  }

  #count(texts: number, attributes: Attributes): void {
    if (texts > 0) this.#texts.add(texts, attributes);
  }
}

/** Publishes how much waits, as a gauge. Disposing stops. */
export function meterQueue(waitingTexts: () => number): Disposable {
  const gauge = metrics
    .getMeter("mahavishnu.embedding")
    .createObservableGauge("mahavishnu.embedding.queue.depth", {
      description: "Texts of unary calls that wait or are being embedded",
      unit: "{text}",
    });
  const observe = (result: { observe(value: number): void }) => result.observe(waitingTexts());
  gauge.addCallback(observe);
  return { [Symbol.dispose]: () => gauge.removeCallback(observe) };
}
