import { LRUCache } from "lru-cache";
import { requireDimension, requireModel } from "../collection.ts";
import type { Filter } from "../filter.ts";
import {
  type KnownScope,
  KnownScopes,
  type KnownScopesOptions,
  type ScopeSource,
} from "../known-scopes.ts";
import { fingerprint } from "../page-token.ts";
import type { TextRange } from "../passage.ts";
import { ScopeSizes } from "../scope-sizes.ts";
import { type Hit, hybridCandidates, type SearchQuery } from "../search.ts";
import { type NearestPlan, needsScope, planNearest, rememberedCandidates } from "../search-plan.ts";
import type { ScoringFacts } from "../text-plan.ts";
import type { StoredCollection } from "./collection-row.ts";
import { type DocumentRow, documentOfRow } from "./document-row.ts";
import { indexHelps } from "./filter-sql.ts";
import {
  adoptStatement,
  readDocumentOfRow,
  remembersVectors,
  type ScopeRow,
  scopePageStatement,
  scopeRowsStatement,
  snapshotStatement,
} from "./known-scope-sql.ts";
import type { Statement } from "./parameters.ts";
import { hasPassagesStatement } from "./passage-search-sql.ts";
import { sizeStatement } from "./read-sql.ts";
import { type Remembered, rememberedStatement } from "./remembered-search-sql.ts";
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

interface HasPassages {
  /** Whether the tenant has passages; where they were not compared. */
  readonly has_passages?: boolean;
}

interface HitRow extends DocumentRow, HasPassages {
  readonly score: number;
  readonly vector_score: number | null;
  readonly text_score: number | null;
  readonly bytes: number;
  /** The passage that is nearer than the document, if any; not in a search by words. */
  readonly range_start?: number | null;
  readonly range_end?: number | null;
}

/** Where nothing was found, there is one row without a hit. */
interface RememberedRow extends HitRow {
  /** Documents that have changed since the scope was remembered. */
  readonly changed: number;
  /** They were too many to be looked at. */
  readonly too_many: boolean;
  /** What is remembered is not enough to tell the best. */
  readonly insufficient: boolean;
}

const exactScopeByDefault = 50_000;

/** Rows of one statement that makes a restored database's rows its own. */
const adoptedAtOnce = 500;

/** Filters under which what is remembered was not enough, and how long that is remembered. */
const unfitFilters = { max: 10_000, ttl: 60_000 };

/** Scopes with passages, and how long one is asked about them without looking whether it has any. */
const scopesWithPassages = { max: 10_000, ttl: 60_000 };

/** Searches a table of documents: plans both legs, and runs one statement. */
export class DocumentSearch implements AsyncDisposable {
  readonly #statements: Statements;
  readonly #sizes: ScopeSizes;
  readonly #exactScope: number;
  readonly #onUnindexed: NonNullable<SearchOptions["onUnindexed"]>;
  readonly #text: TextPlanner;
  readonly #known: KnownScopes;
  /** Scopes that were seen to have passages. */
  readonly #withPassages = new LRUCache<string, true>(scopesWithPassages);
  readonly #unfitFilters = new LRUCache<string, true>(unfitFilters);

