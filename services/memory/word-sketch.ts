/** Longer texts are known by their beginning, as near duplicates are. */
const mostWords = 512;
const sketchWords = 16;
const mostBits = sketchWords * 32;

/** Which words a text has, roughly and cheaply: one bit for each, by its hash. */
export interface WordSketch {
  /** Words in all, repeated ones too. */
  readonly words: number;
  readonly bits: Uint32Array;
}

/**
 * One pass over the text, without a word being made. Only letters a to z and digits count, so a
 * text in another script has an empty sketch, which rules nothing out.
 */
export function wordSketchOf(content: string): WordSketch {
  const bits = new Uint32Array(sketchWords);
  let words = 0;
  let hash = 0;
  for (let at = 0; at <= content.length; at++) {
    const code = at < content.length ? content.charCodeAt(at) : 32;
    const lower = code >= 65 && code <= 90 ? code + 32 : code;
    if ((lower >= 97 && lower <= 122) || (lower >= 48 && lower <= 57)) {
      hash = Math.imul(hash ^ lower, 0x01000193) + 0x9e37;
      continue;
    }
    if (hash === 0) continue;
    const bit = (Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 16) % mostBits;
    bits[bit >>> 5] = (bits[bit >>> 5] ?? 0) | (1 << (bit & 31));
    hash = 0;
    if (++words === mostWords) break;
  }
  return { words, bits };
}

/**
 * Whether so many words may be common to both that comparing them is worth it: of nearly equal texts
 * at most 0.15 / 0.85 of the runs of three words are missing in the other one, and no more words than
 * runs. A little more is let through, for what is cut into words in another way.
 */
export function mayBeNearlyEqual(a: WordSketch, b: WordSketch): boolean {
  const most = Math.min(a.words, b.words) * 0.2 + 2;
  return !missesMore(a, b, most) && !missesMore(b, a, most);
}

/** Whether more than so many bits of `a` are not in `b`: there are at most as many as words. */
function missesMore({ bits: a }: WordSketch, { bits: b }: WordSketch, most: number): boolean {
  let count = 0;
  for (let word = 0; word < sketchWords && count <= most; word++) {
    let left = (a[word] as number) & ~(b[word] as number);
    if (left === 0) continue;
    left -= (left >>> 1) & 0x55555555;
    left = (left & 0x33333333) + ((left >>> 2) & 0x33333333);
    count += Math.imul((left + (left >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return count > most;
}
