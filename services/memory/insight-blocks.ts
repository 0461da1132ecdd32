/**
 * The frames of insights in a text. Understood are the short form, `★ Insight ─────` (five dashes or
 * more) up to a rule of five dashes or more, and Session-Buddy's long form, whose header begins with
 * a back-tick and has 37 dashes or more, and whose end is a back-tick and 49 dashes or more.
 */

/** A header, or a rule that may end a block; back-ticks and emphasis around it belong to it. */
const frame = /([`*]{0,2})(★ Insight )?(─{5,})([`*]{0,2})/g;
const leastLongHeader = 37;
const leastLongEnd = 49;
const fence = /^[ \t]{0,3}(`{3,}|~{3,})(.*)$/;

/** A block that is open: what it holds so far, in pieces. */
interface OpenBlock {
  readonly pieces: string[];
  /** In Session-Buddy's long form a short rule is content, if a long one follows. */
  readonly long: boolean;
  readonly line: number;
  /** How many pieces stand before the first short rule; undefined before there was one. */
  fallback: number | undefined;
}

/**
 * What stands in the blocks of a text, in order, untrimmed. A block without an end, in a quotation
 * (`>`), in inline code or in fenced code is none: it is talked about, not told. A header within a
 * block begins anew: the block before was never closed. Takes time in proportion to the text.
 */
export function* insightBlocks(text: string): Generator<string> {
  const lines = text.replaceAll(/\r\n?/g, "\n").split("\n");
  const closesLater = fenceClosings(lines);
  let openFence: string | undefined;
  let block: OpenBlock | undefined;
  for (const [number, line] of lines.entries()) {
    const mark = fence.exec(line);
    if (openFence !== undefined) {
      if (mark !== null && closes(mark, openFence)) openFence = undefined;
      block?.pieces.push(line, "\n");
      continue;
    }
    if (mark?.[1] !== undefined && closesLater(number, mark[1])) openFence = mark[1];
    if (openFence !== undefined || !line.includes("─") || line.trimStart().startsWith(">")) {
      block?.pieces.push(line, "\n");
      continue;
    }
    const trimmed = line.trim();
    const lineEnd = line.trimEnd().length;
    let cursor = 0;
    for (const found of line.matchAll(frame)) {
      const start = found.index;
      const end = start + found[0].length;
      if (found[2] !== undefined) {
        if (isMentioned(found, trimmed)) continue;
        yield* cutShort(block);
        block = { pieces: [], long: isLongHeader(found), line: number, fallback: undefined };
        cursor = end;
      } else if (block !== undefined) {
        const ends =
          block.line === number || isLongEnd(found) || (end >= lineEnd && standsAlone(line, start));
        if (!ends) continue;
        block.pieces.push(line.slice(cursor, start));
        if (!block.long || isLongEnd(found)) {
          yield block.pieces.join("");
          block = undefined;
        } else {
          block.fallback ??= block.pieces.length;
          block.pieces.push(found[0]);
        }
        cursor = end;
      }
    }
    block?.pieces.push(line.slice(cursor), "\n");
  }
  yield* cutShort(block);
}

/** A long block that never met its long end is closed by the first short one. */
function* cutShort(block: OpenBlock | undefined): Generator<string> {
  if (block?.fallback !== undefined) yield block.pieces.slice(0, block.fallback).join("");
}

/** A short header in inline code, amid other words: a sentence about insights. */
function isMentioned([all, before, , dashes, after]: RegExpExecArray, trimmed: string): boolean {
  const inCode = before?.includes("`") && after?.includes("`");
  return inCode === true && (dashes?.length ?? 0) < leastLongHeader && trimmed !== all;
}

function isLongHeader([, before, , dashes]: RegExpExecArray): boolean {
  return before?.includes("`") === true && (dashes?.length ?? 0) >= leastLongHeader;
}

function isLongEnd([, before, , dashes]: RegExpExecArray): boolean {
  return before?.includes("`") === true && (dashes?.length ?? 0) >= leastLongEnd;
}

/**
 * A short rule ends a block at the end of its line after white space, or anywhere in the header's
 * own line: elsewhere dashes are a drawing or a table.
 */
function standsAlone(line: string, start: number): boolean {
  return start === 0 || /\s/.test(line.charAt(start - 1));
}

function closes([line, mark, info]: RegExpExecArray, open: string): boolean {
  return (
    line !== undefined &&
    mark !== undefined &&
    mark[0] === open[0] &&
    mark.length >= open.length &&
    info?.trim() === ""
  );
}

/**
 * Tells of a fence in a line whether another one closes it. One that is never closed is taken for
 * none: a stray mark must not swallow every insight after it.
 */
function fenceClosings(lines: readonly string[]): (line: number, mark: string) => boolean {
  // The longest closing mark of either kind after each line; read from the end, once.
  const longest: { readonly "`": Uint32Array; readonly "~": Uint32Array } = {
    "`": new Uint32Array(lines.length + 1),
    "~": new Uint32Array(lines.length + 1),
  };
  for (let number = lines.length - 1; number >= 0; number--) {
    const [, mark = "", info = ""] = fence.exec(lines[number] ?? "") ?? [];
    for (const kind of ["`", "~"] as const) {
      const own = mark[0] === kind && info.trim() === "" ? mark.length : 0;
      longest[kind][number] = Math.max(own, longest[kind][number + 1] ?? 0);
    }
  }
  return (line, mark) => (longest[mark[0] === "~" ? "~" : "`"][line + 1] ?? 0) >= mark.length;
}
