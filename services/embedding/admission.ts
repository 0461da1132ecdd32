import { OverloadedError } from "./errors.ts";

/** What may wait or be under way at once, over all calls of this process. */
export interface AdmissionLimits {
  readonly texts: number;
  readonly bytes: number;
  readonly streams: number;
}

export const defaultAdmissionLimits: AdmissionLimits = {
  texts: 20_000,
  bytes: 128 * 1024 * 1024,
  streams: 32,
};

/**
 * Turns work away at the door when too much is inside, so that memory stays bounded and what was
 * let in is done in time. Streams are let in by number: each one holds back its own caller.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  #texts = 0;
  #bytes = 0;
  #streams = 0;

  constructor(limits: AdmissionLimits = defaultAdmissionLimits) {
    this.#limits = limits;
  }

  get texts(): number {
    return this.#texts;
  }

  get streams(): number {
    return this.#streams;
  }

  /** Throws OverloadedError. Disposing leaves. */
  enter(texts: readonly string[]): Disposable {
    const bytes = texts.reduce((sum, text) => sum + text.length * 2, 0);
    const crowded = this.#texts > 0;
    if (crowded && this.#texts + texts.length > this.#limits.texts) {
      throw new OverloadedError(`${this.#texts} texts are waiting to be embedded`);
    }
    if (crowded && this.#bytes + bytes > this.#limits.bytes) {
      throw new OverloadedError(`${this.#bytes} bytes of texts are waiting to be embedded`);
    }
    this.#texts += texts.length;
    this.#bytes += bytes;
    return {
      [Symbol.dispose]: () => {
        this.#texts -= texts.length;
        this.#bytes -= bytes;
      },
    };
  }

  /** Throws OverloadedError. Disposing leaves. */
  enterStream(): Disposable {
    if (this.#streams >= this.#limits.streams) {
      throw new OverloadedError(`${this.#streams} bulk streams are open`);
    }
    this.#streams++;
    return {
      [Symbol.dispose]: () => {
        this.#streams--;
      },
    };
  }
}
