import {
  RecursiveCharacterTextSplitter,
  type SupportedTextSplitterLanguage,
} from "@langchain/textsplitters";
import type { SplitFamily } from "./languages.ts";
import { Pace } from "./pace.ts";
import { countTokens, softEnd } from "./tokens.ts";

/** A piece of a text: `text.slice(start, end)`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface SplitOptions {
  readonly family: SplitFamily;
  /** The largest piece in tokens. */
  readonly chunkSize: number;
  /** Tokens that a piece repeats of the one before, at most; whole parts only. */
  readonly chunkOverlap: number;
}

/** Longer texts are cut first, so that no single step holds the event loop for long. */
const sectionCharacters = 65_536;

/**
 * Splits a text where its structure does: headings, functions, paragraphs, lines, words, in this
 * order. Spans stand in text order, hold no white space at their end and no blank lines at their
 * beginning, and together hold everything that is not white space. Other work of the process gets
 * its turn at least every 50 ms. With a range only what is in it is split.
 */
export async function splitText(
  text: string,
  options: SplitOptions,
  range: Span = { start: 0, end: text.length },
): Promise<Span[]> {
  const pace = new Pace();
  const spans: Span[] = [];
  for (let { start } = range; start < range.end; ) {
    const end = Math.min(range.end, softEnd(text, start, sectionCharacters));
    await pace.step();
    const whole = trimSpan(text, start, end);
    if (whole !== undefined && fits(text.slice(whole.start, whole.end), options.chunkSize)) {
      spans.push(whole);
    } else if (whole !== undefined) {
      const section = new SectionSplitter(text, start, options, pace);
      await section.splitText(text.slice(start, end));
      for (const span of section.spans) spans.push(span);
    }
    start = end;
  }
  return spans;
}

/** A token is at least one byte, and a UTF-16 unit at most three. */
function fits(text: string, chunkSize: number): boolean {
  return text.length * 3 <= chunkSize || countTokens(text, chunkSize) <= chunkSize;
}

interface Part extends Span {
  readonly tokens: number;
}

/**
 * The library decides where to cut; this class remembers where each part stands in the text, which
 * the library would otherwise look for again and find in the wrong place where a text repeats
 * itself. It relies on one fact: with separators kept, the library hands every character to
 * `mergeSplits` once, in text order.
 */
class SectionSplitter extends RecursiveCharacterTextSplitter {
  readonly spans: Span[] = [];
  readonly #text: string;
  /** The library asks for each part twice: where to cut, and what to merge. */
  readonly #counts: Map<string, number>;
  #cursor: number;

  constructor(text: string, start: number, options: SplitOptions, pace: Pace) {
    const { family, chunkSize, chunkOverlap } = options;
    const counts = new Map<string, number>();
    super({
      chunkSize,
      chunkOverlap,
      keepSeparator: true,
      separators: separatorsOf(family),
      lengthFunction: async (part: string) => {
        let count = counts.get(part);
        if (count !== undefined) return count;
        if (pace.due()) await pace.step();
        count = countTokens(part, chunkSize);
        counts.set(part, count);
        return count;
      },
    });
    this.#text = text;
    this.#counts = counts;
    this.#cursor = start;
  }

  /** The library would split between single UTF-16 units, and emoji in two. */
  protected override splitOnSeparator(text: string, separator: string): string[] {
    if (separator === sentence) return text.split(sentenceEnd);
    if (separator !== "") return super.splitOnSeparator(text, separator);
    // A code point is at most four tokens: such a run always fits.
    const run = Math.max(1, Math.floor(this.chunkSize / 8));
    const points = Array.from(text);
    const runs: string[] = [];
    for (let at = 0; at < points.length; at += run) runs.push(points.slice(at, at + run).join(""));
    return runs;
  }

