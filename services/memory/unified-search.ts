import { SwitchedOffError } from "../../shared/errors.ts";
import type { Logger } from "../../shared/logging.ts";
import type { ConversationStore, TurnContext } from "./conversation-store.ts";
import { type Call, type PeerCall, remainingMs, within } from "./deadline.ts";
import { isMismatch } from "./document-writer.ts";
import { type FeatureSwitches, leftOutOfSearches } from "./feature-switches.ts";
import { type HitsWanted, hitsWanted, isCutOff, mayFindTurns, mostWanted } from "./hits-wanted.ts";
import type { KnownTurns } from "./known-turns.ts";
import { memoryTypes as allTypes, type MemoryType } from "./memory.ts";
import { compareRank, type MergedHit, mergeHits, type Place } from "./merge.ts";
import { namedPeriod, type Period } from "./named-time.ts";
import type { Bridge, Documents, Hit, QueryVector, Scope } from "./ports.ts";
import { type Circumstances, type Neighbours, poolSize, scoreHits } from "./scoring.ts";
import {
  askedLeg,
  degradedLeg,
  failIfNothingCame,
  type Leg,
  notedLeg,
  type SourceAnswer,
  type SourceReport,
  skippedLeg,
} from "./source-leg.ts";
import { type Source, sources } from "./sources.ts";
import type { EmbeddedQuery, Vectors } from "./vectors.ts";

export interface SearchQuestion {
  readonly query: string;
  readonly scope: Scope;
  readonly limit: number;
  readonly minScore: number;
  /** Which sources to ask. Empty: all. */
  readonly sources: readonly Source[];
  /** Undefined: age makes no difference. */
  readonly halfLifeMs: number | undefined;
  /** How many turns before and after a turn to tell. */
  readonly contextTurns: number;
  /** Undefined: the first page. */
  readonly page: PagePosition | undefined;
}

/** Where a page begins. */
export interface PagePosition {
  /** How many results the pages before had. */
  readonly seen: number;
  /** Where their last one stood. */
  readonly after: Place;
  /** When the first page was asked for: age and named times are seen from there. */
  readonly now: number;
}

export interface SearchAnswer {
  readonly results: readonly FoundMemory[];
  /** One for every source, in the order of `sources`. */
  readonly reports: SourceReport[];
  /** Whether more results follow these. */
  readonly more: boolean;
  /** From when age and named times were seen. */
  readonly now: number;
}

export interface FoundMemory extends MergedHit {
  /** Undefined where it was not asked for, or this is no turn. */
  readonly context: TurnContext | undefined;
}

/** How long a search may take where the caller sets no deadline. */
export const defaultSearchMs = 2_000;
/** Of the whole time: what the query's embedding may take, and by when every source must answer. */
const embeddingShare = 0.4;
const sourceShare = 0.8;
/** Of the time that is left then: what reading turns around the results may take. */
const contextShare = 0.5;
const mostContextBytes = 8 * 1024 * 1024;

const byWordsOnly = (why: string) => `searched by words only: ${why}`;
const notAsked: EmbeddedQuery = { vector: undefined, why: "" };
const otherModel = "the collection took another embedding model";
const withoutNeighbours = "turns before and after could not be read";

/** What each source can hold. */
const typesOf: Readonly<Record<Source, ReadonlySet<MemoryType>>> = {
  postgresql: new Set(allTypes),
  session_buddy: new Set<MemoryType>(["insight", "agent"]),
};

/** A question as the sources are asked it. */
interface Asked {
  readonly query: string;
  readonly vector: QueryVector | undefined;
  /** Why there is no vector; undefined where there is one. */
  readonly withoutVector: string | undefined;
  readonly scope: Scope;
  readonly wanted: HitsWanted;
  readonly circumstances: Omit<Circumstances, "neighbours">;
}

/** Asks all sources one question at the same time and merges what they answer. */
export class UnifiedSearch {
  readonly #documents: Documents;
  readonly #bridge: Pick<Bridge, "search" | "canTest">;
  readonly #vectors: Vectors;
  readonly #turns: Pick<ConversationStore, "neighbours" | "contexts">;
  readonly #knownTurns: Pick<KnownTurns, "any" | "noted">;
  readonly #switches: FeatureSwitches;
  readonly #logger: Logger;

