import type { Collection } from "./collection.ts";

/**
 * Remembers collections for a short while, so that a search need not ask for its collection's
 * model and dimension each time. One that no model has claimed yet is not remembered: the next
 * write may change it.
 */
export class CollectionCache<C extends Collection = Collection> {
  readonly #read: (name: string, signal: AbortSignal | undefined) => Promise<C>;
  readonly #lifetimeMs: number;
  readonly #known = new Map<string, { readonly collection: C; readonly until: number }>();

  constructor(
    read: (name: string, signal: AbortSignal | undefined) => Promise<C>,
    lifetimeMs: number,
  ) {
    this.#read = read;
    this.#lifetimeMs = lifetimeMs;
  }

  async get(name: string, signal: AbortSignal | undefined): Promise<C> {
    const known = this.#known.get(name);
    if (known !== undefined && known.until > performance.now()) return known.collection;
    this.#known.delete(name);
    const collection = await this.#read(name, signal);
    if (collection.embeddingModel !== undefined) {
      this.#known.set(name, { collection, until: performance.now() + this.#lifetimeMs });
    }
    return collection;
  }

  /** What was remembered turned out to be wrong, or has just been changed. */
  forget(name: string): void {
    this.#known.delete(name);
  }
}
