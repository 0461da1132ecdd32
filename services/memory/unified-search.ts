import { DomainError } from "../../shared/errors.ts";
import { BudgetExceededError, type Call, type PeerCall, remainingMs, within } from "./deadline.ts";
import { isMismatch } from "./document-writer.ts";
import { AllSourcesFailedError } from "./errors.ts";
import type { FeatureSwitches } from "./feature-switches.ts";
import { memoryTypes as allTypes, type MemoryType } from "./memory.ts";
import { type MergedHit, mergeHits, type Source, sources } from "./merge.ts";
import type { Bridge, Documents, Hit, QueryVector, Scope } from "./ports.ts";
import type { Vectors } from "./vectors.ts";

export interface SearchQuestion {
  readonly query: string;
  readonly scope: Scope;
  readonly limit: number;
  readonly minScore: number;
  /** Which sources to ask. Empty: all. */
  readonly sources: readonly Source[];
}

export type SourceStatus = "ok" | "degraded" | "failed" | "skipped";

/** How one source took part. */
export interface SourceReport {
  readonly source: Source;
  readonly status: SourceStatus;
  readonly latencyMs: number;
  /** Before merging. */
  readonly resultCount: number;
  /** For people: why it is not "ok"; empty where it is. */
  readonly message: string;
}

export interface SearchAnswer {
  readonly results: MergedHit[];
  /** One for every source, in the order of `sources`. */
  readonly reports: SourceReport[];
}

/** How long a search may take where the caller sets no deadline. */
export const defaultSearchMs = 2_000;
/** Of the whole time: what the query's embedding may take, and by when every source must answer. */
const embeddingShare = 0.4;
const sourceShare = 0.8;
/** Folding equal texts takes results away: sources are asked for more than the limit. */
const overFetch = 2;
const mostHits = 1_000;

const byWordsOnly = "searched by words only: the query could not be embedded";

interface SourceAnswer {
  readonly hits: readonly Hit[];
  /** Why the answer is less than it should be. */
  readonly degraded: string | undefined;
}

interface Leg {
  readonly source: Source;
  readonly hits: readonly Hit[];
  readonly report: SourceReport;
  readonly error?: unknown;
}

/** Asks all sources one question at the same time and merges what they answer. */
export class UnifiedSearch {
  readonly #documents: Documents;
  readonly #bridge: Bridge;
  readonly #vectors: Vectors;
  readonly #switches: FeatureSwitches;

  constructor(parts: {
    readonly documents: Documents;
    readonly bridge: Bridge;
    readonly vectors: Vectors;
    readonly switches: FeatureSwitches;
  }) {
    this.#documents = parts.documents;
    this.#bridge = parts.bridge;
    this.#vectors = parts.vectors;
    this.#switches = parts.switches;
  }

