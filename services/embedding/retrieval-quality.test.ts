import { describe, expect, it } from "vitest";
import { BuiltinEmbedder } from "./builtin-embedder.ts";
import { isEmbedded } from "./embedder.ts";
import { addFeature, featureHash } from "./feature-hash.ts";
import { retrievalCases } from "./retrieval-cases.ts";
import { unitVector } from "./unit-vector.ts";

type Vectors = readonly Float32Array[];

/** The simplest thing that could work: the count of each word, hashed into as many dimensions. */
function plainHashing(text: string): Float32Array {
  const sum = new Float64Array(768);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
    addFeature(sum, featureHash(0, word), 1);
  }
  return unitVector(sum) ?? new Float32Array(768);
}

async function builtin(texts: readonly string[]): Promise<Vectors> {
  const outcomes = await new BuiltinEmbedder().embed(texts, "document");
  return outcomes.filter(isEmbedded).map(({ vector }) => vector);
}

/** The share of questions whose passage is among the first `k`, and the mean reciprocal rank. */
function quality(questions: Vectors, passages: Vectors) {
  const ranks = questions.map((question, own) => {
    const scores = passages.map((passage) => dot(question, passage));
    const ownScore = scores[own] ?? 0;
    // A tie counts against us: an order by chance is no merit.
    return scores.filter((score, other) => other !== own && score >= ownScore).length + 1;
  });
  const share = (k: number) => ranks.filter((rank) => rank <= k).length / ranks.length;
  const reciprocal = ranks.reduce((sum, rank) => sum + 1 / rank, 0) / ranks.length;
  return { recallAt1: share(1), recallAt5: share(5), reciprocal };
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
}

describe("retrieval with the built-in embedder", () => {
  const questions = retrievalCases.map(({ question }) => question);
  const passages = retrievalCases.map(({ passage }) => passage);

  it("finds the passage far more often than plain hashing of words does", async () => {
    const plain = quality(questions.map(plainHashing), passages.map(plainHashing));
    const ours = quality(await builtin(questions), await builtin(passages));
    const figures = JSON.stringify({ plain, ours });
    expect(ours.recallAt1, figures).toBeGreaterThanOrEqual(0.85);
    expect(ours.recallAt5, figures).toBeGreaterThanOrEqual(0.95);
    expect(ours.recallAt5, figures).toBeGreaterThan(plain.recallAt5 + 0.1);
    expect(ours.reciprocal, figures).toBeGreaterThan(plain.reciprocal + 0.15);
  });

  it("finds a passage again within a long document", async () => {
    // Each passage stands amid text about everything else, ten times its length.
    const long = passages.map((passage, own) => {
      const others = passages.filter((_, other) => other !== own);
      const rotated = [...others.slice(own), ...others.slice(0, own)].slice(0, 10);
      return [...rotated.slice(0, 5), passage, ...rotated.slice(5)].join("\n\n");
    });
    const ours = quality(await builtin(questions), await builtin(long));
    const plain = quality(questions.map(plainHashing), long.map(plainHashing));
    // Ten other questions are answered in the same document, so first place is not to be had.
    expect(ours.reciprocal, JSON.stringify({ plain, ours })).toBeGreaterThan(plain.reciprocal);
  });
});
