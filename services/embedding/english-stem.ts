const plainWord = /^[a-z]{4,}$/;
const hasVowel = /[aeiouy]/;
/** Words whose ending is none. */
const whole = new Set(
  "embed hundred sacred during nothing something anything everything morning evening".split(" "),
);
const doubledEnd = /([bdgmnprt])\1$/;

/** Endings, tried in order, and what takes their place; the rest must keep `min` letters. */
const endings: readonly (readonly [ending: string, instead: string, min: number])[] = [
  ["ingly", "", 3],
  ["edly", "", 3],
  ["ing", "", 3],
  ["ed", "", 3],
  ["ization", "ize", 3],
  ["isation", "ize", 3],
  ["ation", "ate", 3],
  ["fulness", "ful", 3],
  ["ousness", "ous", 3],
  ["iveness", "ive", 3],
  ["ibility", "ible", 3],
  ["ability", "able", 3],
  ["ment", "", 4],
  ["ness", "", 3],
  ["ly", "", 4],
  ["er", "", 4],
  ["or", "", 5],
  ["ion", "", 4],
];

/**
 * Folds the forms of an English word into one key: `embeddings`, `embedding`, `embedded` and
 * `embedder` all give `embed`. The key is for comparing only, not for reading. It takes a
 * lower-case word and leaves what is not plain a-z as it is. Folding lightly is enough, because
 * character n-grams catch what this misses.
 */
export function englishStem(word: string): string {
  if (!plainWord.test(word)) return word;
  const singular = withoutPlural(word);
  return singular.length < 5 ? foldEnd(singular) : foldEnd(withoutEnding(singular));
}

function withoutPlural(word: string): string {
  if (!word.endsWith("s")) return word;
  if (word.endsWith("ies") && word.length > 4) return `${word.slice(0, -3)}y`;
  if (/(ss|x|ch|sh|z)es$/.test(word)) return word.slice(0, -2);
  return /(ss|us|is)$/.test(word) ? word : word.slice(0, -1);
}

function withoutEnding(word: string): string {
  if (whole.has(word) || word.endsWith("eed")) return word;
  for (const [ending, instead, min] of endings) {
    if (!word.endsWith(ending)) continue;
    const rest = word.slice(0, -ending.length);
    if (rest.length < min || !hasVowel.test(rest)) continue;
    return instead === "" && doubledEnd.test(rest) ? rest.slice(0, -1) : rest + instead;
  }
  return word;
}

/** Makes `configure`, `configur(ed)` and `configurat(ion)` meet, and `query` and `queri(es)`. */
function foldEnd(word: string): string {
  let folded = word;
  if (folded.length > 3 && folded.endsWith("e")) folded = folded.slice(0, -1);
  if (folded.length > 6 && folded.endsWith("at")) folded = folded.slice(0, -2);
  if (folded.length > 3 && folded.endsWith("y")) folded = `${folded.slice(0, -1)}i`;
  return folded;
}
