/** What batches of others may be under way while queries come. */
export interface Room {
  readonly places: number;
  /** Texts of one batch. */
  readonly texts: number;
}

/** A query that takes so many times what it takes at best has been held up. */
const heldUp = 2;
const notHeldUp = 1.5;
const backOff = 0.5;
const goOn = 1.1;
/** The best time is forgotten slowly, since a provider may become slower for good. */
const forgetting = 1.005;
/** With fewer texts in all than this for a place, fewer places are better than smaller batches. */
const textsWorthAPlace = 8;

/**
 * How much others make room for queries. Nobody tells how much a provider works on at once, so it
 * is learnt: each query that was held up halves what others may have under way, and each that was
 * not, though others had something under way, lets it grow again, up to half of all places. Queries
 * that had the provider to themselves teach nothing of that.
 */
export class Courtesy {
  readonly #lastsMs: number;
  #lastQueryAt = Number.NEGATIVE_INFINITY;
  #best = Number.POSITIVE_INFINITY;
  #share = 1 / 8;

  /** `lastsMs`: how long after a query the next one is expected. */
  constructor(lastsMs: number) {
    this.#lastsMs = lastsMs;
  }

  /** True for the first one after a pause: it finds batches under way that left no room. */
  queryComes(now: number): boolean {
    const first = !this.#isExpected(now);
    this.#lastQueryAt = now;
    return first;
  }

  /** How long a query of one text has taken, its wait included; and whether others were beside it. */
  queryTook(ms: number, besideOthers: boolean): void {
    this.#best = Math.min(this.#best * forgetting, ms);
    if (ms > this.#best * heldUp) this.#share *= backOff;
    else if (besideOthers && ms < this.#best * notHeldUp) this.#share *= goOn;
    // Growing from too little would take for ever; one text at a time is the least anyway.
    this.#share = Math.min(1, Math.max(this.#share, 1 / 1_024));
  }

  roomFor(concurrency: number, texts: number, now: number): Room {
    if (!this.#isExpected(now)) return { places: concurrency, texts };
    const most = Math.max(1, Math.floor(concurrency / 2));
    const inAll = Math.max(1, this.#share * most * texts);
    const places = Math.min(most, Math.max(1, Math.floor(inAll / textsWorthAPlace)));
    return { places, texts: Math.max(1, Math.min(texts, Math.floor(inAll / places))) };
  }

  #isExpected(now: number): boolean {
    return now - this.#lastQueryAt < this.#lastsMs;
  }
}
