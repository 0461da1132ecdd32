import type { Range } from "./excerpt-set.ts";

/**
 * How well what was retrieved covers the excerpts that answer a question, by characters, as Smith
 * and Troynikov define it for tokens ("Evaluating Chunking Strategies for Retrieval", Chroma
 * Technical Report, 2024) and their program counts it.
 */
export interface Coverage {
  /** The share of the excerpts that was retrieved. */
  readonly recall: number;
  /** The share of what was retrieved that is of the excerpts. What is retrieved twice counts twice below the line. */
  readonly precision: number;
  /** Intersection over union. */
  readonly iou: number;
  /** Characters retrieved. */
  readonly characters: number;
}

/** `retrieved` and `excerpts` each of the question's own text; `others` characters are of other texts. */
export function coverageOf(
  retrieved: readonly Range[],
  excerpts: readonly Range[],
  others: number,
): Coverage {
  const wanted = sumOf(unionOf(excerpts));
  const hit = sumOf(
    unionOf(
      excerpts.flatMap((excerpt) =>
        retrieved.map(({ start, end }) => {
          return { start: Math.max(start, excerpt.start), end: Math.min(end, excerpt.end) };
        }),
      ),
    ),
  );
  const characters = sumOf(retrieved) + others;
  const divided = (by: number) => (by === 0 ? 0 : hit / by);
  return {
    recall: divided(wanted),
    precision: divided(characters),
    iou: divided(characters + wanted - hit),
    characters,
  };
}

export function meanCoverage(list: readonly Coverage[]): Coverage {
  const of = (value: (one: Coverage) => number) =>
    list.reduce((sum, one) => sum + value(one), 0) / list.length;
  return {
    recall: of(({ recall }) => recall),
    precision: of(({ precision }) => precision),
    iou: of(({ iou }) => iou),
    characters: of(({ characters }) => characters),
  };
}

function unionOf(ranges: readonly Range[]): Range[] {
  const merged: Range[] = [];
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    if (range.end <= range.start) continue;
    const last = merged.at(-1);
    if (last !== undefined && range.start <= last.end) {
      merged[merged.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
    } else merged.push(range);
  }
  return merged;
}

function sumOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, { start, end }) => sum + Math.max(0, end - start), 0);
}
