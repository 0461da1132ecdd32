/**
 * How much two texts have in common: of the runs of three words that either has, this share must be
 * in both. One word changed in a text of 40 leaves 0.86.
 */
export const nearDuplicateShare = 0.85;
/** Longer texts are compared by their beginning. */
const mostWords = 512;
const runLength = 3;
/** Shorter texts must be equal: one other word makes them say something else. */
const fewestWords = 8;

const tokens = /[\p{L}\p{M}\p{N}_]+(?:['’]t\b)?|[<>=+*/%&|^~]+/gu;
/** What turns the meaning round though it is a single word. */
const turning =
  /^(?:.*\p{N}.*|no|not|never|none|without|neither|nor|cannot|.*['’]t|[^\p{L}\p{N}_]+)$/u;

/** What of a text is compared. */
export interface Fingerprint {
  readonly words: number;
  readonly runs: ReadonlySet<string>;
  /** Its numbers, negations and operators, in order. */
  readonly turns: string;
}

export function fingerprintOf(content: string): Fingerprint {
  const words: string[] = [];
  const turns: string[] = [];
  for (const [word] of content.normalize("NFC").toLowerCase().matchAll(tokens)) {
    words.push(word);
    if (turning.test(word)) turns.push(word);
    if (words.length === mostWords) break;
  }
  const runs = new Set<string>();
  for (let at = 0; at + runLength <= words.length; at++) {
    runs.add(words.slice(at, at + runLength).join(" "));
  }
  return { words: words.length, runs, turns: turns.join(" ") };
}

/**
 * Whether two texts say the same in nearly the same words. Never where their numbers, negations or
 * operators differ: `deploy 41 passed` is not `deploy 42 passed`.
 */
export function nearlyEqual(a: Fingerprint, b: Fingerprint): boolean {
  if (Math.min(a.words, b.words) < fewestWords || a.turns !== b.turns) return false;
  const [small, large] = a.runs.size <= b.runs.size ? [a.runs, b.runs] : [b.runs, a.runs];
  // The sizes alone may rule it out.
  if (small.size < large.size * nearDuplicateShare) return false;
  let common = 0;
  for (const run of small) if (large.has(run)) common++;
  return common >= (small.size + large.size - common) * nearDuplicateShare;
}
