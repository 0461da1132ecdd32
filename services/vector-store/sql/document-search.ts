import { requireDimension, requireModel } from "../collection.ts";
import type { Filter } from "../filter.ts";
import { fingerprint } from "../page-token.ts";
import { ScopeSizes } from "../scope-sizes.ts";
import { type Hit, hybridCandidates, type SearchQuery } from "../search.ts";
import { type NearestPlan, needsScope, planNearest } from "../search-plan.ts";
import type { StoredCollection } from "./collection-row.ts";
import { type DocumentRow, documentOfRow } from "./document-row.ts";
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
  /** Told of searches of a large collection that has no index. */
  readonly onUnindexed?: (collection: string, rows: number) => void;
}

interface HitRow extends DocumentRow {
  readonly score: number;
  readonly vector_score: number | null;
  readonly text_score: number | null;
  readonly bytes: number;
}

const exactScopeByDefault = 50_000;

/** Searches a table of documents: plans both legs, and runs one statement. */
export class DocumentSearch {
  readonly #statements: Statements;
  readonly #sizes: ScopeSizes;
  readonly #exactScope: number;
  readonly #onUnindexed: NonNullable<SearchOptions["onUnindexed"]>;
  readonly #text: TextPlanner;

  constructor(statements: Statements, options: SearchOptions) {
    this.#statements = statements;
    this.#sizes = new ScopeSizes(options.scopeLifetimeMs);
    this.#exactScope = options.exactScope ?? exactScopeByDefault;
    this.#onUnindexed = options.onUnindexed ?? (() => {});
    this.#text = new TextPlanner(
      (statement, signal) => statements.rows(statement, signal),
      options,
    );
  }

  async search(
    tenant: string,
    collection: StoredCollection,
    query: SearchQuery,
    signal: AbortSignal | undefined,
  ): Promise<Hit[]> {
    requireModel(collection, query.model);
    if (query.mode !== "text") requireDimension(collection, query.vector, "vector");
    const [nearest, words] = await Promise.all([
      this.#nearest(tenant, collection, query, signal),
      this.#words(tenant, collection, query, signal),
    ]);
    const statement = searchStatement(collection.table, tenant, query, nearest, words);
    const rows = await this.#statements.rows<HitRow>(statement, signal);
    return rows.map((row) => ({
      document: documentOfRow(row),
      score: row.score,
      vectorScore: row.vector_score ?? undefined,
      textScore: row.text_score ?? undefined,
      bytes: row.bytes,
    }));
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
    const scope = { table: table.name, tenant, filter: query.filter };
    const best = query.mode === "text" ? query.limit : hybridCandidates(query.limit);
    return await this.#text.plan(scope, textLanguage, query.text, best, signal);
  }

  /** Most scopes are counted once for many searches, and many plans need no count at all. */
  async #nearest(
    tenant: string,
    { name, index, rows, table }: StoredCollection,
    query: SearchQuery,
    signal: AbortSignal | undefined,
  ): Promise<NearestPlan> {
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
