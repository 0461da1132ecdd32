import { isPinned } from "./memory-change.ts";
import type { Period } from "./named-time.ts";
import type { Hit } from "./ports.ts";
import type { Source } from "./sources.ts";

/**
 * What a score is made of: (vector + text + neighbours + sessionTime) * recency, in single
 * precision. The first two are the source's own score.
 */
export interface ScoreParts {
  readonly vector: number;
  readonly text: number;
  readonly neighbours: number;
  readonly sessionTime: number;
  readonly recency: number;
}

/** A hit with its final score; `parts` tell how that came about. */
export interface ScoredHit extends Hit {
  readonly source: Source;
  readonly parts: ScoreParts;
}

/** The memories of the turns before and after a turn; undefined where there is none. */
export interface Neighbours {
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** What the sources weigh the vector part with where there are both; see docs/architecture.md. */
const vectorWeight = 0.6;
/**
 * Of what is missing to 1, a turn gains this much times the scores of the turns beside it. Chosen
 * by docs/retrieval-evaluation.md: from 0.15 to 0.4 it makes little difference.
 */
export const neighbourWeight = 0.25;
/** Of what is missing to 1, what is of the time that the query names gains this much. */
export const sessionTimeWeight = 0.2;

/** How many of the best hits speak for their neighbours, and are asked of our own memory. */
export function poolSize(limit: number): number {
  return limit * 2 + 30;
}

export interface Circumstances {
  /** By id of the memory. Those that were not found count as 0. */
  readonly neighbours: ReadonlyMap<string, Neighbours>;
  /** Of the best how many hits neighbours count. */
  readonly pool: number;
  readonly period: Period | undefined;
  /** Undefined: age makes no difference. */
  readonly halfLifeMs: number | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Gives the hits of one source, best first, their final scores, in the order that they had. */
export function scoreHits(
  source: Source,
  hits: readonly Hit[],
  circumstances: Circumstances,
): ScoredHit[] {
  const { neighbours, pool } = circumstances;
  const scores = new Map(hits.slice(0, pool).map(({ id, score }) => [id, score]));
  return hits.map((hit, rank) => {
    // Beyond the pool nobody gains, so that asking for more does not change the score of any.
    const beside = rank < pool ? neighbours.get(hit.id) : undefined;
    const gain = neighbourScores(hit.id, beside, scores) * neighbourWeight;
    return scored(source, hit, gain, circumstances);
  });
}

function neighbourScores(
  id: string,
  beside: Neighbours | undefined,
  scores: ReadonlyMap<string, number>,
): number {
  // Equal turns share a memory: it is beside itself then, or on both sides, and counts once.
  if (beside === undefined) return 0;
  const ids = new Set([beside.before, beside.after]);
  let sum = 0;
  for (const one of ids) if (one !== undefined && one !== id) sum += scores.get(one) ?? 0;
  return sum;
}

function scored(
  source: Source,
  hit: Hit,
  neighbourGain: number,
  { period, halfLifeMs, now }: Circumstances,
): ScoredHit {
  const own = ownParts(hit);
  const neighbours = (1 - hit.score) * neighbourGain;
  const withNeighbours = hit.score + neighbours;
  const sessionTime = isIn(period, hit) ? (1 - withNeighbours) * sessionTimeWeight : 0;
  const ages = halfLifeMs !== undefined && !isPinned(hit.metadata);
  const recency = ages ? decay(bornMsOf(hit) ?? now, halfLifeMs, now) : 1;
  const parts = { ...own, neighbours, sessionTime, recency };
  return { ...hit, source, parts, score: totalOf(parts) };
}

function isIn(period: Period | undefined, hit: Hit): boolean {
  if (period === undefined) return false;
  const bornMs = bornMsOf(hit);
  return bornMs !== undefined && bornMs >= period.from && bornMs < period.to;
}

function bornMsOf({ createTime }: Hit): number | undefined {
  return createTime === undefined ? undefined : Number(createTime / 1_000n);
}

export function totalOf({ vector, text, neighbours, sessionTime, recency }: ScoreParts): number {
  return Math.fround((vector + text + neighbours + sessionTime) * recency);
}

/** What vector and text bring to the source's score; together they are exactly that. */
function ownParts({ score, vectorScore, textScore }: Hit): Pick<ScoreParts, "vector" | "text"> {
  if (vectorScore === undefined) return { vector: 0, text: score };
  if (textScore === undefined) return { vector: score, text: 0 };
  const vector = Math.min(score, vectorWeight * vectorScore);
  return { vector, text: score - vector };
}

/** 1 for what is new, a half after each half-life. What is said to come from the future is new. */
function decay(bornMs: number, halfLifeMs: number, now: number): number {
  return 2 ** (-Math.max(0, now - bornMs) / halfLifeMs);
}
