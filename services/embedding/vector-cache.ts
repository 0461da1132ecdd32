import { hash } from "node:crypto";
import { metrics } from "@opentelemetry/api";
import { LRUCache } from "lru-cache";
import type { Embedded, EmbeddingTask } from "./embedder.ts";

/** Hashing a longer text takes too long, and it is not likely to come again. */
const mostTextUnits = 64 * 1024;
/** What an entry takes beside its vector: key, objects, list nodes. */
const entryBytes = 400;

/**
 * Vectors that were made before, within a bound of bytes; the one that was not used for longest
 * goes first. Keys are hashes, so that it holds no texts. Shared by all models of the process.
 */
export class VectorCache implements Disposable {
  readonly #entries: LRUCache<string, Embedded> | undefined;
  readonly #meter = meterCache(() => this.bytes);
  #scopes = 0;

  /** 0 keeps nothing. */
  constructor(maxBytes: number) {
    const sizeCalculation = ({ vector }: Embedded) => vector.byteLength + entryBytes;
    this.#entries = maxBytes > 0 ? new LRUCache({ maxSize: maxBytes, sizeCalculation }) : undefined;
  }

  get bytes(): number {
    return this.#entries?.calculatedSize ?? 0;
  }

  /**
   * A part of its own for one embedder. A model whose content has changed has another embedder,
   * and so never meets the vectors of the old one.
   */
  scope(model: string): CacheScope {
    let scope = this.#scopes++;
    const lookUp = (key: string) => this.#entries?.get(key);
    const count = (outcome: "hit" | "miss") => this.#meter.lookups.add(1, { model, outcome });
    return {
      get: (task, text) => {
        if (this.#entries === undefined || text.length > mostTextUnits) return undefined;
        const found = lookUp(keyOf(scope, task, text));
        count(found === undefined ? "miss" : "hit");
        return found;
      },
      set: (task, text, embedded) => {
        if (text.length > mostTextUnits) return;
        this.#entries?.set(keyOf(scope, task, text), embedded);
      },
      forget: () => {
        scope = this.#scopes++;
      },
    };
  }

  [Symbol.dispose](): void {
    this.#meter[Symbol.dispose]();
    this.#entries?.clear();
  }
}

/** Whoever takes a vector out must not write to it. */
export interface CacheScope {
  get(task: EmbeddingTask, text: string): Embedded | undefined;
  set(task: EmbeddingTask, text: string, embedded: Embedded): void;
  /** For a model that gives other vectors now. */
  forget(): void;
}

function keyOf(scope: number, task: EmbeddingTask, text: string): string {
  return `${scope} ${task} ${hash("sha256", text, "base64")}`;
}

function meterCache(bytes: () => number) {
  const meter = metrics.getMeter("mahavishnu.embedding");
  const lookups = meter.createCounter("mahavishnu.embedding.cache.lookups", {
    description: "Texts looked up in the cache of vectors, by outcome: hit or miss",
    unit: "{text}",
  });
  const gauge = meter.createObservableGauge("mahavishnu.embedding.cache.size", {
    description: "Bytes that the cache of vectors holds",
    unit: "By",
  });
  const observe = (result: { observe(value: number): void }) => result.observe(bytes());
  gauge.addCallback(observe);
  return { lookups, [Symbol.dispose]: () => gauge.removeCallback(observe) };
}
