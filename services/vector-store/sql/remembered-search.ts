import { LRUCache } from "lru-cache";
import type { Candidates } from "../candidates.ts";
import type { Filter } from "../filter.ts";
import { KnownScopes, type KnownScopesOptions, type ScopeSource } from "../known-scopes.ts";
import { fingerprint } from "../page-token.ts";
import { ranking } from "../ranking.ts";
import type { KnownScope } from "../remembered-scope.ts";
import { hybridCandidates, type SearchQuery } from "../search.ts";
import { rememberedCandidates } from "../search-plan.ts";
import type { ScoringFacts } from "../text-plan.ts";
import type { StoredCollection } from "./collection-row.ts";
import type { HitRow } from "./hit-row.ts";
import { remembersVectors } from "./known-scope-sql.ts";
import { rememberedStatement } from "./remembered-search-sql.ts";
import { scopeSource } from "./scope-source.ts";
import type { Statements } from "./statements.ts";
import type { TextPlanner } from "./text-planner.ts";
import { type UnchangedVerdict, unchangedStatement } from "./unchanged-search-sql.ts";

/** Where nothing was found, there is one row without a hit. */
interface RememberedRow extends HitRow {
  /** Documents that have changed since the scope was remembered. */
  readonly changed: number;
  /** They were too many to be looked at. */
  readonly too_many: boolean;
  /** What is remembered is not enough to tell the best. */
  readonly insufficient: boolean;
}

type UnchangedRow = Omit<HitRow, "score" | "vector_score" | "text_score"> &
  UnchangedVerdict & { readonly n: number | null };

/** Filters under which what is remembered was not enough, and how long that is remembered. */
const unfitFilters = { max: 10_000, ttl: 60_000 };

/** Which documents of which tenant and collection are searched. */
interface Place {
  readonly key: string;
  readonly tenant: string;
  readonly collection: StoredCollection;
  readonly source: ScopeSource;
}

/** Answers searches of scopes that are remembered; the database has the last word. */
export class RememberedSearch implements AsyncDisposable {
  readonly #statements: Statements;
  readonly #text: TextPlanner;
  readonly #known: KnownScopes;
  readonly #unfitFilters = new LRUCache<string, true>(unfitFilters);

  constructor(statements: Statements, text: TextPlanner, options: KnownScopesOptions) {
    this.#statements = statements;
    this.#text = text;
    this.#known = new KnownScopes(options);
  }

  /** Resolves when no scope is being read. */
  async settled(): Promise<void> {
    await this.#known.settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#known[Symbol.asyncDispose]();
  }

  /** The hits of a scope that would be scanned; undefined where what is remembered cannot tell. */
  async search(
    tenant: string,
    collection: StoredCollection,
    query: SearchQuery,
    withPassages: boolean,
    signal: AbortSignal | undefined,
  ): Promise<readonly HitRow[] | undefined> {
    // What is known is a few moments old; comparing everything tells the truth.
    if (query.exact) return undefined;
    const { table } = collection;
    if (query.mode !== "text" && !remembersVectors(table)) return undefined;
    const key = `${table.name} ${tenant}`;
    const place = { key, tenant, collection, source: scopeSource(this.#statements, table, tenant) };
    const known = this.#known.find(key, place.source);
    if (known === undefined) return undefined;
    const { filter } = query;
    if (filter !== undefined && this.#unfitFilters.has(filterKey(place, filter))) return undefined;
    const facts = await this.#facts(place, query, known, signal);
    if (facts === undefined && query.mode !== "vector") return undefined;
    const wanted = query.mode === "hybrid" ? hybridCandidates(query.limit) : query.limit;
    const vector = query.mode === "text" ? undefined : query.vector;
    const filtered = filter !== undefined;
    if (!filtered && !withPassages) {
      const candidates = await known.candidates({ vector, facts, most: wanted });
      const told = await this.#unchanged(place, query, candidates, signal);
      if (told !== "changed") return told;
    }
    const most = rememberedCandidates(wanted, filtered);
    const candidates = await known.candidates({ vector, facts, most });
    return await this.#anew(place, query, candidates, withPassages, signal);
  }

  /** What scores by words follow from; undefined where nothing is searched by words. */
  async #facts(
    { tenant, collection: { table, textLanguage } }: Place,
    query: SearchQuery,
    known: KnownScope,
    signal: AbortSignal | undefined,
  ): Promise<ScoringFacts | undefined> {
    if (query.mode === "vector") return undefined;
    const lexemes = await this.#text.lexemes(textLanguage, query.text, signal);
    if (lexemes.length === 0) return undefined;
    // A filter makes another scope, with statistics of its own.
    if (query.filter === undefined) return known.facts(lexemes);
    const scope = { table: table.name, tenant, filter: query.filter };
    return await this.#text.facts(scope, textLanguage, lexemes, signal);
  }

  /** The hits as the memory has them; undefined where what has changed is too much to look at. */
  async #unchanged(
    { key, tenant, collection: { table }, source }: Place,
    query: SearchQuery,
    candidates: Candidates,
    signal: AbortSignal | undefined,
  ): Promise<readonly HitRow[] | "changed" | undefined> {
    const ranked = ranking(query, candidates);
    const { hits, others } = ranked;
    const statement = unchangedStatement(table, tenant, query, candidates.snapshot, ranked);
    const rows = await this.#statements.rows<UnchangedRow>(statement, signal);
    const [verdict] = rows;
    if (verdict === undefined)
      throw new Error("the database does not tell whether anything changed");
    const { changed, too_many: tooMany, found, others_there: othersThere } = verdict;
    if (changed > 0 || tooMany) {
      this.#known.changed(key, source);
      return tooMany ? undefined : "changed";
    }
    if ((found ?? 0) < hits.length || !othersThere) {
      this.#known.missed(
        key,
        source,
        [...hits, ...others].map(({ id }) => id),
      );
      return "changed";
    }
    return rows.flatMap((row): HitRow[] => {
      const hit = row.n === null ? undefined : hits[row.n - 1];
      if (hit === undefined) return [];
      const { score, vectorScore, textScore } = hit;
      const parts = { vector_score: vectorScore ?? null, text_score: textScore ?? null };
      return [{ ...row, score, ...parts }];
    });
  }

  /** The hits among the candidates that are still there and what has changed, if they are enough. */
  async #anew(
    place: Place,
    query: SearchQuery,
    candidates: Candidates,
    withPassages: boolean,
    signal: AbortSignal | undefined,
  ): Promise<readonly HitRow[] | undefined> {
    const { key, tenant, collection, source } = place;
    const { table } = collection;
    const statement = rememberedStatement(table, tenant, query, candidates, withPassages);
    const rows = await this.#statements.rows<RememberedRow>(statement, signal);
    const [verdict] = rows;
    if (verdict !== undefined && verdict.changed > 0) this.#known.changed(key, source);
    if (verdict?.insufficient === false) return rows.filter((row) => row.id !== null);
    if (verdict?.too_many) return undefined;
    const { filter } = query;
    if (filter === undefined) this.#known.insufficient(key);
    else this.#unfitFilters.set(filterKey(place, filter), true);
    return undefined;
  }
}

const filterKey = ({ key }: Place, filter: Filter) => `${key} ${fingerprint(filter)}`;
