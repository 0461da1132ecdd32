import { resultKey } from "./content-identity.ts";
import { fingerprintOf, nearlyEqual } from "./near-duplicates.ts";
import type { ScoredHit } from "./scoring.ts";
import { type Source, sources } from "./sources.ts";
import { mayBeNearlyEqual, wordSketchOf } from "./word-sketch.ts";

export interface MergedHit extends ScoredHit {
  /** The source whose hit this is: Session-Buddy for insights, else the one with the best score. */
  readonly source: Source;
  /** Every source that holds this content, `source` first, each once. */
  readonly foundIn: readonly Source[];
  /** Its id in our own memory; undefined where only Session-Buddy holds it. */
  readonly memoryId: string | undefined;
  /** All that was folded into it, best first; the first one's score and parts are its own. */
  readonly folded: readonly ScoredHit[];
}

/** A place in the ranked list: what is worse than the result that stood there comes after it. */
export interface Place {
  readonly score: number;
  readonly id: string;
  readonly source: Source;
}

/**
 * One ranked list of several: best first, equal scores by id, then in the order of `sources`. The
 * same text, white space aside, stands in it once, with the best of its scores; so does nearly the
 * same text from two sources.
 */
export function mergeHits(
  found: readonly { readonly source: Source; readonly hits: readonly ScoredHit[] }[],
  { minScore }: { readonly minScore: number },
): MergedHit[] {
  const ranked = found
    .flatMap(({ hits }) => hits)
    .filter((hit) => hit.score >= minScore)
    .sort(compareRank);
  const groups = [...Map.groupBy(ranked, (hit) => resultKey(hit.content)).values()];
  return joinNearDuplicates(groups).map(fold).sort(compareRank);
}

/** Negative where `a` ranks before `b`. */
export function compareRank(a: Place, b: Place): number {
  return b.score - a.score || compare(a.id, b.id) || order(a.source) - order(b.source);
}

/**
 * Joins groups of different sources whose texts are nearly equal. Within one source nearly equal
 * texts are two: who stored both meant both.
 */
function joinNearDuplicates(groups: readonly ScoredHit[][]): ScoredHit[][] {
  const only = (source: Source) =>
    groups.filter((group) => group.every((hit) => hit.source === source));
  const theirs = only("session_buddy");
  const ours = theirs.length === 0 ? [] : only("postgresql");
  if (ours.length === 0) return [...groups];
  const sketch = remembering(wordSketchOf);
  // Fifty times as dear as a sketch, and hardly a pair needs it.
  const fingerprint = remembering(fingerprintOf);
  const joined = new Map<ScoredHit[], ScoredHit[]>();
  for (const group of theirs) {
    const twin = ours.find(
      (one) =>
        !joined.has(one) &&
        alikeInLength(one, group) &&
        mayBeNearlyEqual(sketch(one), sketch(group)) &&
        nearlyEqual(fingerprint(one), fingerprint(group)),
    );
    if (twin === undefined) continue;
    joined.set(twin, [...twin, ...group].sort(compareRank));
    joined.set(group, []);
  }
  return groups.map((group) => joined.get(group) ?? group).filter((group) => group.length > 0);
}

/** What is made of a group's text, made once. */
function remembering<T>(make: (content: string) => T): (group: readonly ScoredHit[]) => T {
  const known = new Map<readonly ScoredHit[], T>();
  return (group) => {
    let made = known.get(group);
    if (made === undefined) {
      made = make(group[0]?.content ?? "");
      known.set(group, made);
    }
    return made;
  };
}

/** Cheap, and rules most pairs out before anything is read. */
function alikeInLength([a]: readonly ScoredHit[], [b]: readonly ScoredHit[]): boolean {
  const [x, y] = [a?.content.length ?? 0, b?.content.length ?? 0];
  return Math.min(x, y) >= Math.max(x, y) * 0.75;
}

/** One hit for the same content from several places, the best one first. */
function fold(same: readonly ScoredHit[]): MergedHit {
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
    vectorScore: best.vectorScore,
    textScore: best.textScore,
    parts: best.parts,
    foundIn: [...new Set([source, ...same.map((hit) => hit.source)])],
    memoryId: ours?.id,
    folded: same,
  };
}

function order(source: Source): number {
  return sources.indexOf(source);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
