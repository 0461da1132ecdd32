import { definitionsIn } from "./code-parser.ts";
import { splitCode } from "./code-splitter.ts";
import { Pace } from "./pace.ts";
import { Sections } from "./sections.ts";
import { type SplitOptions, splitText } from "./text-splitter.ts";

/** A piece of a file, as it is embedded and stored. */
export interface Chunk {
  /** Its text, as it stands in the file up to blank lines and white space at its ends. */
  readonly content: string;
  /** The line of its first character, from 1. */
  readonly startLine: number;
  /** Characters that stand before it on that line. */
  readonly startColumn: number;
  /** The line of its last character. */
  readonly endLine: number;
  /** The headings or symbols that it stands under; "" where there are none. */
  readonly section: string;
  /** Which of the file's pieces it is, from 0; one that is left out counts, too. */
  readonly index: number;
}

/** Changes whenever the same file would be chunked differently; chunks made before are then renewed. */
export const chunkingRevision = 4;

/**
 * Splits a file's text into chunks, in text order. Lines end with `\n`. A piece that repeats an
 * earlier one word for word is left out: the file's first passage stands for both.
 */
export async function chunkText(text: string, options: SplitOptions): Promise<Chunk[]> {
  const { family } = options;
  const definitions = await definitionsIn(text, family, new Pace());
  const spans =
    definitions === undefined
      ? await splitText(text, options)
      : await splitCode(text, definitions, options);
  const lines = new LineCounter(text);
  const sections = new Sections(text, family, definitions);
  const chunks = new Map<string, Chunk>();
  for (const [index, { start, end }] of spans.entries()) {
    const content = text.slice(start, end);
    if (chunks.has(content)) continue;
    const startLine = lines.at(start);
    // A heading or symbol on a chunk's first line is its own.
    const section = sections.at(lines.endOf(startLine));
    chunks.set(content, {
      content,
      startLine,
      startColumn: start - lines.startOf(startLine),
      endLine: lines.at(end - 1),
      section,
      index,
    });
  }
  return [...chunks.values()];
}

/** Numbers of lines by position. */
class LineCounter {
  readonly #starts = [0];
  readonly #end: number;

  constructor(text: string) {
    this.#end = text.length;
    for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) {
      this.#starts.push(at + 1);
    }
  }

  startOf(line: number): number {
    return this.#starts[line - 1] ?? this.#end;
  }

  /** Of its line break, or of the text. */
  endOf(line: number): number {
    const next = this.#starts[line];
    return next === undefined ? this.#end : next - 1;
  }

  /** The line, from 1, that holds the character at this position. */
  at(position: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.#starts[middle] ?? 0) <= position) low = middle;
      else high = middle;
    }
    return low + 1;
  }
}