  constructor(parts: {
    readonly documents: Documents;
    readonly bridge: Pick<Bridge, "search" | "canTest">;
    readonly vectors: Vectors;
    readonly store: Pick<ConversationStore, "neighbours" | "contexts">;
    readonly knownTurns: Pick<KnownTurns, "any" | "noted">;
    readonly switches: FeatureSwitches;
    readonly logger: Logger;
  }) {
    this.#documents = parts.documents;
    this.#bridge = parts.bridge;
    this.#vectors = parts.vectors;
    this.#turns = parts.store;
    this.#knownTurns = parts.knownTurns;
    this.#switches = parts.switches;
    this.#logger = parts.logger;
  }

  /**
   * A source that is down or late is reported and left out. Throws AllSourcesFailedError where
   * every source that was asked failed, InvalidRequestError where the filter is not valid, and
   * SwitchedOffError where every type that was asked for is switched off. `given` is what `embed`
   * resolved to; else the query is embedded.
   */
  async search(question: SearchQuestion, call: Call, given?: EmbeddedQuery): Promise<SearchAnswer> {
    const totalMs = totalMsOf(call);
    const started = performance.now();
    const leftMs = (share: number) => Math.max(1, totalMs * share - (performance.now() - started));
    const { limit, page, minScore } = question;
    const now = page?.now ?? Date.now();
    const scope = this.#allowedScope(question.scope);
    const skipped = new Map(
      sources.map((source) => [source, this.#whySkipped(source, question, scope)]),
    );
    const isAsked = sources.some((source) => skipped.get(source) === undefined);
    const asksStore = skipped.get("postgresql") === undefined;
    const [embedded, turns] = await Promise.all([
      given ?? (isAsked ? this.embed(question.query, call) : notAsked),
      asksStore && mayFindTurns(scope) && this.#mayHaveTurns(call, totalMs * embeddingShare),
    ]);
    const pool = poolSize(limit);
    const period = namedPeriod(question.query, now);
    const asked: Asked = {
      query: question.query,
      vector: embedded.vector,
      withoutVector: embedded.vector === undefined ? byWordsOnly(embedded.why) : undefined,
      scope,
      wanted: hitsWanted(question, { turns, period }),
      circumstances: {
        pool,
        period,
        halfLifeMs: question.halfLifeMs,
        now,
      },
    };
    const ask = (source: Source, question: Asked) =>
      askedLeg(source, call, leftMs(sourceShare), (one) => this.#ask(source, one, question));
    const first = await Promise.all(
      sources.map((source) => {
        const why = skipped.get(source);
        return why === undefined ? ask(source, asked) : skippedLeg(source, why);
      }),
    );
    const isBehind = (hit: Place) => page === undefined || compareRank(hit, page.after) > 0;
    const most = { ...asked, wanted: mostWanted };
    // What was written since the page before may hold the places of what follows it.
    const again = (leg: Leg) =>
      page !== undefined &&
      isCutOff(leg.hits, asked.wanted[leg.source], minScore) &&
      leg.hits.filter(isBehind).length <= limit
        ? ask(leg.source, most)
        : leg;
    const legs = await Promise.all(first.map(again));
    failIfNothingCame(legs);
    const rest = mergeHits(legs, { minScore }).filter(isBehind);
    const told = await this.#withContexts(rest.slice(0, limit), question, call, () =>
      leftMs(sourceShare + (1 - sourceShare) * contextShare),
    );
    const reported = legs.map((leg) => this.#withSwitches(leg, question.scope));
    return {
      results: told.results,
      reports: reported.map((leg) => (told.failed ? reportFor(leg) : leg.report)),
      more: rest.length > limit,
      now,
    };
  }

  /** The query's vector, for several searches by one. */
  embed(query: string, call: Call): Promise<EmbeddedQuery> {
    return this.#vectors.embedQuery(call, query, totalMsOf(call) * embeddingShare);
  }

  /** Whether turns may be found, which are chosen from more than others; so where it is not known. */
  async #mayHaveTurns(call: Call, budgetMs: number): Promise<boolean> {
    try {
      return await within(call, budgetMs, (peerCall) => this.#knownTurns.any(peerCall));
    } catch (error) {
      call.signal.throwIfAborted();
      this.#logger.warn({ err: error }, "whether there are turns could not be read");
      return true;
    }
  }

  #ask(source: Source, call: PeerCall, asked: Asked): Promise<SourceAnswer> {
    return source === "postgresql" ? this.#askStore(call, asked) : this.#askBridge(call, asked);
  }

  async #askBridge(call: PeerCall, asked: Asked): Promise<SourceAnswer> {
    const { query, vector, withoutVector, scope, wanted, circumstances } = asked;
    const { hits, stale } = await this.#bridge.search(call, {
      query,
      vector,
      memoryTypes: scope.memoryTypes,
      project: scope.repoId,
      filter: scope.filter,
      limit: wanted.session_buddy,
      // Turns gain by their neighbours and lose by age: what counts is the score in the end.
      minScore: 0,
    });
    return {
      hits: scoreHits("session_buddy", hits, { ...circumstances, neighbours: new Map() }),
      degraded: stale ?? withoutVector,
    };
  }

  async #askStore(call: PeerCall, asked: Asked): Promise<SourceAnswer> {
    const { period } = asked.circumstances;
    // What is of the named time may not be among the best of all times.
    const scopes = [asked.scope, ...(period === undefined ? [] : [inPeriod(asked.scope, period)])];
    const found = await Promise.all(scopes.map((scope) => this.#find(call, asked, scope)));
    const hits = union(found.map((one) => one.hits));
    if (mayFindTurns(asked.scope) && hits.some(isTurn)) {
      this.#knownTurns.noted(call.tenant);
      // The first one came a moment ago, to another process.
      const { wanted } = asked;
      if (wanted.postgresql < wanted.amongTurns) {
        const more = { ...wanted, postgresql: wanted.amongTurns };
        return this.#askStore(call, { ...asked, wanted: more });
      }
    }
    const turns = hits.slice(0, asked.circumstances.pool).filter(isTurn);
    let neighbours: ReadonlyMap<string, Neighbours> = new Map();
    let degraded = found.find(({ byWords }) => byWords !== undefined)?.byWords;
    if (turns.length > 0) {
      try {
        const ids = turns.map(({ id }) => id);
        neighbours = await this.#turns.neighbours(call.tenant, ids, call.signal);
      } catch (error) {
        call.signal.throwIfAborted();
        this.#logger.warn({ err: error }, "neighbours of turns could not be read");
        degraded = degraded === undefined ? withoutNeighbours : `${degraded}; ${withoutNeighbours}`;
      }
    }
    return {
      hits: scoreHits("postgresql", hits, { ...asked.circumstances, neighbours }),
      degraded,
    };
  }

  async #find(
    call: PeerCall,
    { query, vector, withoutVector, wanted }: Asked,
    scope: Scope,
  ): Promise<{ readonly hits: readonly Hit[]; readonly byWords: string | undefined }> {
    const search = { text: query, scope, limit: wanted.postgresql, minScore: 0 };
    try {
      const hits = await this.#documents.search(call, { ...search, vector });
      return { hits, byWords: withoutVector };
    } catch (error) {
      // The collection took another model between our look and the search.
      if (!isMismatch(error) || vector === undefined) throw error;
      this.#vectors.forgetModel(call.tenant);
      const hits = await this.#documents.search(call, { ...search, vector: undefined });
      return { hits, byWords: byWordsOnly(otherModel) };
    }
  }

  /** The results with the turns around them; without, where those cannot be read in time. */
  async #withContexts(
    hits: readonly MergedHit[],
    { contextTurns }: SearchQuestion,
    call: Call,
    budgetMs: () => number,
  ): Promise<{ readonly results: readonly FoundMemory[]; readonly failed: boolean }> {
    const ids = hits.flatMap((hit) =>
      isTurn(hit) && hit.memoryId !== undefined ? [hit.memoryId] : [],
    );
    const plain = () => hits.map((hit) => ({ ...hit, context: undefined }));
    if (contextTurns === 0 || ids.length === 0) return { results: plain(), failed: false };
    try {
      const contexts = await within(call, budgetMs(), ({ tenant, signal }) =>
        this.#turns.contexts(tenant, ids, contextTurns, mostContextBytes, signal),
      );
      const results = hits.map((hit) => ({ ...hit, context: contexts.get(hit.memoryId ?? "") }));
      return { results, failed: false };
    } catch (error) {
      call.signal.throwIfAborted();
      this.#logger.warn({ err: error }, "turns around results could not be read");
      return { results: plain(), failed: true };
    }
  }

  /** The scope without the types that are switched off. Throws where no other was asked for. */
  #allowedScope(scope: Scope): Scope {
    const off = leftOutOfSearches(this.#switches);
    if (off.size === 0) return scope;
    const wanted = scope.memoryTypes.length === 0 ? allTypes : scope.memoryTypes;
    const left = wanted.filter((type) => !off.has(type));
    const [first] = wanted;
    if (left.length > 0 || first === undefined) return { ...scope, memoryTypes: left };
    throw new SwitchedOffError(off.get(first) ?? "");
  }

  /** The leg with the types that a switch leaves out of it; less than it should be where asked for. */
  #withSwitches(leg: Leg, { memoryTypes }: Scope): Leg {
    const { source, report } = leg;
    if (report.status !== "ok" && report.status !== "degraded") return leg;
    const all = memoryTypes.length === 0;
    const off = [...leftOutOfSearches(this.#switches)].filter(
      ([type]) => typesOf[source].has(type) && (all || memoryTypes.includes(type)),
    );
    if (off.length === 0) return leg;
    const told = off.map(([type, name]) => `${type} by ${name}`).join(" and ");
    const why = `memories of some types are switched off: ${told}`;
    return all ? notedLeg(leg, why) : degradedLeg(leg, why);
  }

  /** Why a source is not asked; undefined where it is. */
  #whySkipped(source: Source, question: SearchQuestion, allowed: Scope): string | undefined {
    if (question.sources.length > 0 && !question.sources.includes(source)) return "not asked for";
    if (source === "postgresql") return undefined;
    if (!this.#switches.reflectionSearch) return "switched off by enable_reflection_search";
    const { filter, agentId, workflowId, sessionId, memoryTypes } = allowed;
    if (agentId !== "") return "its records carry no agent_id";
    if (workflowId !== "") return "its records carry no workflow_id";
    if (sessionId !== "") return "its records carry no session_id";
    if (memoryTypes.length > 0 && !memoryTypes.some((type) => typesOf[source].has(type))) {
      return "it holds no memories of these types";
    }
    if (filter !== undefined && !this.#bridge.canTest(filter)) {
      return "whether its records have a vector cannot be tested";
    }
    return undefined;
  }
}

function totalMsOf(call: Call): number {
  return remainingMs(call, call.deadline === undefined ? defaultSearchMs : Infinity);
}

/** A turn's memory says which turn it was stored with. */
function isTurn({ memoryType, metadata }: Hit): boolean {
  return memoryType === "agent" && typeof metadata["turn_id"] === "string";
}

function inPeriod(scope: Scope, period: Period): Scope {
  return { ...scope, period };
}

/** The hits of several searches, best first, each once; what the first one says of it counts. */
function union(found: readonly (readonly Hit[])[]): readonly Hit[] {
  if (found.length === 1) return found[0] ?? [];
  const byId = new Map<string, Hit>();
  for (const hit of found.flat()) if (!byId.has(hit.id)) byId.set(hit.id, hit);
  const byRank = (a: Hit, b: Hit) => b.score - a.score || (a.id < b.id ? -1 : 1);
  return [...byId.values()].sort(byRank);
}

function reportFor(leg: Leg): SourceReport {
  const answered = leg.report.status === "ok" || leg.report.status === "degraded";
  const concerned = leg.source === "postgresql" && answered;
  return concerned ? degradedLeg(leg, withoutNeighbours).report : leg.report;
}
