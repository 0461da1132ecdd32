import { englishStem } from "./english-stem.ts";

/** Characters handled in one go; part of the algorithm, since a cut may fall into a long word. */
const segmentLength = 8_192;
/** A longer run of letters and digits is no word; it is cut into pieces of this length. */
const longestWord = 48;
/**
 * Different features of one kind that are told apart; later ones of a text with more are left out.
 * A book has fewer words, if not pairs of them. Larger tables would hold the event loop as they grow.
 */
const mostFeatures = 32_768;

const ascii = /^[\0-\x7f]*$/;
const asciiWords = /[A-Za-z0-9_]+/g;
/**
 * Three kinds of tokens: runs of scripts that put no spaces between words, words of all others,
 * and symbols such as emoji.
 */
const unspaced =
  "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\u30fc\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}";
const anyTokens = new RegExp(
  `(?<run>[${unspaced}]+)|(?<word>[[\\p{L}\\p{M}\\p{N}_]--[${unspaced}]]+)|(?<symbol>[\\p{S}\\p{Extended_Pictographic}])`,
  "gv",
);
const compound = /_|[\p{Ll}\p{N}]\p{Lu}|\p{Lu}\p{Lu}\p{Ll}/u;

/** What one text is made of, and how often each part occurs. */
export interface LexicalFeatures {
  /** Lower-case words by form, with the key that all forms of the word share. */
  readonly words: Map<string, { readonly stem: string; count: number }>;
  /** Neighbouring words, by their stems with a space between; stop words are skipped over. */
  readonly pairs: Map<string, number>;
  /** Names such as `getUserName` or `user_name`, run together in lower case, as stems. */
  readonly compounds: Map<string, number>;
  /** Single characters and neighbouring pairs of unspaced scripts. */
  readonly characters: Map<string, number>;
  /** Emoji and other symbols; for a text of nothing else, its punctuation. */
  readonly symbols: Map<string, number>;
}

/**
 * Reads a text's features. Yields after every piece of at most 8,192 characters, so that the
 * caller can let others run; the result does not depend on when it does.
 */
export function* readFeatures(
  text: string,
  isStopWord: (word: string) => boolean,
): Generator<void, LexicalFeatures> {
  const features: LexicalFeatures = {
    words: new Map(),
    pairs: new Map(),
    compounds: new Map(),
    characters: new Map(),
    symbols: new Map(),
  };
  const reader = new SegmentReader(features, isStopWord);
  let from = 0;
  while (from < text.length) {
    const to = segmentEnd(text, from);
    reader.read(foldAccents(text.slice(from, to)));
    from = to;
    yield;
  }
  const { words, characters, symbols } = features;
  if (words.size + characters.size + symbols.size === 0) {
    for (const character of text.slice(0, segmentLength)) {
      if (character.trim() !== "") increment(symbols, character);
    }
  }
  return features;
}

/** The end of the piece that begins at `from`: behind white space where there is some, else never within a surrogate pair. */
function segmentEnd(text: string, from: number): number {
  const limit = from + segmentLength;
  if (limit >= text.length) return text.length;
  for (let at = limit; at > limit - 512; at--) {
    const code = text.charCodeAt(at - 1);
    if (code <= 32) return at;
  }
  const code = text.charCodeAt(limit - 1);
  return code >= 0xd800 && code < 0xdc00 ? limit - 1 : limit;
}

/**
 * Compatibility forms become plain ones (full-width letters, ligatures), and Latin, Greek and
 * Cyrillic letters lose their accents: people leave them out when they search.
 */
function foldAccents(text: string): string {
  if (ascii.test(text)) return text;
  return text
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .normalize("NFC");
}

/** Lower case in which spellings of one word meet: `STRASSE` and `straße`, all forms of sigma. */
function foldCase(word: string): string {
  if (ascii.test(word)) return word.toLowerCase();
  return word.toUpperCase().toLowerCase().replaceAll("ς", "σ");
}

class SegmentReader {
  readonly #features: LexicalFeatures;
  readonly #isStopWord: (word: string) => boolean;
  #previous = "";

  constructor(features: LexicalFeatures, isStopWord: (word: string) => boolean) {
    this.#features = features;
    this.#isStopWord = isStopWord;
  }

  read(segment: string): void {
    if (ascii.test(segment)) {
      for (const word of segment.match(asciiWords) ?? []) this.#addWord(word);
      return;
    }
    for (const { groups } of segment.matchAll(anyTokens)) {
      if (groups?.["word"] !== undefined) this.#addWord(groups["word"]);
      else if (groups?.["run"] !== undefined) this.#addRun(groups["run"]);
      else if (groups?.["symbol"] !== undefined) {
        increment(this.#features.symbols, groups["symbol"]);
      }
    }
  }

  #addWord(word: string): void {
    if (word.length > longestWord) {
      for (let at = 0; at < word.length; at += longestWord) {
        this.#addPlainWord(foldCase(word.slice(at, at + longestWord)));
      }
    } else if (compound.test(word)) this.#addCompound(word);
    else this.#addPlainWord(foldCase(word));
  }

  #addCompound(word: string): void {
    const parts = word
      .replace(/([\p{Ll}\p{N}])(\p{Lu})/gu, "$1_$2")
      .replace(/(\p{Lu})(\p{Lu}\p{Ll})/gu, "$1_$2")
      .split("_")
      .filter((part) => part !== "");
    for (const part of parts) this.#addPlainWord(foldCase(part));
    if (parts.length > 1) {
      increment(this.#features.compounds, englishStem(foldCase(parts.join(""))));
    }
  }

  #addPlainWord(word: string): void {
    const known = this.#features.words.get(word);
    const stem = known?.stem ?? englishStem(word);
    if (known !== undefined) known.count++;
    else if (this.#features.words.size < mostFeatures) {
      this.#features.words.set(word, { stem, count: 1 });
    }
    if (this.#isStopWord(word)) return;
    if (this.#previous !== "") increment(this.#features.pairs, `${this.#previous} ${stem}`);
    this.#previous = stem;
  }

  #addRun(run: string): void {
    let previous = "";
    for (const character of run) {
      increment(this.#features.characters, character);
      if (previous !== "") increment(this.#features.characters, previous + character);
      previous = character;
    }
  }
}

function increment(counts: Map<string, number>, key: string): void {
  const count = counts.get(key);
  if (count !== undefined) counts.set(key, count + 1);
  else if (counts.size < mostFeatures) counts.set(key, 1);
}
