import type { Definition } from "./code-parser.ts";
import { Pace } from "./pace.ts";
import { type Span, type SplitOptions, splitText, trimSpan } from "./text-splitter.ts";
import { countTokens } from "./tokens.ts";

/** Tokens that putting two parts together may take, with little white space between them. */
const joinTokens = 4;
/** A text of more characters for each token is not worth counting as a whole. */
const charactersOfToken = 8;
/** A beginning smaller than this share of a chunk goes with what follows it, even if that is cut. */
const smallShare = 8;

interface Group extends Span {
  /** At most; exact of a single part. */
  readonly tokens: number;
  readonly parts: number;
}

/**
 * Splits code by what it defines: a function or class that fits into a chunk is never cut,
 * neighbours share a chunk where they fit together, a class that does not fit is split into its
 * members, and a function that does not fit as prose is. Only pieces of one such function share
 * `chunkOverlap` tokens. Otherwise as `splitText`.
 */
export async function splitCode(
  text: string,
  definitions: readonly Definition[],
  options: SplitOptions,
): Promise<Span[]> {
  const splitter = new CodeSplitter(text, options);
  await splitter.split({ start: 0, end: text.length }, definitions);
  return splitter.spans;
}

class CodeSplitter {
  readonly spans: Span[] = [];
  readonly #text: string;
  readonly #options: SplitOptions;
  readonly #pace: Pace;

  constructor(text: string, options: SplitOptions) {
    this.#text = text;
    this.#options = options;
    this.#pace = new Pace();
  }

  async split(range: Span, definitions: readonly Definition[]): Promise<void> {
    const { chunkSize } = this.#options;
    const whole = trimSpan(this.#text, range.start, range.end);
    const isShort = range.end - range.start <= chunkSize * charactersOfToken;
    if (whole !== undefined && isShort && this.#count(whole) <= chunkSize) {
      this.spans.push(whole);
      return;
    }
    let group: Group | undefined;
    const flush = async () => {
      if (group !== undefined) await this.#emit(group);
      group = undefined;
    };
    for (const { span, definition } of partsOf(this.#text, range, definitions)) {
      await this.#pace.step();
      const tokens = this.#count(span);
      if (tokens > chunkSize) {
        const isSmall = group !== undefined && group.tokens <= chunkSize / smallShare;
        const start = isSmall && group !== undefined ? group.start : span.start;
        if (!isSmall) await flush();
        group = undefined;
        await this.#splitLarge({ start, end: span.end }, definition);
      } else {
        const gap = group === undefined ? 0 : Math.max(joinTokens, span.start - group.end);
        if (group !== undefined && group.tokens + gap + tokens <= chunkSize) {
          const { start, parts } = group;
          group = { start, end: span.end, tokens: group.tokens + gap + tokens, parts: parts + 1 };
        } else {
          await flush();
          group = { ...span, tokens, parts: 1 };
        }
      }
    }
    await flush();
  }

  async #splitLarge(range: Span, definition: Definition | undefined): Promise<void> {
    const children = definition?.children ?? [];
    if (children.length > 0) await this.split(range, children);
    else await this.#splitProse(range);
  }

  async #splitProse(range: Span): Promise<void> {
    for (const span of await splitText(this.#text, this.#options, range)) this.spans.push(span);
  }

  async #emit(group: Group): Promise<void> {
    const { chunkSize } = this.#options;
    const last = this.spans.at(-1);
    // What closes the piece before is no piece of its own.
    if (last !== undefined && !/[\p{L}\p{N}]/u.test(this.#text.slice(group.start, group.end))) {
      const joined = { start: last.start, end: group.end };
      if (this.#count(joined) <= chunkSize) {
        this.spans[this.spans.length - 1] = joined;
        return;
      }
    }
    // Tokens of parts do not add up exactly, but nearly.
    const isSure = group.parts === 1 || group.tokens <= 0.9 * chunkSize;
    if (!isSure && this.#count(group) > chunkSize) await this.#splitProse(group);
    else this.spans.push({ start: group.start, end: group.end });
  }

  #count({ start, end }: Span): number {
    return countTokens(this.#text.slice(start, end), this.#options.chunkSize);
  }
}

/** Definitions and what stands between them, in text order, without what is white space only. */
function* partsOf(text: string, range: Span, definitions: readonly Definition[]) {
  let at = range.start;
  for (const definition of definitions) {
    const between = trimSpan(text, at, definition.start);
    if (between !== undefined) yield { span: between, definition: undefined };
    const span = trimSpan(text, definition.start, definition.end);
    if (span !== undefined) yield { span, definition };
    at = definition.end;
  }
  const rest = trimSpan(text, at, range.end);
  if (rest !== undefined) yield { span: rest, definition: undefined };
}
