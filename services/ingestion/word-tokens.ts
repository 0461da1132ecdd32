import { countTokens } from "gpt-tokenizer/encoding/cl100k_base";
import { AsciiVocabulary, hashOf, maxMergedLength } from "./ascii-vocabulary.ts";

/** Text that looks like a special token (`<|endoftext|>`) is text. */
const asText = { disallowedSpecial: new Set<string>() };

/** What the vocabulary calls a word: tokens never reach across two of them. */
const word =
  /'(?:[sS]|[dD]|[mM]|[tT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+$|\s*[\r\n]|\s+(?!\S)|\s/uy;

const slots = 1 << 16;
/** Words that are remembered, and their characters together, before all are forgotten. */
const maxWords = slots / 2;
const maxCharacters = maxWords * 16;
/** Longer words are rare, and not remembered. */
const maxWordLength = maxMergedLength;

const [letter, digit, space, other, foreign] = [1, 2, 3, 4, 5] as const;
/** Of every UTF-16 unit; those that are not ASCII are foreign. */
const kinds = new Uint8Array(1 << 16).fill(foreign);
for (let code = 0; code < 128; code++) {
  const character = String.fromCharCode(code);
  if (/[A-Za-z]/.test(character)) kinds[code] = letter;
  else if (/[0-9]/.test(character)) kinds[code] = digit;
  else kinds[code] = /\s/.test(character) ? space : other;
}

const [lineFeed, carriageReturn, blank, apostrophe] = [10, 13, 32, 39] as const;

/**
 * Counts the tokens of a text word by word, and remembers the words: the same as the tokenizer, in
 * a fraction of the time. Words of ASCII are found by their characters, all others by the expression.
 */
export class WordTokens {
  /** Of each slot where its word begins in `#characters`, and 0 in `#lengths` where it has none. */
  readonly #begins = new Uint32Array(slots);
  readonly #lengths = new Uint8Array(slots);
  readonly #counts = new Uint8Array(slots);
  readonly #characters = new Uint16Array(maxCharacters);
  readonly #vocabulary = new AsciiVocabulary();
  #words = 0;
  #used = 0;

  /** Takes time by the square of the longest word, as the tokenizer does. */
  count(text: string): number {
    let total = 0;
    for (let at = 0; at < text.length; ) {
      const end = wordEnd(text, at);
      total += this.#countWord(text, at, end);
      at = end;
    }
    return total;
  }

  #countWord(text: string, start: number, end: number): number {
    const length = end - start;
    if (length === 1 && text.charCodeAt(start) < 128) return 1;
    if (length > maxWordLength) return countTokens(text.slice(start, end), asText);
    const hash = hashOf(text, start, end);
    let slot = hash & (slots - 1);
    for (; this.#lengths[slot] !== 0; slot = (slot + 1) & (slots - 1)) {
      if (this.#lengths[slot] === length && this.#holds(slot, text, start, end)) {
        return this.#counts[slot] ?? 0;
      }
    }
    const count = this.#look(text, start, end);
    if (this.#words === maxWords || this.#used + length > maxCharacters) this.#forget();
    else this.#remember(slot, text, start, end, count);
    return count;
  }

  #look(text: string, start: number, end: number): number {
    for (let at = start; at < end; at++) {
      if (text.charCodeAt(at) >= 128) return countTokens(text.slice(start, end), asText);
    }
    if (this.#vocabulary.rankOf(text, start, end) >= 0) return 1;
    return this.#vocabulary.count(text, start, end);
  }

  #holds(slot: number, text: string, start: number, end: number): boolean {
    let from = this.#begins[slot] ?? 0;
    for (let at = start; at < end; at++, from++) {
      if (this.#characters[from] !== text.charCodeAt(at)) return false;
    }
    return true;
  }

  #remember(slot: number, text: string, start: number, end: number, count: number): void {
    this.#begins[slot] = this.#used;
    this.#lengths[slot] = end - start;
    this.#counts[slot] = count;
    for (let at = start; at < end; at++) this.#characters[this.#used++] = text.charCodeAt(at);
    this.#words++;
  }

  #forget(): void {
    this.#lengths.fill(0);
    this.#words = 0;
    this.#used = 0;
  }
}

/** Where the word that begins at `start` ends. */
function wordEnd(text: string, start: number): number {
  const end = asciiWordEnd(text, start);
  if (end !== undefined) return end;
  word.lastIndex = start;
  return word.test(text) ? word.lastIndex : start + 1;
}

/** Undefined where a character that is not ASCII has a say. */
function asciiWordEnd(text: string, start: number): number | undefined {
  const code = text.charCodeAt(start);
  const first = kinds[code];
  if (first === foreign) return undefined;
  if (first === letter) return runEnd(text, start + 1, letter, text.length);
  if (first === digit) return runEnd(text, start + 1, digit, Math.min(start + 3, text.length));
  if (code === apostrophe) {
    const contraction = contractionEnd(text, start + 1);
    if (contraction !== undefined) return contraction;
  }
  // There is no kind beyond the end.
  const second = kinds[text.charCodeAt(start + 1)];
  if (second === foreign) return undefined;
  if (second === letter && code !== lineFeed && code !== carriageReturn) {
    return runEnd(text, start + 2, letter, text.length);
  }
  if (first === other || (code === blank && second === other)) {
    const end = runEnd(text, start + 1, other, text.length);
    return end === undefined ? undefined : lineBreaksEnd(text, end);
  }
  return spaceEnd(text, start);
}

function runEnd(text: string, from: number, kind: number, most: number): number | undefined {
  for (let at = from; at < most; at++) {
    const next = kinds[text.charCodeAt(at)];
    if (next === kind) continue;
    return next === foreign ? undefined : at;
  }
  return most;
}

function lineBreaksEnd(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) === lineFeed || text.charCodeAt(at) === carriageReturn) at++;
  return at;
}

/** Up to the last line break; else all of it at the end of the text, and all but one before a word. */
function spaceEnd(text: string, start: number): number | undefined {
  const end = runEnd(text, start + 1, space, text.length);
  if (end === undefined || end === text.length) return end;
  for (let at = end - 1; at >= start; at--) {
    const code = text.charCodeAt(at);
    if (code === lineFeed || code === carriageReturn) return at + 1;
  }
  return Math.max(start + 1, end - 1);
}

/** Where a contraction ends whose apostrophe stands before `from`. */
function contractionEnd(text: string, from: number): number | undefined {
  const one = text.slice(from, from + 1).toLowerCase();
  if (one === "s" || one === "d" || one === "m" || one === "t") return from + 1;
  const two = text.slice(from, from + 2).toLowerCase();
  return two === "ll" || two === "ve" || two === "re" ? from + 2 : undefined;
}
