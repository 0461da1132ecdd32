/** Words of Latin script, numbers, and every other visible character by itself. */
const pieces = /[A-Za-z]+|\p{N}+|[\p{L}\p{M}]|[^\s\p{L}\p{M}\p{N}]/gu;
const lettersPerToken = 6;
const digitsPerToken = 3;

/**
 * The beginning of a text that is likely to fit into so many tokens: the text itself where all of
 * it does. Each model counts in its own way, so this is an estimate for the usual vocabularies:
 * a short English word is one token, a long one several, any other letter or sign one each.
 */
export function fitTokens(text: string, tokens: number): string {
  // No character is more than one token, by the rules above.
  if (text.length <= tokens) return text;
  let used = 0;
  for (const match of text.matchAll(pieces)) {
    used += tokensOf(match[0]);
    if (used > tokens) return text.slice(0, match.index).trimEnd();
  }
  return text;
}

function tokensOf(piece: string): number {
  const first = piece.charCodeAt(0);
  if (first >= 0x30 && first <= 0x39) return Math.ceil(piece.length / digitsPerToken);
  return piece.length === 1 || first > 0x7f ? 1 : Math.ceil(piece.length / lettersPerToken);
}

/** A shorter beginning of the text, never ending within a surrogate pair. */
export function shorten(text: string, share: number): string {
  const end = Math.floor(text.length * share);
  const code = text.charCodeAt(end - 1);
  return text.slice(0, code >= 0xd800 && code < 0xdc00 ? end - 1 : end);
}
