import { resultKey } from "./content-identity.ts";
import type { Hit } from "./ports.ts";

/** Where a result can come from, in the order of the contract. */
export const sources = ["postgresql", "session_buddy"] as const;
export type Source = (typeof sources)[number];

export interface MergedHit extends Hit {
  /** The source whose hit this is: Session-Buddy for insights, else the one with the best score. */
  readonly source: Source;
  /** Every source that holds this content, `source` first, each once. */
  readonly foundIn: readonly Source[];
  /** Its id in our own memory; undefined where only Session-Buddy holds it. */
  readonly memoryId: string | undefined;
}

type RankedHit = Hit & { readonly source: Source };

/**
 * One ranked list of several: best first, equal scores by id, then in the order of `sources`. The
 * same text, white space aside, stands in it once, with the best of its scores.
 */
export function mergeHits(
  found: readonly { readonly source: Source; readonly hits: readonly Hit[] }[],
  { limit, minScore }: { readonly limit: number; readonly minScore: number },
): MergedHit[] {
  const ranked = found
    .flatMap(({ source, hits }) => hits.map((hit): RankedHit => ({ ...hit, source })))
    .filter((hit) => hit.score >= minScore)
    .sort(rank);
  const byContent = Map.groupBy(ranked, (hit) => resultKey(hit.content));
  return [...byContent.values()].map(fold).sort(rank).slice(0, limit);
}

/** One hit for the same content from several places, the best one first. */
function fold(same: readonly RankedHit[]): MergedHit {
  const [best] = same;
  if (best === undefined) throw new RangeError("nothing to fold");
  // Insights are at home in Session-Buddy: ours is the copy that is there when it is not, and
  // that knows more of where the insight came from.
  const home = same.find((hit) => hit.memoryType === "insight" && hit.source === "session_buddy");
  const ours = same.find((hit) => hit.source === "postgresql");
  const { id, source } = home ?? best;
  return {
    ...(home === undefined ? best : (ours ?? home)),
    id,
    source,
    score: best.score,
    foundIn: [...new Set([source, ...same.map((hit) => hit.source)])],
    memoryId: ours?.id,
  };
}

function rank(a: RankedHit, b: RankedHit): number {
  return b.score - a.score || compare(a.id, b.id) || order(a.source) - order(b.source);
}

function order(source: Source): number {
  return sources.indexOf(source);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
