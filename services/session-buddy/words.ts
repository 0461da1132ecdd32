import { stem } from "porter2";

/** Longer runs of letters are encoded data, not words. */
const longestWord = 255;
const pieceLength = 32_768;
const wordPattern = /[\p{L}\p{M}\p{N}]+/gu;

/** Snowball's English stop words, as PostgreSQL's `english` configuration has them. */
const stopWords = new Set(
  `i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she
  her hers herself it its itself they them their theirs themselves what which who whom this that
  these those am is are was were be been being have has had having do does did doing a an the and
  but if or because as until while of at by for with about against between into through during
  before after above below to from up down in out on off over under again further then once here
  there when where why how all any both each few more most other some such no nor not only own same
  so than too very s t can will just don should now`.split(/\s+/),
);

/** What a word becomes, or null where it is not searched for; most words of a text come again. */
const known = new Map<string, string | null>();
const mostKnown = 200_000;

/**
 * The words of a text as the vector store's full-text search sees them: lower case, without stop
 * words, English endings stemmed (Porter 2). Words of other scripts stay whole.
 */
export function words(text: string): string[] {
  const found: string[] = [];
  for (const raw of text.normalize("NFC").toLowerCase().match(wordPattern) ?? []) {
    let word = known.get(raw);
    if (word === undefined) {
      word = raw.length > longestWord || stopWords.has(raw) ? null : stem(raw);
      if (known.size >= mostKnown) known.clear();
      known.set(raw, word);
    }
    if (word !== null) found.push(word);
  }
  return found;
}

/** A long text in pieces that end between words, so that work on it can pause. */
export function* pieces(text: string): Generator<string> {
  let from = 0;
  while (text.length - from > pieceLength) {
    const gap = text.lastIndexOf(" ", from + pieceLength);
    const to = gap > from + pieceLength / 2 ? gap : from + pieceLength;
    yield text.slice(from, to);
    from = to;
  }
  yield text.slice(from);
}
