import { CpuTurns } from "./cpu-turns.ts";
import type {
  BatchShape,
  Embedder,
  EmbeddingModel,
  EmbeddingOutcome,
  EmbeddingTask,
} from "./embedder.ts";
import { addFeature, featureHash } from "./feature-hash.ts";
import { type LexicalFeatures, readFeatures } from "./lexical-features.ts";
import { stopWords } from "./stop-words.ts";
import { unitVector } from "./unit-vector.ts";

/**
 * The name says the version: whatever changes a vector makes another model, because vectors that
 * are stored already cannot be compared with the new ones.
 */
export const builtinModel: EmbeddingModel = {
  name: "mahavishnu-lexical-v1",
  provider: "builtin",
  dimension: 768,
  lexical: true,
};

/** Chosen by measuring; `retrieval-quality.test.ts` holds them to what they were chosen for. */
const weights = {
  word: 1,
  stopWord: 0.05,
  /** All n-grams of a word together, against the word itself. */
  ngrams: 0.8,
  pair: 0.3,
  compound: 1,
  character: 0.5,
  characterPair: 1,
  symbol: 0.5,
};
/** One hash space for each kind, so that the word `at` is not the n-gram `at`. */
const seeds = { word: 1, ngram: 2, pair: 3, character: 4, symbol: 5, text: 6 };
const ngramLengths = [3, 4];

/** A slice of computing between two looks at the event loop. */
const sliceMs = 8;
/** Words hashed between two looks at the clock. */
const wordsPerLook = 128;

/**
 * Embeds by signed feature hashing of words, word pairs and character n-grams, with weights that
 * grow with the logarithm of a word's count: a text is near another that uses the same words or
 * similar spellings. It knows nothing of meaning. It needs no model file and no network, and is
 * the same on every machine. The task makes no difference.
 */
export class BuiltinEmbedder implements Embedder {
  readonly model = builtinModel;
  /** Queries need not wait for a batch to end: computations share the processor in slices. */
  readonly batchShape: BatchShape = {
    texts: 64,
    characters: 256 * 1024,
    concurrency: 1,
    extraQueries: 8,
  };
  readonly #turns: CpuTurns;

  constructor(turns: CpuTurns = new CpuTurns()) {
    this.#turns = turns;
  }

  async embed(
    texts: readonly string[],
    _task: EmbeddingTask,
    signal?: AbortSignal,
  ): Promise<EmbeddingOutcome[]> {
    signal?.throwIfAborted();
    const outcomes: EmbeddingOutcome[] = [];
    if (this.#turns.waiting > 0) await this.#turns.next();
    let sliceEnd = performance.now() + sliceMs;
    for (const text of texts) {
      const steps = lexicalVector(text);
      for (let step = steps.next(); ; step = steps.next()) {
        if (performance.now() >= sliceEnd) {
          await this.#turns.next();
          signal?.throwIfAborted();
          sliceEnd = performance.now() + sliceMs;
        }
        if (step.done) {
          outcomes.push({ vector: step.value, truncated: false });
          break;
        }
      }
    }
    return outcomes;
  }
}

/** The vector of one text, yielding between pieces of work of about a millisecond at most. */
function* lexicalVector(text: string): Generator<void, Float32Array> {
  const features = yield* readFeatures(text, (word) => stopWords.has(word));
  const sum = new Float64Array(builtinModel.dimension);
  yield* addWords(sum, features);
  yield* addAll(sum, features.pairs, seeds.pair, () => weights.pair);
  yield* addAll(sum, features.compounds, seeds.word, () => weights.compound);
  yield* addAll(sum, features.characters, seeds.character, characterWeight);
  yield* addAll(sum, features.symbols, seeds.symbol, () => weights.symbol);
  const vector = unitVector(sum);
  if (vector !== undefined) return vector;
  // Features of opposite sign may cancel out in a tiny text. The text as a whole then is its feature.
  addFeature(sum, featureHash(seeds.text, text), 1);
  return unitVector(sum) ?? new Float32Array(builtinModel.dimension).fill(1, 0, 1);
}

function* addWords(sum: Float64Array, { words }: LexicalFeatures): Generator<void> {
  const stems = new Map<string, { count: number; readonly stop: boolean }>();
  for (const [word, { stem, count }] of words) {
    const known = stems.get(stem);
    if (known === undefined) stems.set(stem, { count, stop: stopWords.has(word) });
    else known.count += count;
  }
  let looked = 0;
  for (const [stem, { count, stop }] of stems) {
    const weight = sublinear(count);
    addFeature(
      sum,
      featureHash(seeds.word, stem),
      weight * (stop ? weights.stopWord : weights.word),
    );
    if (!stop) addNgrams(sum, stem, weight * weights.ngrams);
    if (++looked % wordsPerLook === 0) yield;
  }
}

/** The n-grams of a word with marks at its ends; together they weigh the same for every word. */
function addNgrams(sum: Float64Array, word: string, weight: number): void {
  if (word.length < 3) return;
  const marked = `^${word}$`;
  let total = 0;
  for (const n of ngramLengths) total += Math.max(0, marked.length - n + 1);
  const each = weight / Math.sqrt(total);
  for (const n of ngramLengths) {
    for (let at = 0; at + n <= marked.length; at++) {
      addFeature(sum, featureHash(seeds.ngram, marked, at, at + n), each);
    }
  }
}

function* addAll(
  sum: Float64Array,
  counts: ReadonlyMap<string, number>,
  seed: number,
  weightOf: (key: string) => number,
): Generator<void> {
  let looked = 0;
  for (const [key, count] of counts) {
    addFeature(sum, featureHash(seed, key), weightOf(key) * sublinear(count));
    if (++looked % wordsPerLook === 0) yield;
  }
}

/** Two characters weigh more than one: they are about a word of such scripts. */
function characterWeight(key: string): number {
  const first = key.codePointAt(0) ?? 0;
  return key.length > (first > 0xffff ? 2 : 1) ? weights.characterPair : weights.character;
}

/** The tenth occurrence of a word says less than the first. */
function sublinear(count: number): number {
  return count === 1 ? 1 : 1 + Math.log(count);
}
