/** Numbers of 0 to 1, the same for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const vocabulary = 60_000;
/**
 * How far the distribution of Zipf and Mandelbrot is moved: with 25, about what is left of English
 * once stop words are out, and the most common word stands in four of ten texts of 100 words.
 */
const offset = 25;
const topics = 400;
const topicWords = 250;
/** The share of a text's words that come from its topic. */
const topicShare = 0.35;

export interface ZipfText {
  readonly topic: number;
  readonly words: readonly string[];
}

/**
 * Texts whose words are as common and rare as those of prose, each about one of 400 topics, so that
 * words of a topic stand together more often than chance has it. Lengths are log-normal.
 */
export class ZipfTexts {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = randomOf(seed);
  }

  text(meanWords = 100): ZipfText {
    const topic = Math.floor(this.#random() * topics);
    const length = Math.max(5, Math.round(meanWords * Math.exp(0.6 * this.#normal() - 0.18)));
    return { topic, words: Array.from({ length }, () => this.#word(topic)) };
  }

  /** A question of 3 to 8 words: half of them from the topic, the others common ones. */
  query(): string {
    const topic = Math.floor(this.#random() * topics);
    const length = 3 + Math.floor(this.#random() * 6);
    const words = new Set<string>();
    while (words.size < length) {
      const own = words.size < length / 2;
      words.add(own ? this.#topicWord(topic) : wordOf(this.#rank(2_000)));
    }
    return [...words].join(" ");
  }

  #word(topic: number): string {
    return this.#random() < topicShare ? this.#topicWord(topic) : wordOf(this.#rank(vocabulary));
  }

  #topicWord(topic: number): string {
    // Words of the whole vocabulary in an order of the topic's own, the first ones most often.
    const place = Math.floor(topicWords * this.#random() ** 2);
    return wordOf((topic * 7_919 + place * 104_729) % vocabulary);
  }

  /** By inversion: the number of words up to rank r grows as ln(r + offset). */
  #rank(most: number): number {
    const low = Math.log(offset);
    const high = Math.log(most + offset);
    return Math.min(most - 1, Math.floor(Math.exp(low + this.#random() * (high - low)) - offset));
  }

  #normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.#random()));
    return radius * Math.cos(2 * Math.PI * this.#random());
  }
}

/** A word that no stemmer shortens. */
function wordOf(rank: number): string {
  return `k${rank.toString(36)}x`;
}

export function randomVector(random: () => number, dimension = 768): number[] {
  return Array.from({ length: dimension }, () => random() - 0.5);
}
