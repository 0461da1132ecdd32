import { LRUCache } from "lru-cache";
import { QuantizedVectors } from "./quantized-vectors.ts";

/** A document whose vector was read; `undefined`: it has none any more. */
export interface ReadVector {
  readonly id: string;
  readonly vector: ArrayLike<number> | undefined;
}

/** Where the vectors of one scope are. */
export interface VectorSource {
  readonly dimension: number;
  /** How many documents there are, counted no further than `atMost`. */
  count(atMost: number): Promise<number>;
  /** What the database shows now, for `page` and for searches. */
  snapshot(): Promise<string>;
  /**
   * Documents by id, those above `after`, none at the end. With `since` only those whose vector that
   * snapshot did not show.
   */
  page(after: string, since: string | undefined, limit: number): Promise<readonly ReadVector[]>;
}

/** What the memory tells of a search. Whatever changed since `snapshot` may be nearer. */
export interface KnownNearest {
  readonly ids: readonly string[];
  readonly beyond: number;
  readonly snapshot: string;
}

export interface KnownVectorsOptions {
  /** Memory for all scopes together, in bytes; 0 for none. */
  readonly bytes: number;
  /** Smaller scopes are read quicker than remembered. Default 2,000. */
  readonly fewest?: number;
  /** Searches of a scope before it is read; default 3. */
  readonly searches?: number;
  /** Told of a scope that could not be read. */
  readonly onFailure?: (error: unknown) => void;
}

const fewestByDefault = 2_000;
const searchesByDefault = 3;

/** Rows of one statement: a few milliseconds, and a few megabytes. */
const pageRows = 1_000;
/** So many changes make the memory catch up. */
const changesWorthReading = 64;
/** How long a scope is not looked at again that is too small or too large, or could not be read. */
const unfitMs = 60_000;
/** Reading a scope anew takes at most one part in so many of the time. */
const lifePerReading = 20;
/** Scopes of which it is known how often they were searched, or that they are unfit. */
const mostScopes = 10_000;

interface Scope {
  vectors: QuantizedVectors;
  snapshot: string;
  /** What it was read in, and when. */
  readonly tookMs: number;
  readonly readAt: number;
}

/**
 * Vectors of the scopes that are searched often, so that a search reads those of its hits and not
 * all. What is remembered may be old: each search names the snapshot that it was true of, and the
 * database adds what has changed since. A scope that is not remembered is searched as ever, and
 * read meanwhile.
 */
export class KnownVectors implements AsyncDisposable {
  readonly #options: Required<Omit<KnownVectorsOptions, "onFailure">>;
  readonly #onFailure: (error: unknown) => void;
  readonly #scopes: LRUCache<string, Scope>;
  readonly #searches = new LRUCache<string, number>({ max: mostScopes, ttl: unfitMs });
  readonly #unfit = new LRUCache<string, true>({ max: mostScopes, ttl: unfitMs });
  readonly #busy = new Set<string>();
  #work: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: KnownVectorsOptions) {
    const { bytes, fewest = fewestByDefault, searches = searchesByDefault } = options;
    this.#options = { bytes, fewest, searches };
    this.#onFailure = options.onFailure ?? (() => {});
    this.#scopes = new LRUCache({
      maxSize: Math.max(1, bytes),
      sizeCalculation: ({ vectors }) => vectors.bytes,
    });
  }

  /** The nearest `most` of the scope and a few more, or undefined where it is not remembered. */
  nearest(
    key: string,
    source: VectorSource,
    vector: ArrayLike<number>,
    most: number,
  ): KnownNearest | undefined {
    if (this.#options.bytes === 0 || this.#closed) return undefined;
    const scope = this.#scopes.get(key);
    if (scope !== undefined) {
      return { ...scope.vectors.nearest(vector, most), snapshot: scope.snapshot };
    }
    if (this.#unfit.has(key)) return undefined;
    const searches = (this.#searches.get(key) ?? 0) + 1;
    this.#searches.set(key, searches);
    if (searches >= this.#options.searches) this.#do(key, () => this.#read(key, source));
    return undefined;
  }

  /** So many documents have changed since the snapshot that a search named. */
  changed(key: string, source: VectorSource, documents: number): void {
    if (documents >= changesWorthReading) this.#do(key, () => this.#catchUp(key, source));
  }

  /** What is remembered was not enough for a search: most likely documents were deleted. */
  insufficient(key: string): void {
    const scope = this.#scopes.peek(key);
    if (scope === undefined) return;
    const age = performance.now() - scope.readAt;
    if (age > lifePerReading * scope.tookMs) this.#scopes.delete(key);
  }

  /** Resolves when nothing is being read. */
  async settled(): Promise<void> {
    await this.#work;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#work;
    this.#scopes.clear();
  }

  /** One after the other: nobody waits for it. */
  #do(key: string, work: () => Promise<void>): void {
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    this.#work = this.#work.then(async () => {
      try {
        if (!this.#closed) await work();
      } catch (error) {
        this.#scopes.delete(key);
        this.#unfit.set(key, true);
        this.#onFailure(error);
      } finally {
        this.#busy.delete(key);
      }
    });
  }

  async #read(key: string, source: VectorSource): Promise<void> {
    const { bytes, fewest } = this.#options;
    const { dimension } = source;
    const most = Math.floor(bytes / QuantizedVectors.bytesOf(1, dimension));
    const count = await source.count(most + 1);
    if (count < fewest || count > most) {
      this.#unfit.set(key, true);
      return;
    }
    const readAt = performance.now();
    const vectors = new QuantizedVectors(dimension);
    const snapshot = await source.snapshot();
    await this.#pages(vectors, source, undefined);
    const tookMs = performance.now() - readAt;
    this.#scopes.set(key, { vectors, snapshot, tookMs, readAt });
  }

  async #catchUp(key: string, source: VectorSource): Promise<void> {
    const scope = this.#scopes.peek(key);
    if (scope === undefined) return;
    const snapshot = await source.snapshot();
    // What is newer than the snapshot that a search names does no harm: the database tells it too.
    await this.#pages(scope.vectors, source, scope.snapshot);
    // It may have grown out of the memory there is, or left it meanwhile.
    if (this.#scopes.peek(key) === scope) this.#scopes.set(key, { ...scope, snapshot });
  }

  async #pages(
    vectors: QuantizedVectors,
    source: VectorSource,
    since: string | undefined,
  ): Promise<void> {
    let after = "";
    while (!this.#closed) {
      const page = await source.page(after, since, pageRows);
      for (const { id, vector } of page) {
        if (vector === undefined) vectors.delete(id);
        else vectors.set(id, vector);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < pageRows) return;
      after = last.id;
    }
  }
}