  /**
   * A source that is down or late is reported and left out. Throws AllSourcesFailedError where
   * every source that was asked failed, and InvalidRequestError where the filter is not valid.
   */
  async search(question: SearchQuestion, call: Call): Promise<SearchAnswer> {
    const totalMs = remainingMs(call, call.deadline === undefined ? defaultSearchMs : Infinity);
    const started = performance.now();
    const scope = this.#allowedScope(question.scope);
    const skipped = new Map(
      sources.map((source) => [source, this.#whySkipped(source, question, scope)]),
    );
    const asked = sources.filter((source) => skipped.get(source) === undefined);
    const vector =
      asked.length === 0
        ? undefined
        : await this.#vectors.embedQuery(call, question.query, totalMs * embeddingShare);
    const budgetMs = Math.max(1, totalMs * sourceShare - (performance.now() - started));
    const legs = await Promise.all(
      sources.map((source) => {
        const why = skipped.get(source);
        if (why !== undefined) return skippedLeg(source, why);
        return askedLeg(source, call, budgetMs, (peerCall) =>
          this.#ask(source, peerCall, { ...question, scope }, vector),
        );
      }),
    );
    failIfNothingCame(legs, asked);
    return {
      results: mergeHits(legs, question),
      reports: legs.map(({ report }) => report),
    };
  }

  async #ask(
    source: Source,
    call: PeerCall,
    { query, scope, limit, minScore }: SearchQuestion,
    vector: QueryVector | undefined,
  ): Promise<SourceAnswer> {
    const most = Math.min(mostHits, limit * overFetch);
    if (source === "session_buddy") {
      const { hits, stale } = await this.#bridge.search(call, {
        query,
        vector,
        memoryTypes: scope.memoryTypes,
        project: scope.repoId,
        limit: most,
        minScore,
      });
      return { hits, degraded: stale ?? (vector === undefined ? byWordsOnly : undefined) };
    }
    const search = { text: query, scope, limit: most, minScore };
    try {
      const hits = await this.#documents.search(call, { ...search, vector });
      return { hits, degraded: vector === undefined ? byWordsOnly : undefined };
    } catch (error) {
      // The collection took another model between our look and the search.
      if (!isMismatch(error) || vector === undefined) throw error;
      this.#vectors.forgetModel(call.tenant);
      const hits = await this.#documents.search(call, { ...search, vector: undefined });
      return { hits, degraded: byWordsOnly };
    }
  }

  /** The scope without the types that are switched off. */
  #allowedScope(scope: Scope): Scope {
    const off = this.#switchedOffTypes();
    if (off.length === 0) return scope;
    const wanted = scope.memoryTypes.length === 0 ? allTypes : scope.memoryTypes;
    return { ...scope, memoryTypes: wanted.filter((type) => !off.includes(type)) };
  }

  #switchedOffTypes(): MemoryType[] {
    const off: MemoryType[] = [];
    if (!this.#switches.ragSearch) off.push("rag");
    if (!this.#switches.agentMemory) off.push("agent");
    return off;
  }

  /** Why a source is not asked; undefined where it is. */
  #whySkipped(source: Source, question: SearchQuestion, allowed: Scope): string | undefined {
    if (question.sources.length > 0 && !question.sources.includes(source)) return "not asked for";
    if (allowed.memoryTypes.length === 0 && this.#switchedOffTypes().length > 0) {
      if (question.scope.memoryTypes.length > 0)
        return "the memory types asked for are switched off";
    }
    if (source === "postgresql") return undefined;
    if (!this.#switches.reflectionSearch) return "switched off by enable_reflection_search";
    const { filter, agentId, workflowId, sessionId, memoryTypes } = allowed;
    if (filter !== undefined) return "its records cannot be tested by a filter";
    if (agentId !== "") return "its records carry no agent_id";
    if (workflowId !== "") return "its records carry no workflow_id";
    if (sessionId !== "") return "its records carry no session_id";
    const holds = (type: MemoryType) => type === "insight" || type === "agent";
    if (memoryTypes.length > 0 && !memoryTypes.some(holds)) {
      return "it holds no memories of these types";
    }
    return undefined;
  }
}

function skippedLeg(source: Source, message: string): Leg {
  const report: SourceReport = { source, status: "skipped", latencyMs: 0, resultCount: 0, message };
  return { source, hits: [], report };
}

async function askedLeg(
  source: Source,
  call: Call,
  budgetMs: number,
  ask: (peerCall: PeerCall) => Promise<SourceAnswer>,
): Promise<Leg> {
  const started = performance.now();
  const report = (status: SourceStatus, resultCount: number, message: string): SourceReport => ({
    source,
    status,
    latencyMs: performance.now() - started,
    resultCount,
    message,
  });
  try {
    const { hits, degraded } = await within(call, budgetMs, ask);
    const status = degraded === undefined ? "ok" : "degraded";
    return { source, hits, report: report(status, hits.length, degraded ?? "") };
  } catch (error) {
    call.signal.throwIfAborted();
    // The caller's own mistake, such as an unknown field in the filter, is no source's failure.
    if (error instanceof DomainError && error.kind === "invalid_argument") throw error;
    return { source, hits: [], report: report("failed", 0, failureMessage(error)), error };
  }
}

function failureMessage(error: unknown): string {
  if (error instanceof BudgetExceededError) return error.message;
  if (error instanceof DomainError) {
    if (error.kind === "deadline_exceeded") return "no answer in time";
    // What a peer calls internal may tell of its inside; the reason is enough for people.
    return error.kind === "internal" ? "failed inside" : error.message;
  }
  return "failed inside";
}

function failIfNothingCame(legs: readonly Leg[], asked: readonly Source[]): void {
  const failed = legs.filter(({ report }) => report.status === "failed");
  if (asked.length === 0 || failed.length < asked.length) return;
  throw new AllSourcesFailedError(
    failed.map(({ report }) => ({ source: report.source, message: report.message })),
    failed.map(({ error }) => error),
  );
}
