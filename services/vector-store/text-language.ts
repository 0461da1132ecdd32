import { UnknownLanguageError } from "./errors.ts";

/** What can be asked and told about the language of the default collection's texts. */
export interface LanguageStore {
  language(signal: AbortSignal): Promise<string>;
  languages(signal: AbortSignal): Promise<readonly string[]>;
  /** Makes all words anew; takes as long as there are texts. */
  change(language: string, signal: AbortSignal): Promise<void>;
}

/** The words of texts are being made anew. */
export class LanguageChangeError extends Error {
  override readonly name = "LanguageChangeError";

  constructor(from: string, to: string) {
    super(`texts are being indexed anew: from ${from} to ${to}`);
  }
}

/**
 * Sees to it that texts are indexed in the language that is set, before anybody searches them in
 * another one. A change takes long, so it goes on beside the looks at whether it is over.
 */
export class TextLanguage {
  readonly #store: LanguageStore;
  readonly #wanted: string;
  readonly #stop: AbortSignal;
  #change: Promise<void> | undefined;
  #failure: unknown;

  /** `stop` ends a change that is going on; nothing of it stays. */
  constructor(store: LanguageStore, wanted: string, stop: AbortSignal) {
    this.#store = store;
    this.#wanted = wanted;
    this.#stop = stop;
  }

  /** Throws while texts are in another language; begins the change. */
  async check(signal: AbortSignal): Promise<void> {
    const current = await this.#store.language(signal);
    if (current === this.#wanted) return;
    const known = await this.#store.languages(signal);
    if (!known.includes(this.#wanted)) throw new UnknownLanguageError(this.#wanted, known);
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
    this.#change ??= this.#store
      .change(this.#wanted, this.#stop)
      .catch((error) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#change = undefined;
      });
    throw new LanguageChangeError(current, this.#wanted);
  }

  /** Resolves when no change is going on. */
  async settled(): Promise<void> {
    await this.#change;
  }
}