  override async mergeSplits(splits: string[]): Promise<string[]> {
    const chunk: Part[] = [];
    let total = 0;
    for (const split of splits) {
      const tokens = this.#counts.get(split) ?? (await this.lengthFunction(split));
      const part = { start: this.#cursor, end: this.#cursor + split.length, tokens };
      this.#cursor = part.end;
      if (total + tokens > this.chunkSize && chunk.length > 0) {
        this.#emit(chunk);
        while (total > this.chunkOverlap || (total > 0 && total + tokens > this.chunkSize)) {
          total -= chunk.shift()?.tokens ?? total;
        }
        if (chunk.length === 0) total = 0;
      }
      chunk.push(part);
      total += tokens;
    }
    this.#emit(chunk);
    return [];
  }

  #emit(parts: Part[]): void {
    const first = parts[0];
    const last = parts.at(-1);
    if (first === undefined || last === undefined) return;
    const span = trimSpan(this.#text, first.start, last.end);
    if (span === undefined) return;
    if (this.#isTooLong(parts, span) && span.end - span.start > 1) {
      for (const half of halves(this.#text, parts, span)) this.#emit(half);
      return;
    }
    const before = this.spans.at(-1);
    // The overlap alone is no piece of its own.
    if (before === undefined || span.end > before.end) this.spans.push(span);
  }

  /** Tokens of parts do not add up exactly, nor do they once white space is left out; but nearly. */
  #isTooLong(parts: readonly Part[], { start, end }: Span): boolean {
    const sum = parts.reduce((total, { tokens }) => total + tokens, 0);
    if (sum + 2 * (parts.length + 1) <= this.chunkSize) return false;
    return countTokens(this.#text.slice(start, end), this.chunkSize) > this.chunkSize;
  }
}

/** All parts but the last one, and the last one; or a single part in its middle. */
function halves(text: string, parts: Part[], span: Span): [Part[], Part[]] {
  if (parts.length > 1) return [parts.slice(0, -1), parts.slice(-1)];
  const middle = softEnd(text, span.start, Math.ceil((span.end - span.start) / 2));
  const tokens = parts[0]?.tokens ?? 0;
  return [[{ start: span.start, end: middle, tokens }], [{ start: middle, end: span.end, tokens }]];
}

/** Leaves out blank lines at the beginning and white space at the end; indentation stays. */
export function trimSpan(text: string, start: number, end: number): Span | undefined {
  const content = text.slice(start, end);
  const length = content.trimEnd().length;
  const indented = content.length - content.trimStart().length;
  if (indented >= length) return undefined;
  const lineBreak = content.lastIndexOf("\n", indented);
  const lineBegins = start === 0 || text[start - 1] === "\n";
  const from = lineBreak !== -1 ? lineBreak + 1 : lineBegins ? 0 : indented;
  return { start: start + from, end: start + length };
}

/** Statements that begin something new in JavaScript and TypeScript, beyond the library's list. */
const scriptStarts = ["\nexport ", "\ninterface ", "\ntype ", "\nenum ", "\nasync function "];
const classMembers = ["\n    public ", "\n    private ", "\n    protected ", "\n    internal "];
/** Stands for the ends of sentences; the library looks for it to see whether a text has any. */
const sentence = ". ";
/** Sentences keep their end, and the space after it begins the next. */
const sentenceEnd = /(?<=[.!?]["'”’)\]]?)(?= \S)/u;
const plainSeparators = ["\n\n", "\n", sentence, " ", ""];

const separatorsByFamily = new Map<SplitFamily, readonly string[]>();

function separatorsOf(family: SplitFamily): string[] {
  let separators = separatorsByFamily.get(family);
  if (separators === undefined) {
    separators = listSeparators(family);
    separatorsByFamily.set(family, separators);
  }
  return [...separators];
}

function listSeparators(family: SplitFamily): string[] {
  switch (family) {
    case "plain":
    case "shell":
      return plainSeparators;
    case "script":
    case "tsx":
    case "typescript":
      return [...scriptStarts, ...fromLibrary("js")];
    case "markdown":
      return ["\n# ", ...fromLibrary("markdown").slice(0, -2), sentence, " ", ""];
    case "csharp":
    case "java":
    case "jvm":
      return [...fromLibrary("java").slice(0, 5), ...classMembers, ...fromLibrary("java").slice(5)];
    case "html":
      // The library goes from tags to words at once; lines stand between.
      return [...fromLibrary("html").filter((one) => one.trim() !== ""), ...plainSeparators];
    default:
      return fromLibrary(family);
  }
}

function fromLibrary(language: SupportedTextSplitterLanguage): string[] {
  return RecursiveCharacterTextSplitter.getSeparatorsForLanguage(language);
}
