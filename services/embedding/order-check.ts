/** A harmless text. Asked alone it shows that a model embeds; in a batch, where it stands. */
export const probeText = "The quick brown fox jumps over the lazy dog.";

/** A text's vector in a batch and alone differ by the rounding of the model's arithmetic only. */
const sameTextSimilarity = 0.98;
/** Batches checked without exception at first, and after each trouble. */
const checkedAtFirst = 8;

export interface OrderCheckOptions {
  /** One batch in so many is checked, which ones is left to chance: 1 all, 0 none. */
  readonly every: number;
  /** Told once, when texts were mixed up. */
  readonly onMixedUp: () => void;
  /** Told when the model gives the probe another vector than before. */
  readonly onOtherVectors: () => void;
}

/** The vector of the probe when it is embedded alone; undefined where it has none. */
export type EmbedProbe = () => Promise<Float32Array | undefined>;

/**
 * Whether vectors stand where their texts stood. No count and no dimension tells, so a text whose
 * vector is known is sent along, and its vector is looked for in its place. A provider that mixes up
 * every batch, or begins to after a restart, is found out before a vector is taken; one that does
 * so only now and then, in its second such batch on average with `every` at 2. It then is not
 * trusted any more.
 */
export class OrderCheck {
  readonly #options: OrderCheckOptions;
  #known: Float32Array | undefined;
  #certain = checkedAtFirst;
  #mixesUp = false;

  constructor(options: OrderCheckOptions) {
    this.#options = options;
  }

  /** True once texts were mixed up: each text then is sent alone. */
  get mixesUp(): boolean {
    return this.#mixesUp;
  }

  /** The provider may be another one than before, after a restart. */
  doubt(): void {
    this.#certain = checkedAtFirst;
  }

  /** The probe has been embedded alone. */
  learn(vector: Float32Array): void {
    if (this.#known !== undefined && !isSame(vector, this.#known)) this.#options.onOtherVectors();
    this.#known = vector;
  }

  /** Where the probe goes in a batch of so many texts; undefined where it is not checked. */
  async placeIn(texts: number, embedProbe: EmbedProbe): Promise<number | undefined> {
    if (texts < 2 || !this.#isDue()) return undefined;
    this.#known ??= await embedProbe();
    return this.#known === undefined ? undefined : Math.floor(Math.random() * (texts + 1));
  }

  /** `found`: what stood in the place of the probe; a vector that is none says nothing. */
  async isKept(found: Float32Array | undefined, embedProbe: EmbedProbe): Promise<boolean> {
    if (found === undefined || isSame(found, this.#known)) return true;
    const now = await embedProbe();
    if (now === undefined) return false;
    this.learn(now);
    if (isSame(found, now)) return true;
    if (!this.#mixesUp) this.#options.onMixedUp();
    this.#mixesUp = true;
    return false;
  }

  #isDue(): boolean {
    const { every } = this.#options;
    if (every === 0 || this.#mixesUp) return false;
    if (this.#certain === 0) return Math.random() * every < 1;
    this.#certain--;
    return true;
  }
}

/** Of vectors of length 1. */
function isSame(a: Float32Array, b: Float32Array | undefined): boolean {
  if (b === undefined || a.length !== b.length) return false;
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0) >= sameTextSimilarity;
}
