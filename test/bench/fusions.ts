/** A document that either leg of a hybrid search brought. */
export interface Candidate {
  readonly id: string;
  /** Cosine similarity, 0 to 1. */
  readonly vector: number;
  /** The share of the query's information, 0 to 1. */
  readonly text: number;
}

/** Ids, best first. */
export type Ranking = (candidates: readonly Candidate[]) => string[];

function by(score: (one: Candidate) => number): Ranking {
  return (candidates) =>
    candidates
      .map((one) => ({ id: one.id, score: score(one) }))
      .sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1))
      .map((one) => one.id);
}

/** Of ranks and not of scores: reciprocal rank fusion. */
function reciprocalRanks(k: number): Ranking {
  return (candidates) => {
    const places = (ranking: Ranking) =>
      new Map(ranking(candidates).map((id, place) => [id, place + 1]));
    const vector = places(by((one) => one.vector));
    const text = places(by((one) => one.text));
    // A document without a word of the query is in no text ranking.
    return by(({ id, text: score }) => {
      const ofText = score > 0 ? 1 / (k + (text.get(id) ?? 0)) : 0;
      return 1 / (k + (vector.get(id) ?? 0)) + ofText;
    })(candidates);
  };
}

/** Each score moved and stretched to 0..1 over the candidates of the question. */
function stretched(weight: number): Ranking {
  return (candidates) => {
    const stretch = (score: (one: Candidate) => number) => {
      const all = candidates.map(score);
      const least = Math.min(...all);
      const range = Math.max(...all) - least || 1;
      return (one: Candidate) => (score(one) - least) / range;
    };
    const vector = stretch((one) => one.vector);
    const text = stretch((one) => one.text);
    return by((one) => weight * vector(one) + (1 - weight) * text(one))(candidates);
  };
}

/** The more of the question's information the best document holds, the more its words count. */
function adaptive(least: number, most: number): Ranking {
  return (candidates) => {
    const best = Math.max(0, ...candidates.map((one) => one.text));
    const weight = most - (most - least) * Math.min(1, 2 * best);
    return by((one) => weight * one.vector + (1 - weight) * one.text)(candidates);
  };
}

const linear = (weight: number) => by((one) => weight * one.vector + (1 - weight) * one.text);

/** The ways that are compared; the weights are those of the vector part. */
export const fusions: Readonly<Record<string, Ranking>> = {
  "vector alone": by((one) => one.vector),
  "text alone": by((one) => one.text),
  ...Object.fromEntries(
    [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9].map((weight) => [
      `weighted mean, ${weight}`,
      linear(weight),
    ]),
  ),
  "reciprocal ranks, k 60": reciprocalRanks(60),
  "reciprocal ranks, k 10": reciprocalRanks(10),
  "larger of both": by((one) => Math.max(one.vector, one.text)),
  "either (1 - (1 - v)(1 - t))": by((one) => 1 - (1 - one.vector) * (1 - one.text)),
  "geometric mean": by((one) => Math.sqrt(one.vector * one.text)),
  "stretched, 0.3": stretched(0.3),
  "stretched, 0.5": stretched(0.5),
  "stretched, 0.7": stretched(0.7),
  "adaptive, 0.3 to 0.6": adaptive(0.3, 0.6),
  "adaptive, 0.3 to 0.8": adaptive(0.3, 0.8),
};
