import { contentHash } from "../../shared/hash.ts";
import { lineBreaks, lineStartAt } from "./lines.ts";
import type { Passage } from "./ports.ts";
import { softEnd } from "./tokens.ts";

/** Of one passage; what is beyond belongs to the last one. */
const maxPartsOfPassage = 1_000;
/** Where a sentence or a line has ended. */
const sentenceEnd = /[.!?。！？]["'”’)\]]*[^\S\n]+|(?<=[。！？])|\n+/gu;
const wordPattern = /[\p{L}\p{M}\p{N}_]+/gu;
/** As the vector store weighs words. */
const k1 = 1.2;
const b = 0.75;

interface Part {
  readonly hit: Passage;
  readonly passage: Passage;
  readonly words: ReadonlyMap<string, number>;
  readonly length: number;
}

/**
 * What matches best within passages: cuts them at the ends of sentences and lines into parts of at
 * most `most` characters, and ranks these, no text twice. A part's score, 0 to 1, is the mean of
 * its passage's score and of the share of the question's information that the part holds, by BM25
 * among all parts; why so: docs/retrieval-evaluation.md.
 */
export function bestParts(hits: readonly Passage[], question: string, most: number): Passage[] {
  const parts = new Map<string, Part>();
  for (const hit of hits) {
    for (const passage of partsOf(hit, most)) {
      if (parts.has(passage.content)) continue;
      const words = countWords(passage.content);
      const length = [...words.values()].reduce((sum, count) => sum + count, 0);
      parts.set(passage.content, { hit, passage, words, length });
    }
  }
  const all = [...parts.values()];
  const shareOf = informationIn(all, [...countWords(question).keys()]);
  return all
    .map((part) => ({ ...part.passage, score: (part.hit.score + shareOf(part)) / 2 }))
    .sort((one, other) => other.score - one.score);
}

/** The share of the question's information that a part holds, 0 to 1. */
function informationIn(parts: readonly Part[], asked: readonly string[]): (part: Part) => number {
  const meanLength = parts.reduce((sum, { length }) => sum + length, 0) / parts.length;
  const weights = asked.map((word): readonly [string, number] => {
    const holding = parts.filter(({ words }) => words.has(word)).length;
    return [word, Math.log(1 + (parts.length - holding + 0.5) / (holding + 0.5))];
  });
  const all = weights.reduce((sum, [, weight]) => sum + weight, 0) * (k1 + 1);
  return ({ words, length }) => {
    const norm = k1 * (1 - b + (b * length) / meanLength);
    const held = weights.reduce((sum, [word, weight]) => {
      const count = words.get(word) ?? 0;
      return count === 0 ? sum : sum + (weight * count * (k1 + 1)) / (count + norm);
    }, 0);
    return all === 0 ? 0 : held / all;
  };
}

function countWords(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of text.normalize("NFC").toLowerCase().match(wordPattern) ?? []) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return counts;
}

function partsOf(hit: Passage, most: number): Passage[] {
  const { content, startLine, startColumn, index } = hit;
  if (content.length <= most) return [{ ...hit, ...placeIn(index, 0, true) }];
  const ends = cutsOf(content, most);
  const parts: Passage[] = [];
  let at = 0;
  let line = startLine;
  for (const [number, end] of ends.entries()) {
    const raw = content.slice(at, end);
    const text = raw.trimEnd();
    const own = {
      content: text,
      contentHash: contentHash(text),
      startLine: line,
      startColumn: at - lineStartAt(content, at) + (line === startLine ? startColumn : 0),
      endLine: startLine === 0 ? hit.endLine : line + lineBreaks(text),
      ...placeIn(index, number, number === ends.length - 1),
    };
    if (text.trim() !== "") parts.push({ ...hit, ...own });
    if (startLine !== 0) line += lineBreaks(raw);
    at = end;
  }
  return parts;
}

/** So that parts that follow each other are known to, and those at the ends of passages. */
function placeIn(index: number, number: number, isLast: boolean) {
  if (index < 0) return { index: -1 };
  const first = index * maxPartsOfPassage;
  const place = { index: first + number };
  return isLast ? { ...place, lastIndex: first + maxPartsOfPassage - 1 } : place;
}

/** Where parts end: as many whole sentences or lines as fit in each. */
function cutsOf(content: string, most: number): number[] {
  const cuts: number[] = [];
  let start = 0;
  let end = 0;
  for (const next of sentenceEnds(content, most)) {
    if (next - start > most && end > start) {
      cuts.push(end);
      start = end;
    }
    end = next;
    if (cuts.length === maxPartsOfPassage - 1) break;
  }
  return [...cuts, content.length];
}

function* sentenceEnds(content: string, most: number): Generator<number> {
  let start = 0;
  const ends = [...content.matchAll(sentenceEnd)].map(({ 0: text, index }) => index + text.length);
  for (const end of [...ends, content.length]) {
    while (end - start > most) {
      start = softEnd(content, start, most);
      yield start;
    }
    if (end > start) yield end;
    start = end;
  }
}
