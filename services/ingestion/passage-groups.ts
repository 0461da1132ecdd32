import { inOrder, joinTexts, touch } from "./passage-join.ts";
import type { Passage } from "./ports.ts";

/** A passage as it is answered: perhaps put together from several that touch. */
export interface AnsweredPassage extends Passage {
  /** What it was put together from, by line. */
  readonly memoryIds: readonly string[];
  /** Which of its file's passages the last of them is. */
  readonly lastIndex: number;
}

/** As it is found, to be answered. */
export function alone(hit: Passage): AnsweredPassage {
  return { ...hit, memoryIds: [hit.id], lastIndex: hit.lastIndex ?? hit.index };
}

/** What was found in one file. */
export interface FilePassages {
  readonly repoId: string;
  readonly filePath: string;
  /** Of its best passage. */
  readonly score: number;
  /** By line. */
  readonly passages: readonly AnsweredPassage[];
}

/** Of passages with the same text the best one. */
export function foldEqual(passages: readonly Passage[]): readonly Passage[] {
  const byHash = new Map<string, Passage>();
  for (const passage of passages) {
    if (!byHash.has(passage.contentHash)) byHash.set(passage.contentHash, passage);
  }
  return [...byHash.values()];
}

/**
 * Puts passages of one file together that touch or overlap; hits best first. Ends with the first
 * hit that would make one more than `most`.
 */
export function mergeNeighbours(hits: readonly Passage[], most: number): AnsweredPassage[] {
  let merged: AnsweredPassage[] = [];
  for (const hit of hits) {
    const one = alone(hit);
    const touching = merged.filter((other) => touches(one, other));
    if (touching.length === 0) {
      if (merged.length === most) break;
      merged.push(one);
      continue;
    }
    // A hit may close the gap between two; what is put together stands where the best one stood.
    const whole = touching.reduce(join, one);
    const [best] = touching;
    merged = merged.flatMap((other) => {
      if (other === best) return [whole];
      return touching.includes(other) ? [] : [other];
    });
  }
  return merged;
}

/** By file, best first; passages of unknown files stand alone. */
export function groupByFile(passages: readonly AnsweredPassage[], most: number): FilePassages[] {
  const files = new Map<string, AnsweredPassage[]>();
  for (const passage of passages) {
    const key = fileOf(passage) ?? passage.id;
    const file = files.get(key);
    if (file !== undefined) file.push(passage);
    else if (files.size < most) files.set(key, [passage]);
  }
  return [...files.values()].map((found) => ({
    repoId: found[0]?.repoId ?? "",
    filePath: found[0]?.filePath ?? "",
    score: found[0]?.score ?? 0,
    passages: found.slice(0, maxPassagesOfFile).sort((a, b) => a.startLine - b.startLine),
  }));
}

const maxPassagesOfFile = 50;

function fileOf({ repoId, filePath }: Passage): string | undefined {
  return filePath === "" ? undefined : JSON.stringify([repoId, filePath]);
}

function touches(a: AnsweredPassage, b: AnsweredPassage): boolean {
  if (a.startLine === 0 || b.startLine === 0) return false;
  const file = fileOf(a);
  if (file === undefined || file !== fileOf(b)) return false;
  const [first, second] = inOrder(a, b);
  const isKnown = first.lastIndex >= 0 && second.index >= 0;
  return touch(first, second, isKnown ? second.index === first.lastIndex + 1 : undefined);
}

/** One passage of two that touch. */
function join(a: AnsweredPassage, b: AnsweredPassage): AnsweredPassage {
  const [first, second] = inOrder(a, b);
  const better = a.score >= b.score ? a : b;
  return {
    ...better,
    content: joinTexts(first, second),
    startLine: first.startLine,
    startColumn: first.startColumn,
    endLine: Math.max(first.endLine, second.endLine),
    section: first.section,
    index: first.index,
    lastIndex: Math.max(first.lastIndex, second.lastIndex),
    memoryIds: [...new Set([...first.memoryIds, ...second.memoryIds])],
  };
}
