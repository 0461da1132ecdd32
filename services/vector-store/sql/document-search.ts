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
import type { StoredCollection } from "./collection-row.ts";
import { type DocumentRow, documentOfRow } from "./document-row.ts";
import {
  adoptStatement,
  readDocumentOfRow,
  remembersVectors,
  type ScopeRow,
  scopePageStatement,
  scopeRowsStatement,
  snapshotStatement,
} from "./known-scope-sql.ts";
import { sizeStatement } from "./read-sql.ts";
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

interface HitRow extends DocumentRow {
  readonly score: number;
  readonly vector_score: number | null;
  readonly text_score: number | null;
  readonly bytes: number;
  /** The passage that is nearer than the document, if any; not in a search by words. */
  readonly range_start?: number | null;
  readonly range_end?: number | null;
  /** Only where a scope was remembered: documents that had changed since, and whether it did not do. */
  readonly changed?: number;
  readonly insufficient?: boolean;
}

const exactScopeByDefault = 50_000;

/** Rows of one statement that makes a restored database's rows its own. */
const adoptedAtOnce = 500;

/** Filters under which what is remembered was not enough, and how long that is remembered. */
const unfitFilters = { max: 10_000, ttl: 60_000 };

/** Searches a table of documents: plans both legs, and runs one statement. */
export class DocumentSearch implements AsyncDisposable {
  readonly #statements: Statements;
  readonly #sizes: ScopeSizes;
  readonly #exactScope: number;
  readonly #onUnindexed: NonNullable<SearchOptions["onUnindexed"]>;
  readonly #text: TextPlanner;
  readonly #known: KnownScopes;
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
    const known = query.exact
      ? undefined
      : this.#known.find(scopeKey(collection, tenant), this.#source(collection, tenant));
    const [nearest, words] = await Promise.all([
      this.#nearest(tenant, collection, query, known, signal),
      this.#words(tenant, collection, query, known, signal),
    ]);
    const statement = searchStatement(collection.table, tenant, query, nearest, words);
    const rows = await this.#statements.rows<HitRow>(statement, signal);
    if (nearest.by === "memory" || words?.way === "memory") {
      this.#learn(tenant, collection, query.filter, rows[0]);
    }
    return rows.map((row) => ({
      document: documentOfRow(row),
      score: row.score,
      vectorScore: row.vector_score ?? undefined,
      textScore: row.text_score ?? undefined,
      bytes: row.bytes,
      passage: passageOf(row),
    }));
  }

  async #words(
    tenant: string,
    { table, textLanguage }: StoredCollection,
    query: SearchQuery,
    known: KnownScope | undefined,
    signal: AbortSignal | undefined,
  ): Promise<TextLeg | undefined> {
    if (query.mode === "vector") return undefined;
    // Known statistics are those of a sample, a few seconds old; counting tells the truth.
    if (query.exact) return { way: "counted", language: textLanguage };
    const best = query.mode === "text" ? query.limit : hybridCandidates(query.limit);
    // Statistics are those of the whole scope, and a filter makes another one.
    if (known !== undefined && query.filter === undefined) {
      const lexemes = await this.#text.lexemes(textLanguage, query.text, signal);
      if (lexemes.length === 0) return { way: "counted", language: textLanguage };
      const { snapshot } = known;
      return { way: "memory", snapshot, ...known.best(lexemes, rememberedCandidates(best, false)) };
    }
    const scope = { table: table.name, tenant, filter: query.filter };
    return await this.#text.plan(scope, textLanguage, query.text, best, signal);
  }

  /** Most scopes are counted once for many searches, and many plans need no count at all. */
  async #nearest(
    tenant: string,
    collection: StoredCollection,
    query: SearchQuery,
    known: KnownScope | undefined,
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
    const scanned = (plan: NearestPlan) =>
      (plan.by === "scan" && this.#remembered(tenant, collection, query, known)) || plan;
    if (!needsScope(question)) return scanned(planNearest(question, undefined));
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
    return scanned(planNearest(question, scope));
  }

  /** Instead of a scan: what is remembered of the tenant's vectors. */
  #remembered(
    tenant: string,
    collection: StoredCollection,
    query: SearchQuery,
    known: KnownScope | undefined,
  ): NearestPlan | undefined {
    if (known === undefined || query.mode === "text") return undefined;
    const { filter } = query;
    if (!remembersVectors(collection.table)) return undefined;
    if (filter !== undefined && this.#unfitFilters.has(filterKey(collection, tenant, filter))) {
      return undefined;
    }
    const wanted = query.mode === "hybrid" ? hybridCandidates(query.limit) : query.limit;
    const most = rememberedCandidates(wanted, filter !== undefined);
    const { snapshot } = known;
    return { by: "memory", snapshot, ...known.nearest(query.vector, most) };
  }

  #learn(
    tenant: string,
    collection: StoredCollection,
    filter: Filter | undefined,
    row: HitRow | undefined,
  ): void {
    // Where nothing was found, nobody says what it took.
    if (row === undefined) return;
    const key = scopeKey(collection, tenant);
    this.#known.changed(key, this.#source(collection, tenant), row.changed ?? 0);
    if (!row.insufficient) return;
    if (filter === undefined) this.#known.insufficient(key);
    else this.#unfitFilters.set(filterKey(collection, tenant, filter), true);
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

function passageOf({ range_start: start, range_end: end }: HitRow): TextRange | undefined {
  return start == null || end == null ? undefined : { start, end };
}

const scopeKey = ({ table }: StoredCollection, tenant: string) => `${table.name} ${tenant}`;

const filterKey = (collection: StoredCollection, tenant: string, filter: Filter) =>
  `${scopeKey(collection, tenant)} ${fingerprint(filter)}`;
