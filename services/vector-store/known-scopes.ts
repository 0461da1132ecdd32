import { setImmediate } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import { KnownVectors } from "./known-vectors.ts";
import { type KnownScope, type ReadDocument, RememberedScope } from "./remembered-scope.ts";
import { mostRows } from "./word-index.ts";

/** Where the documents of one scope are. */
export interface ScopeSource {
  readonly dimension: number;
  /** How many documents there are, counted no further than `atMost`. */
  count(atMost: number): Promise<number>;
  /** Sees to it that no document seems to be of a time to come, as in a database that was restored. */
  adopt(): Promise<void>;
  /** What the database shows now, for `page` and for searches. */
  snapshot(): Promise<string>;
  /** By id, those above `after`. With `since` only those that this snapshot did not show. */
  page(after: string, since: string | undefined, limit: number): Promise<readonly ReadDocument[]>;
  /** Where these documents are by now; of each that is still there. */
  places(ids: readonly string[]): Promise<ReadonlyMap<string, number>>;
}

export interface KnownScopesOptions {
  /** Memory for all scopes together, in bytes; 0 for none. */
  readonly bytes: number;
  /** Smaller scopes are read quicker than remembered. Default 2,000. */
  readonly fewest?: number;
  /** Searches of a scope within a minute before it is read; default 3. */
  readonly searches?: number;
  /** Reading takes at most one part in so many of the time; default 20. */
  readonly pausePerReading?: number;
  /** Told of a scope that could not be read. */
  readonly onFailure?: (error: unknown) => void;
}

const fewestByDefault = 2_000;
const searchesByDefault = 3;
const pausePerReadingByDefault = 20;

/** Documents of one statement: it takes the event loop ten milliseconds to take them in. */
const pageRows = 250;
/** So many documents tell how large the others are. */
const enoughToTell = 5_000;
/** How long a scope is not looked at again that is too small, or could not be read. */
const unfitMs = 60_000;
/** And one that there is no room for. */
const tooLargeMs = 600_000;
/** A scope is read anew after this time: deletions are not noticed otherwise. */
const longestLifeMs = 600_000;
/** Or where more rows than this are of no document, for each that is. */
const mostWaste = 0.25;
/** Scopes of which it is known how often they were searched, or that they are unfit. */
const mostScopes = 10_000;

/**
 * Vectors and words of the scopes that are searched often, so that a search reads its candidates
 * and not all documents. What is remembered may be old: each search names the snapshot that it was
 * true of, and the database adds what has changed since. A scope that is not remembered is searched
 * as ever, and read meanwhile.
 */
