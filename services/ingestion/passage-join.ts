import type { Passage } from "./ports.ts";

/** Where a passage stands in its file, and its text. */
export type Placed = Pick<Passage, "content" | "startLine" | "startColumn" | "endLine">;

/** How many blank lines may stand between two passages that follow each other. */
const maxBlankLines = 10;

/** How many blanks may stand between two that follow each other on one line. */
const maxBlanks = 1_000;

/** The one that begins first, first. */
export function inOrder<T extends Placed>(a: T, b: T): [T, T] {
  const isFirst =
    a.startLine < b.startLine || (a.startLine === b.startLine && a.startColumn <= b.startColumn);
  return isFirst ? [a, b] : [b, a];
}

/**
 * Whether there is nothing but white space between two passages of one file, or they overlap.
 * `follows`: the second one is the next of its file's passages; undefined where that is not known.
 */
export function touch(first: Placed, second: Placed, follows: boolean | undefined): boolean {
  const lines = second.startLine - first.endLine;
  const gap = gapOf(first, second);
  if (lines < 0 || gap <= 0) return true;
  if (lines === 0 && gap > (follows ? maxBlanks : 1)) return false;
  if (follows === undefined) return lines <= 1;
  // Blank lines belong to no passage: between two that follow each other there is nothing else.
  return follows && lines <= maxBlankLines + 1;
}

/** The text of two passages that touch, with what they share once. */
export function joinTexts(first: Placed, second: Placed): string {
  const lines = second.startLine - first.endLine;
  if (lines > 0) return first.content + "\n".repeat(lines) + second.content;
  const shared = sharedLength(first, second);
  if (shared > 0) return first.content + second.content.slice(shared);
  // Without a place that holds, cut at white space.
  const gap = lines === 0 ? gapOf(first, second) : -1;
  return first.content + " ".repeat(gap < 0 ? 1 : gap) + second.content;
}

/** Characters between two passages on one line; infinite where they do not meet on one. */
function gapOf(first: Placed, second: Placed): number {
  if (second.startLine !== first.endLine) return Number.POSITIVE_INFINITY;
  const lastBreak = first.content.lastIndexOf("\n");
  const before = lastBreak === -1 ? first.startColumn : 0;
  return second.startColumn - (before + first.content.length - (lastBreak + 1));
}

/**
 * How much of the second text's beginning is the first one's end: by their places, so that what a
 * text repeats is not taken for shared. Where a place does not hold, since the line has changed
 * before it, the longest run of whole words from the same line on.
 */
function sharedLength(first: Placed, second: Placed): number {
  const line = lineStart(first.content, second.startLine - first.startLine);
  if (line === undefined) return 0;
  const isFirstLine = second.startLine === first.startLine;
  const placed = line + second.startColumn - (isFirstLine ? first.startColumn : 0);
  if (placed >= first.content.length) return 0;
  // The shorter one of what is left of the first text and of the second begins the other.
  const fits = (at: number) => {
    const rest = first.content.slice(at, at + second.content.length);
    return second.content.startsWith(rest);
  };
  if (placed >= line && fits(placed)) return first.content.length - placed;
  const lineEnd = first.content.indexOf("\n", line);
  for (let at = line; at < (lineEnd === -1 ? first.content.length : lineEnd); at++) {
    const length = first.content.length - at;
    if (isBoundary(first.content, at) && isBoundary(second.content, length) && fits(at)) {
      return length;
    }
  }
  return 0;
}

/** Where a line begins, from 0; undefined where there are less. */
function lineStart(content: string, line: number): number | undefined {
  let at = 0;
  for (let left = line; left > 0; left--) {
    const found = content.indexOf("\n", at);
    if (found === -1) return undefined;
    at = found + 1;
  }
  return line < 0 ? undefined : at;
}

/** Whether no word goes on here. */
function isBoundary(text: string, at: number): boolean {
  return (
    at === 0 || at >= text.length || /\s/.test(text[at - 1] ?? "") || /\s/.test(text[at] ?? "")
  );
}
