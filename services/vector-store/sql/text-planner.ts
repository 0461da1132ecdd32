import { LRUCache } from "lru-cache";
import type { Filter } from "../filter.ts";
import { fingerprint } from "../page-token.ts";
import {
  countedLexemes,
  type LargeScope,
  type ScopeKnowledge,
  ScopeMemory,
} from "../scope-knowledge.ts";
import {
  expectedShare,
  requirementFor,
  type ScoringFacts,
  scoreOfShare,
  weighted,
} from "../text-plan.ts";
import type { Statement } from "./parameters.ts";
import {
  frequenciesStatement,
  lexemesStatement,
  probeStatement,
  type SampleRow,
  type Scope,
  sampleStatement,
  scopeCountStatement,
  scopeSizeStatement,
  type TextLeg,
} from "./text-search-sql.ts";

export interface TextPlannerOptions {
  /** Scopes of more documents than this are known by statistics. Default 4,000. */
  readonly countedUpTo?: number;
  /** A search that is expected to score more documents looks for a bound first. Default 1,000. */
  readonly scoredUpTo?: number;
}

/** Runs one statement and gives its rows. */
export type RunStatement = <Row>(
  statement: Statement,
  signal: AbortSignal | undefined,
) => Promise<readonly Row[]>;

const countedUpToByDefault = 4_000;
/** About so many documents make the sample; a lexeme of fewer of them is counted, not estimated. */
const sampleSize = 4_000;
const fewestInSample = 10;
const mostCommon = 5_000;
/** No lexeme that the sample does not know is counted further. */
const mostCounted = 10_000;

const scoredUpToByDefault = 1_000;
/** Documents that one probe scores at most, and how often a search probes. */
const probed = 1_000;
const probes = 3;

/** Decides how a search by words is done: what it knows of the scope, and what it need not read. */
export class TextPlanner {
  readonly #run: RunStatement;
  readonly #countedUpTo: number;
  readonly #scoredUpTo: number;
  readonly #scopes = new ScopeMemory();

  constructor(run: RunStatement, options: TextPlannerOptions = {}) {
    this.#run = run;
    this.#countedUpTo = options.countedUpTo ?? countedUpToByDefault;
    this.#scoredUpTo = options.scoredUpTo ?? scoredUpToByDefault;
  }

  /** The words of a query, as they stand in texts. */
  async lexemes(
    language: string,
    query: string,
    signal: AbortSignal | undefined,
  ): Promise<string[]> {
    const found = await this.#run<{ lexeme: string }>(lexemesStatement(language, query), signal);
    return found.map((one) => one.lexeme);
  }

  /** How to find the best `limit` documents of the scope for the query. */
  async plan(
    scope: Scope,
    language: string,
    query: string,
    limit: number,
    signal: AbortSignal | undefined,
  ): Promise<TextLeg> {
    const knowledge = await this.#knowledge(scope, language, signal);
    if (knowledge === "small") return { way: "counted", language };
    const names = await this.lexemes(language, query, signal);
    // The counting statement knows what a query without words is, and counts nothing for it.
    if (names.length === 0) return { way: "counted", language };
    const facts = await this.#factsOf(scope, knowledge, names, signal);
    const bound = await this.#bound(scope, facts, limit, signal);
    return { way: "planned", ...facts, requirement: requirementFor(facts.lexemes, bound) };
  }

  /** What scores in the scope follow from; undefined where each search counts that itself. */
  async facts(
    scope: Scope,
    language: string,
    lexemes: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<ScoringFacts | undefined> {
    const knowledge = await this.#knowledge(scope, language, signal);
    if (knowledge === "small") return undefined;
    return await this.#factsOf(scope, knowledge, lexemes, signal);
  }

  #knowledge(
    scope: Scope,
    language: string,
    signal: AbortSignal | undefined,
  ): Promise<ScopeKnowledge> {
    const key = `${scope.table} ${language} ${scope.tenant} ${fingerprintOf(scope.filter)}`;
    return this.#scopes.get(key, () => this.#measure(scope), signal);
  }

  async #factsOf(
    scope: Scope,
    knowledge: LargeScope,
    lexemes: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<ScoringFacts> {
    const frequencies = await this.#frequencies(scope, knowledge, lexemes, signal);
    const { statistics } = knowledge;
    return { lexemes: weighted(statistics.documents, frequencies), statistics };
  }

  /**
   * A score that at least `limit` documents reach, so that none below it is among the best: as
   * good a one as a few probes find, 0 where all documents with a word are few enough.
   *
   * A probe takes the requirement of a score so high that not many more than are needed are
   * expected to fulfil it, and scores those. Words come together more often than by chance, so
   * there are mostly more; where there are too few, the next probe asks for less.
   */
  async #bound(
    scope: Scope,
    facts: ScoringFacts,
    limit: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const { lexemes, statistics } = facts;
    if (expectedShare(lexemes, 0) * statistics.documents <= this.#scoredUpTo) return 0;
    let expected = Math.max(2 * limit, 50);
    for (let probe = 0; probe < probes; probe++) {
      const asked = scoreOfShare(lexemes, expected / statistics.documents);
      const requirement = requirementFor(lexemes, asked);
      const most = Math.max(probed, 2 * limit);
      const [best] = await this.#run<{ score: number }>(
        probeStatement(scope, facts, requirement, limit, most),
        signal,
      );
      if (best !== undefined) return best.score;
      expected *= 8;
    }
    return 0;
  }

  async #frequencies(
    scope: Scope,
    { common, counted }: LargeScope,
    lexemes: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Map<string, number>> {
    const known = new Map<string, number>();
    const unknown: string[] = [];
    for (const lexeme of lexemes) {
      const frequency = common.get(lexeme) ?? counted.get(lexeme);
      if (frequency === undefined) unknown.push(lexeme);
      else known.set(lexeme, frequency);
    }
    if (unknown.length === 0) return known;
    const rows = await this.#run<{ lexeme: string; documents: number }>(
      frequenciesStatement(scope, unknown, mostCounted),
      signal,
    );
    for (const { lexeme, documents } of rows) {
      counted.set(lexeme, documents);
      known.set(lexeme, documents);
    }
    return known;
  }

  /** Belongs to no single search, and so has no signal; each statement has its time limit. */
  async #measure(scope: Scope): Promise<ScopeKnowledge> {
    const [size] = await this.#run<{ documents: number }>(
      scopeSizeStatement(scope, this.#countedUpTo + 1),
      undefined,
    );
    if ((size?.documents ?? 0) <= this.#countedUpTo) return "small";
    const [counted] = await this.#run<{ documents: number }>(scopeCountStatement(scope), undefined);
    const every = Math.max(1, Math.floor((counted?.documents ?? 0) / sampleSize));
    const fewest = every === 1 ? 1 : fewestInSample;
    const [sample] = await this.#run<SampleRow>(
      sampleStatement(scope, every, fewest, mostCommon),
      undefined,
    );
    if (counted === undefined || sample === undefined || !sample.mean_length) return "small";
    const factor = counted.documents / sample.looked_at;
    return {
      statistics: { documents: sample.sampled * factor, meanLength: sample.mean_length },
      common: new Map(sample.lexemes.map((one, i) => [one, (sample.frequencies[i] ?? 0) * factor])),
      counted: new LRUCache<string, number>({ max: countedLexemes }),
    };
  }
}

function fingerprintOf(filter: Filter | undefined): string {
  return filter === undefined ? "" : fingerprint(filter);
}
