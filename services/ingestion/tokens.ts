import { WordTokens } from "./word-tokens.ts";

/**
 * The tokenizer takes time by the square of an unbroken run (`aaaa...` of 64 Ki takes seconds), so
 * a longer text is counted in windows of this many characters, cut at white space where there is.
 */
const windowCharacters = 2_048;

const words = new WordTokens();

/**
 * Tokens of a text in the cl100k_base vocabulary. Exact up to 2,048 characters; beyond, at most
 * one too many per window. Counting stops once `limit` is passed; what is returned then is above
 * `limit` and says no more.
 */
export function countTokens(text: string, limit = Number.POSITIVE_INFINITY): number {
  if (text.length <= windowCharacters) return words.count(text);
  let total = 0;
  for (let at = 0; at < text.length && total <= limit; ) {
    const end = windowEnd(text, at);
    total += words.count(text.slice(at, end));
    at = end;
  }
  return total;
}

function windowEnd(text: string, start: number): number {
  return softEnd(text, start, windowCharacters);
}

/**
 * Where to cut a text that starts at `start` so that at most `characters` are before the cut: before
 * the last line break in reach, else the last space, else anywhere but within a surrogate pair.
 */
export function softEnd(text: string, start: number, characters: number): number {
  const hard = start + characters;
  if (hard >= text.length) return text.length;
  for (const separator of ["\n", " "]) {
    const at = text.lastIndexOf(separator, hard);
    if (at > start) return at;
  }
  return isLowSurrogate(text.charCodeAt(hard)) ? hard - 1 : hard;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
