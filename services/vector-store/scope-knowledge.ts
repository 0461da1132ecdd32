import { LRUCache } from "lru-cache";
import { untilAborted } from "../../shared/abortable.ts";
import type { ScopeStatistics } from "./text-plan.ts";

/** What is known of a scope whose documents are too many to be counted by every search. */
export interface LargeScope {
  readonly statistics: ScopeStatistics;
  /** In how many documents common lexemes stand, by a sample. */
  readonly common: ReadonlyMap<string, number>;
  /** In how many the lexemes stand that searches asked for and the sample does not know. */
  readonly counted: LRUCache<string, number>;
}

/** A scope that is small enough to be counted by each search is only known to be that. */
export type ScopeKnowledge = LargeScope | "small";

/** Lexemes of a scope that are remembered beside the common ones. */
export const countedLexemes = 2_000;

const shortestLifeMs = 5_000;
const longestLifeMs = 600_000;
/** Knowing a scope takes at most one part in so many of one connection's time. */
const lifePerMeasuring = 50;
/** Lexemes of all scopes that are remembered together, each of about 100 bytes. */
const mostLexemes = 400_000;

interface Known {
  readonly knowledge: ScopeKnowledge;
  readonly renewAt: number;
}

/**
 * Remembers scopes. Who asks for one that is not known waits until it is measured, however many
 * ask; a known one whose time is over is still told, and measured anew meanwhile. What it takes
 * longer to learn is remembered longer.
 */
export class ScopeMemory {
  readonly #known = new LRUCache<string, Known>({
    maxSize: mostLexemes,
    sizeCalculation: ({ knowledge }) =>
      knowledge === "small" ? 10 : 10 + countedLexemes + knowledge.common.size,
  });
  readonly #measuring = new Map<string, Promise<ScopeKnowledge>>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** `measure` outlives the caller that it began for: others may wait for it too. */
  async get(
    scope: string,
    measure: () => Promise<ScopeKnowledge>,
    signal: AbortSignal | undefined,
  ): Promise<ScopeKnowledge> {
    const known = this.#known.get(scope);
    if (known === undefined) return await untilAborted(this.#measure(scope, measure), signal);
    if (known.renewAt <= this.#now()) {
      // A small scope may have grown: it is asked for at once. Where that fails, searches will say.
      if (known.knowledge === "small") {
        return await untilAborted(this.#measure(scope, measure), signal);
      }
      this.#measure(scope, measure).catch(() => {});
    }
    return known.knowledge;
  }

  #measure(scope: string, measure: () => Promise<ScopeKnowledge>): Promise<ScopeKnowledge> {
    const running = this.#measuring.get(scope);
    if (running !== undefined) return running;
    const began = this.#now();
    const measuring = measure()
      .then((knowledge) => {
        const life = (this.#now() - began) * lifePerMeasuring;
        const within = Math.min(longestLifeMs, Math.max(shortestLifeMs, life));
        const renewAt = this.#now() + (knowledge === "small" ? shortestLifeMs : within);
        this.#known.set(scope, { knowledge, renewAt });
        return knowledge;
      })
      .finally(() => this.#measuring.delete(scope));
    this.#measuring.set(scope, measuring);
    return measuring;
  }
}
