import { resultKey } from "./content-identity.ts";
import type { Hit } from "./ports.ts";

/** Where a result can come from, in the order of the contract. */
export const sources = ["postgresql", "session_buddy"] as const;
export type Source = (typeof sources)[number];

export interface MergedHit extends Hit {
  /** The source whose hit this is: the one with the higher score. */
  readonly source: Source;
  /** Every source that holds this content, `source` first, each once. */
  readonly foundIn: readonly Source[];
}

/**
 * One ranked list of several: best first, equal scores by id, then in the order of `sources`. The
 * same text, white space aside, stands in it once, with the best of its scores.
 */
export function mergeHits(
  found: readonly { readonly source: Source; readonly hits: readonly Hit[] }[],
  { limit, minScore }: { readonly limit: number; readonly minScore: number },
): MergedHit[] {
  const ranked = found
    .flatMap(({ source, hits }) => hits.map((hit) => ({ ...hit, source })))
    .filter((hit) => hit.score >= minScore)
    .sort((a, b) => b.score - a.score || compare(a.id, b.id) || order(a.source) - order(b.source));
  const merged = new Map<string, { hit: (typeof ranked)[number]; foundIn: Set<Source> }>();
  for (const hit of ranked) {
    const key = resultKey(hit.content);
    const first = merged.get(key);
    if (first === undefined) merged.set(key, { hit, foundIn: new Set([hit.source]) });
    else first.foundIn.add(hit.source);
  }
  return [...merged.values()]
    .slice(0, limit)
    .map(({ hit, foundIn }) => ({ ...hit, foundIn: [...foundIn] }));
}

function order(source: Source): number {
  return sources.indexOf(source);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