  constructor(statements: Statements, options: SearchOptions) {
    this.#statements = statements;
    this.#sizes = new ScopeSizes(options.scopeLifetimeMs);
    this.#exactScope = options.exactScope ?? exactScopeByDefault;
    this.#onUnindexed = options.onUnindexed ?? (() => {});
    this.#text = new TextPlanner(
      (statement, signal) => statements.rows(statement, signal),
      options,
    );
    this.#known = new KnownScopes(options.knownScopes ?? { bytes: 0 });
  }

  /** Resolves when no scope is being read. */
  async settled(): Promise<void> {
    await this.#known.settled();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#known[Symbol.asyncDispose]();
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
    const remembered =
      nearest.by === "scan" ? await this.#remembered(tenant, collection, query, signal) : undefined;
    if (remembered !== undefined) {
      const statement = rememberedStatement(table, tenant, query, remembered, withPassages);
      const rows = await this.#askMemory(tenant, collection, query, statement, signal);
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
    const readsAll = all > this.#exactScope && !indexHelps(query.filter);
    return planNearest({ ...question, readsAll }, scope);
  }

  /** What is remembered of a scope that would be scanned; undefined where that cannot answer. */
  async #remembered(
    tenant: string,
    collection: StoredCollection,
    query: SearchQuery,
    signal: AbortSignal | undefined,
  ): Promise<Remembered | undefined> {
    const { filter } = query;
    // What is known is a few moments old; comparing everything tells the truth.
    if (query.exact) return undefined;
    if (query.mode !== "text" && !remembersVectors(collection.table)) return undefined;
    const known = this.#known.find(scopeKey(collection, tenant), this.#source(collection, tenant));
    if (known === undefined) return undefined;
    if (filter !== undefined && this.#unfitFilters.has(filterKey(collection, tenant, filter))) {
      return undefined;
    }
    const filtered = filter !== undefined;
    const wanted = query.mode === "hybrid" ? hybridCandidates(query.limit) : query.limit;
    const most = rememberedCandidates(wanted, filtered);
    const facts = await this.#facts(tenant, collection, query, known, signal);
    if (facts === undefined && query.mode !== "vector") return undefined;
    // From here on without a pause: what is told is all of the same snapshot.
    const { snapshot } = known;
    const nearest = query.mode === "text" ? undefined : known.nearest(query.vector, most);
    const best = facts && known.best(facts, most);
    const ids = [...new Set([...(nearest?.ids ?? []), ...(best?.ids ?? [])])];
    const text = facts && best && { ...best, facts, scores: ids.map((id) => best.scoreOf(id)) };
    return { snapshot, ids, vector: nearest, text };
  }

  /** What scores by words follow from; undefined where nothing is searched by words. */
  async #facts(
    tenant: string,
    { table, textLanguage }: StoredCollection,
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

  /** The hits, or undefined where what is remembered is not enough. */
  async #askMemory(
    tenant: string,
    collection: StoredCollection,
    query: SearchQuery,
    statement: Statement,
    signal: AbortSignal | undefined,
  ): Promise<readonly HitRow[] | undefined> {
    const rows = await this.#statements.rows<RememberedRow>(statement, signal);
    const key = scopeKey(collection, tenant);
    this.#known.changed(key, this.#source(collection, tenant), rows[0]?.changed ?? 0);
    if (rows[0]?.insufficient === false) return rows.filter((row) => row.id !== null);
    if (rows[0]?.too_many) return undefined;
    const { filter } = query;
    if (filter === undefined) this.#known.insufficient(key);
    else this.#unfitFilters.set(filterKey(collection, tenant, filter), true);
    return undefined;
  }

  #source({ table }: StoredCollection, tenant: string): ScopeSource {
    const statements = this.#statements;
    return {
      dimension: table.dimension,
      count: async (atMost) =>
        Number(await statements.count(scopeRowsStatement(table, tenant, atMost), undefined)),
      adopt: async () => {
        const adopt = adoptStatement(table, tenant, adoptedAtOnce);
        while ((await statements.count(adopt, undefined)) > 0n);
      },
      snapshot: async () => {
        const [row] = await statements.rows<{ snapshot: string }>(snapshotStatement(), undefined);
        if (row === undefined) throw new Error("the database tells no snapshot");
        return row.snapshot;
      },
      page: async (after, since, limit) => {
        const statement = scopePageStatement(table, tenant, after, since, limit);
        return (await statements.rows<ScopeRow>(statement, undefined)).map(readDocumentOfRow);
      },
    };
  }
}

const scopeKey = ({ table }: StoredCollection, tenant: string) => `${table.name} ${tenant}`;

const filterKey = (collection: StoredCollection, tenant: string, filter: Filter) =>
  `${scopeKey(collection, tenant)} ${fingerprint(filter)}`;

function hitOfRow(row: HitRow): Hit {
  return {
    document: documentOfRow(row),
    score: row.score,
    vectorScore: row.vector_score ?? undefined,
    textScore: row.text_score ?? undefined,
    bytes: row.bytes,
    passage: passageOf(row),
  };
}

function passageOf({ range_start: start, range_end: end }: HitRow): TextRange | undefined {
  return start == null || end == null ? undefined : { start, end };
}
