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

/** How many blank lines may stand between two passages that follow each other. */
const maxBlankLines = 10;

function touches(a: AnsweredPassage, b: AnsweredPassage): boolean {
  if (a.startLine === 0 || b.startLine === 0) return false;
  const file = fileOf(a);
  if (file === undefined || file !== fileOf(b)) return false;
  const [first, second] = inOrder(a, b);
  if (second.startLine <= first.endLine + 1) return true;
  // Blank lines belong to no passage: between two that follow each other there is nothing else.
  const follows = first.lastIndex >= 0 && second.index === first.lastIndex + 1;
  return follows && second.startLine - first.endLine <= maxBlankLines + 1;
}

function inOrder<T extends Passage>(a: T, b: T): [T, T] {
  return a.startLine <= b.startLine ? [a, b] : [b, a];
}

/** One passage of two that touch. */
function join(a: AnsweredPassage, b: AnsweredPassage): AnsweredPassage {
  const [first, second] = inOrder(a, b);
  const better = a.score >= b.score ? a : b;
  return {
    ...better,
    content: joinTexts(first, second),
    startLine: first.startLine,
    endLine: Math.max(first.endLine, second.endLine),
    section: first.section,
    index: first.index,
    lastIndex: Math.max(first.lastIndex, second.lastIndex),
    memoryIds: [...new Set([...first.memoryIds, ...second.memoryIds])],
  };
}

function joinTexts(first: Passage, second: Passage): string {
  if (second.endLine <= first.endLine && first.content.includes(second.content)) {
    return first.content;
  }
  const shared = sharedLength(first.content, second.content);
  if (shared > 0 && second.startLine <= first.endLine) {
    return first.content + second.content.slice(shared);
  }
  // A line that was cut in two was cut at white space.
  const between = "\n".repeat(Math.max(0, second.startLine - first.endLine)) || " ";
  return first.content + between + second.content;
}

/** How much of the second text's beginning is the first one's end. */
function sharedLength(first: string, second: string): number {
  for (let length = Math.min(first.length, second.length); length > 0; length--) {
    if (first.endsWith(second.slice(0, length))) return length;
  }
  return 0;
}