export class KnownScopes implements AsyncDisposable {
  readonly #options: Required<Omit<KnownScopesOptions, "onFailure">>;
  readonly #onFailure: (error: unknown) => void;
  readonly #scopes: LRUCache<string, RememberedScope>;
  readonly #searches = new LRUCache<string, number>({ max: mostScopes, ttl: unfitMs });
  readonly #unfit = new LRUCache<string, true>({ max: mostScopes, ttl: unfitMs });
  readonly #busy = new Set<string>();
  #work: Promise<void> = Promise.resolve();
  #refining: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: KnownScopesOptions) {
    const { bytes, fewest = fewestByDefault, searches = searchesByDefault } = options;
    const { pausePerReading = pausePerReadingByDefault } = options;
    this.#options = { bytes, fewest, searches, pausePerReading };
    this.#onFailure = options.onFailure ?? (() => {});
    this.#scopes = new LRUCache({
      maxSize: Math.max(1, bytes),
      sizeCalculation: ({ bytes }) => bytes,
    });
  }

  /** A search begins: what is remembered of its scope. */
  find(key: string, source: ScopeSource): KnownScope | undefined {
    if (this.#options.bytes === 0 || this.#closed) return undefined;
    const scope = this.#scopes.get(key);
    if (scope !== undefined) {
      const old = performance.now() - scope.readAt > longestLifeMs;
      if (old || scope.waste > mostWaste) this.#do(key, () => this.#read(key, source));
      return scope;
    }
    if (this.#unfit.has(key)) return undefined;
    const searches = (this.#searches.get(key) ?? 0) + 1;
    this.#searches.set(key, searches);
    if (searches >= this.#options.searches) this.#do(key, () => this.#read(key, source));
    return undefined;
  }

  /** Documents have changed since the snapshot that a search named. */
  changed(key: string, source: ScopeSource): void {
    if (this.#hasRested(key)) this.#do(key, () => this.#catchUp(key, source));
  }

  /** Documents that a search named were not where they had been, or are not shown any more. */
  missed(key: string, source: ScopeSource, ids: readonly string[]): void {
    this.#do(key, async () => {
      const places = await source.places(ids);
      const scope = this.#scopes.peek(key);
      for (const [id, place] of places) scope?.move(id, place);
      // One that is there again by now has changed since the snapshot.
      scope?.delete(ids.filter((id) => !places.has(id)));
    });
  }

  /** What is remembered was not enough for a search: most likely documents were deleted. */
  insufficient(key: string): void {
    if (this.#hasRested(key)) this.#scopes.delete(key);
  }

  /** Resolves when nothing is being read or refined. */
  async settled(): Promise<void> {
    await this.#work;
    await this.#refining;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.settled();
    this.#scopes.clear();
  }

  #hasRested(key: string): boolean {
    const scope = this.#scopes.peek(key);
    if (scope === undefined) return false;
    return performance.now() - scope.restedAt > this.#options.pausePerReading * scope.tookMs;
  }

  /** One after the other: nobody waits for it. */
  #do(key: string, work: () => Promise<void>): void {
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    this.#work = this.#work.then(async () => {
      try {
        if (!this.#closed) await work();
      } catch (error) {
        const tooLarge = error instanceof ScopeTooLargeError;
        this.#scopes.delete(key);
        this.#unfit.set(key, true, { ttl: tooLarge ? tooLargeMs : unfitMs });
        if (!tooLarge) this.#onFailure(error);
      } finally {
        this.#busy.delete(key);
      }
    });
  }

  async #read(key: string, source: ScopeSource): Promise<void> {
    const { bytes, fewest } = this.#options;
    const { dimension } = source;
    const most = Math.min(
      Math.floor(bytes / KnownVectors.bytesOf(1, dimension)),
      Math.floor(mostRows / (1 + 2 * mostWaste)),
    );
    const count = await source.count(most + 1);
    if (count < fewest || count > most) {
      this.#scopes.delete(key);
      this.#unfit.set(key, true);
      return;
    }
    await source.adopt();
    const readAt = performance.now();
    const scope = new RememberedScope(dimension, await source.snapshot(), readAt);
    await this.#pages(scope, source, undefined, count);
    scope.restedAt = performance.now();
    scope.tookMs = scope.restedAt - readAt;
    this.#scopes.set(key, scope);
    if (!this.#scopes.has(key)) throw new ScopeTooLargeError();
    this.#refine(key, scope);
  }

  async #catchUp(key: string, source: ScopeSource): Promise<void> {
    const scope = this.#scopes.peek(key);
    if (scope === undefined) return;
    const began = performance.now();
    const snapshot = await source.snapshot();
    // What is newer than the snapshot that a search names does no harm: the database tells it too.
    await this.#pages(scope, source, scope.snapshot, scope.size);
    scope.snapshot = snapshot;
    scope.restedAt = performance.now();
    scope.tookMs = scope.restedAt - began;
    // It may have left the memory meanwhile, and may have grown out of what there is.
    if (this.#scopes.peek(key) !== scope) return;
    this.#scopes.delete(key);
    this.#scopes.set(key, scope);
    this.#refine(key, scope);
  }

  /** Beside what is read: one scope after the other, as long as it is remembered. */
  #refine(key: string, scope: RememberedScope): void {
    this.#refining = this.#refining.then(async () => {
      try {
        for (const _ of scope.refine()) {
          await setImmediate();
          if (this.#closed || this.#scopes.peek(key) !== scope) return;
        }
      } catch (error) {
        this.#onFailure(error);
      }
    });
  }

  /** Ends as soon as so many documents as there are will not fit, as far as those tell that came. */
  async #pages(
    scope: RememberedScope,
    source: ScopeSource,
    since: string | undefined,
    documents: number,
  ): Promise<void> {
    let after = "";
    while (!this.#closed) {
      const page = await source.page(after, since, pageRows);
      for (const document of page) scope.set(document);
      const last = page.at(-1);
      if (last === undefined || page.length < pageRows) return;
      const share = Math.min(1, scope.size / documents);
      const expected = scope.bytes / share;
      if (scope.size >= enoughToTell && expected > this.#options.bytes) {
        throw new ScopeTooLargeError();
      }
      after = last.id;
    }
  }
}

/** Not a failure: there are more words than it seemed. */
class ScopeTooLargeError extends Error {
  override readonly name = "ScopeTooLargeError";
}
