import { LRUCache } from "lru-cache";
import { requireDimension, requireModel } from "../collection.ts";
import type { Filter } from "../filter.ts";
import type { KnownScopesOptions } from "../known-scopes.ts";
import { fingerprint } from "../page-token.ts";
import { ScopeSizes } from "../scope-sizes.ts";
import { type Hit, hybridCandidates, type SearchQuery } from "../search.ts";
import { type NearestPlan, needsScope, planNearest } from "../search-plan.ts";
import type { StoredCollection } from "./collection-row.ts";
import { type HasPassages, type HitRow, hitOfRow } from "./hit-row.ts";
import { hasPassagesStatement } from "./passage-search-sql.ts";
import { sizeStatement } from "./read-sql.ts";
import { RememberedSearch } from "./remembered-search.ts";
import { searchStatement } from "./search-sql.ts";
import type { Statements } from "./statements.ts";
import { TextPlanner, type TextPlannerOptions } from "./text-planner.ts";
import type { TextLeg } from "./text-search-sql.ts";

export interface SearchOptions extends TextPlannerOptions {
  /** Scopes up to this many documents are searched exactly; default 50,000. */
  readonly exactScope?: number;
  /** How long the size of a scope is remembered, in milliseconds; default 5,000. */
  readonly scopeLifetimeMs?: number;
  /** What is remembered between searches; default nothing. */
  readonly knownScopes?: KnownScopesOptions;
  /** Told of searches of a large collection that has no index. */
  readonly onUnindexed?: (collection: string, rows: number) => void;
}

const exactScopeByDefault = 50_000;

/** Scopes with passages, and how long one is asked about them without looking whether it has any. */
const scopesWithPassages = { max: 10_000, ttl: 60_000 };

/** Searches a table of documents: plans both legs, and runs one statement. */
export class DocumentSearch implements AsyncDisposable {
  readonly #statements: Statements;
  readonly #sizes: ScopeSizes;
  readonly #exactScope: number;
  readonly #onUnindexed: NonNullable<SearchOptions["onUnindexed"]>;
  readonly #text: TextPlanner;
  readonly #remembered: RememberedSearch;
  /** Scopes that were seen to have passages. */
  readonly #withPassages = new LRUCache<string, true>(scopesWithPassages);

  constructor(statements: Statements, options: SearchOptions) {
    this.#statements = statements;
    this.#sizes = new ScopeSizes(options.scopeLifetimeMs);
    this.#exactScope = options.exactScope ?? exactScopeByDefault;
    this.#onUnindexed = options.onUnindexed ?? (() => {});
    this.#text = new TextPlanner(
      (statement, signal) => statements.rows(statement, signal),
      options,
    );
    this.#remembered = new RememberedSearch(
      statements,
      this.#text,
      options.knownScopes ?? { bytes: 0 },
    );
  }

  /** Resolves when no scope is being read. */
  async settled(): Promise<void> {
    await this.#remembered.settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remembered[Symbol.asyncDispose]();
  }

  async search(
    tenant: string,
    collection: StoredCollection,
    query: SearchQuery,
    signal: AbortSignal | undefined,
  ): Promise<Hit[]> {
    requireModel(collection, query.model);
    if (query.mode !== "text") requireDimension(collection, query.vector, "vector");
    const key = scopeKey(collection, tenant);
    const withPassages = query.mode !== "text" && this.#withPassages.has(key);
    const rows = await this.#rows(tenant, collection, query, withPassages, signal);
    if (query.mode === "text" || withPassages) return rows.map(hitOfRow);
    const { table } = collection;
    const [told] =
      rows.length > 0
        ? rows
        : await this.#statements.rows<HasPassages>(hasPassagesStatement(table, tenant), signal);
    if (told?.has_passages !== true) return rows.map(hitOfRow);
    this.#withPassages.set(key, true);
    return (await this.#rows(tenant, collection, query, true, signal)).map(hitOfRow);
  }

  /** Without passages each row tells whether there are any: who has none pays nothing else. */
  async #rows(
    tenant: string,
    collection: StoredCollection,
    query: SearchQuery,
    withPassages: boolean,
    signal: AbortSignal | undefined,
  ): Promise<readonly HitRow[]> {
    const { table } = collection;
    const nearest = await this.#nearest(tenant, collection, query, signal);
    if (nearest.by === "scan") {
      const remembered = this.#remembered;
      const rows = await remembered.search(tenant, collection, query, withPassages, signal);
      if (rows !== undefined) return rows;
    }
    const words = await this.#words(tenant, collection, query, signal);
    const statement = searchStatement(table, tenant, query, nearest, words, withPassages);
    return await this.#statements.rows<HitRow>(statement, signal);
  }

  async #words(
    tenant: string,
    { table, textLanguage }: StoredCollection,
    query: SearchQuery,
    signal: AbortSignal | undefined,
  ): Promise<TextLeg | undefined> {
    if (query.mode === "vector") return undefined;
    // Known statistics are those of a sample, a few seconds old; counting tells the truth.
    if (query.exact) return { way: "counted", language: textLanguage };
    const best = query.mode === "text" ? query.limit : hybridCandidates(query.limit);
    const scope = { table: table.name, tenant, filter: query.filter };
    return await this.#text.plan(scope, textLanguage, query.text, best, signal);
  }

  /** Most scopes are counted once for many searches, and many plans need no count at all. */
  async #nearest(
    tenant: string,
    collection: StoredCollection,
    query: SearchQuery,
    signal: AbortSignal | undefined,
  ): Promise<NearestPlan> {
    const { name, index, rows, table } = collection;
    if (query.mode === "text") return { by: "scan" };
    const question = {
      index,
      rows,
      exact: query.exact ?? false,
      wanted: query.mode === "hybrid" ? hybridCandidates(query.limit) : query.limit,
      threshold: this.#exactScope,
    };
    if (index === undefined && rows > this.#exactScope && !question.exact) {
      this.#onUnindexed(name, rows);
    }
    if (!needsScope(question)) return planNearest(question, undefined);
    const sizeOf = (filter: Filter | undefined) => {
      const atMost = this.#exactScope + 1;
      const scope = filter === undefined ? "" : ` ${fingerprint(filter)}`;
      const key = `${table.name} ${tenant}${scope}`;
      const statement = sizeStatement(table, tenant, filter, atMost);
      const count = async () => Number(await this.#statements.count(statement, undefined));
      return this.#sizes.get({ key, count }, signal);
    };
    const all = await sizeOf(undefined);
    // A filter only makes the scope smaller.
    const scope =
      query.filter === undefined || all <= this.#exactScope ? all : await sizeOf(query.filter);
    return planNearest(question, scope);
  }
}

const scopeKey = ({ table }: StoredCollection, tenant: string) => `${table.name} ${tenant}`;
