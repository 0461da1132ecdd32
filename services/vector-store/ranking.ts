import type { Candidates } from "./candidates.ts";
import { kthLargest } from "./kth-largest.ts";
import { defaultVectorWeight, hybridCandidates, type SearchQuery } from "./search.ts";

/** A document that a ranking names, and where its row was. */
export interface PlacedDocument {
  readonly id: string;
  readonly place: number;
}

/** A hit as it is known before its document is read. */
export interface RankedHit extends PlacedDocument {
  /** Of single precision, as scores travel. */
  readonly score: number;
  readonly vectorScore: number | undefined;
  readonly textScore: number | undefined;
}

export interface Ranking {
  readonly hits: readonly RankedHit[];
  /** Documents that are no hits, and on whose being there the hits depend. */
  readonly others: readonly PlacedDocument[];
}

/** A candidate with what it is ordered by. */
interface Ranked {
  readonly id: string;
  readonly rank: number;
  readonly at: number;
}

/**
 * The hits of a search, were nothing changed, deleted or expired since the candidates' snapshot and
 * no filter asked for: by the same rules, and to the same precision, as the database has them.
 */
export function ranking(query: SearchQuery, candidates: Candidates): Ranking {
  const { ids, places, closeness, textScores } = candidates;
  const ranked = (at: number, rank: number): Ranked => ({ id: ids[at] as string, rank, at });
  const near: Ranked[] = [];
  const worded: Ranked[] = [];
  for (let at = 0; at < ids.length; at++) {
    const one = closeness[at];
    if (query.mode !== "text" && one !== undefined) near.push(ranked(at, one));
    const words = textScores[at] as number;
    if (query.mode !== "vector" && words > 0) worded.push(ranked(at, words));
  }
  const placed = ({ id, at }: Ranked) => ({ id, place: places[at] as number });
  const hitOf = ({ id, at, rank }: Ranked): RankedHit => {
    const one = closeness[at];
    const vectorScore =
      query.mode === "text" || one === undefined ? undefined : Math.max(0, Math.min(1, one));
    const textScore = query.mode === "vector" ? undefined : (textScores[at] as number);
    const score = query.mode === "vector" ? (vectorScore as number) : rank;
    return { id, place: places[at] as number, score, vectorScore, textScore };
  };
  const hitsOf = (among: readonly Ranked[]) =>
    bestOf(among, query.limit)
      .toSorted(inOrder)
      .map(hitOf)
      .filter(({ score }) => score >= Math.fround(query.minScore));
  switch (query.mode) {
    case "vector":
      return { hits: hitsOf(near), others: [] };
    case "text":
      return { hits: hitsOf(worded), others: [] };
    case "hybrid": {
      const wanted = hybridCandidates(query.limit);
      const weight = query.vectorWeight ?? defaultVectorWeight;
      const chosen = new Set<number>();
      for (const leg of [near, worded]) for (const { at } of bestOf(leg, wanted)) chosen.add(at);
      const mixed = [...chosen].map((at) =>
        ranked(at, hybridScore(closeness[at], textScores[at] as number, weight)),
      );
      const hits = hitsOf(mixed);
      const found = new Set(hits.map(({ id }) => id));
      return { hits, others: mixed.filter(({ id }) => !found.has(id)).map(placed) };
    }
  }
}

/** The weighted mean of the parts that there are. */
function hybridScore(closeness: number | undefined, textScore: number, weight: number): number {
  if (closeness === undefined) return textScore;
  const vectorScore = Math.max(0, Math.min(1, closeness));
  return Math.fround(weight * vectorScore + (1 - weight) * textScore);
}

/** Of equal ones those whose ids come first; in no order. */
function bestOf(ranked: readonly Ranked[], most: number): readonly Ranked[] {
  if (ranked.length <= most) return ranked;
  const least = kthLargest(
    Float64Array.from(ranked, ({ rank }) => rank),
    most,
  );
  const above = ranked.filter(({ rank }) => rank > least);
  const equal = ranked.filter(({ rank }) => rank === least).toSorted(inOrder);
  return [...above, ...equal.slice(0, most - above.length)];
}

/** The highest first, equal ones by the code points of their ids, as the database orders them. */
function inOrder(a: Ranked, b: Ranked): number {
  return b.rank - a.rank || Buffer.compare(Buffer.from(a.id), Buffer.from(b.id));
}
