import { LRUCache } from "lru-cache";
import { decodeVector } from "../../../shared/postgres/vector-codec.ts";
import { requireDimension, requireModel } from "../collection.ts";
import type { Filter } from "../filter.ts";
import { KnownVectors, type KnownVectorsOptions, type VectorSource } from "../known-vectors.ts";
import { fingerprint } from "../page-token.ts";
import { ScopeSizes } from "../scope-sizes.ts";
import { type Hit, hybridCandidates, type SearchQuery } from "../search.ts";
import { type NearestPlan, needsScope, planNearest, rememberedCandidates } from "../search-plan.ts";
import type { StoredCollection } from "./collection-row.ts";
import { type DocumentRow, documentOfRow } from "./document-row.ts";
import type { DocumentTable } from "./document-table.ts";
import {
  snapshotStatement,
  vectorCountStatement,
  vectorPageStatement,
} from "./known-vectors-sql.ts";
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
  /** Vectors that are remembered between searches; default none. */
  readonly knownVectors?: KnownVectorsOptions;
  /** Told of searches of a large collection that has no index. */
  readonly onUnindexed?: (collection: string, rows: number) => void;
}

interface HitRow extends DocumentRow {
  readonly score: number;
  readonly vector_score: number | null;
  readonly text_score: number | null;
  readonly bytes: number;
  /** Only where vectors were remembered: documents that had changed since, and the scan after all. */
  readonly changed?: number;
  readonly insufficient?: boolean;
}

const exactScopeByDefault = 50_000;

/** Filters under which what is remembered was not enough, and how long that is remembered. */
const unfitFilters = { max: 10_000, ttl: 60_000 };

/** Searches a table of documents: plans both legs, and runs one statement. */
export class DocumentSearch implements AsyncDisposable {
  readonly #statements: Statements;
  readonly #sizes: ScopeSizes;
  readonly #exactScope: number;
  readonly #onUnindexed: NonNullable<SearchOptions["onUnindexed"]>;
  readonly #text: TextPlanner;
  readonly #known: KnownVectors;
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
    this.#known = new KnownVectors(options.knownVectors ?? { bytes: 0 });
  }

  /** Resolves when no vectors are being read. */
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
    const [nearest, words] = await Promise.all([
      this.#nearest(tenant, collection, query, signal),
      this.#words(tenant, collection, query, signal),
    ]);
    const statement = searchStatement(collection.table, tenant, query, nearest, words);
    const rows = await this.#statements.rows<HitRow>(statement, signal);
    if (nearest.by === "memory") this.#learn(tenant, collection, query.filter, rows[0]);
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
    const scanned = (plan: NearestPlan) =>
      plan.by === "scan" && !question.exact
        ? (this.#remembered(tenant, collection, query, question.wanted) ?? plan)
        : plan;
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
    { table }: StoredCollection,
    query: SearchQuery,
    wanted: number,
  ): NearestPlan | undefined {
    if (query.mode === "text" || !remembers(table)) return undefined;
    const { filter } = query;
    const key = scopeKey(table, tenant);
    if (filter !== undefined && this.#unfitFilters.has(filterKey(key, filter))) return undefined;
    const source = this.#source(table, tenant);
    const most = rememberedCandidates(wanted, filter !== undefined);
    const found = this.#known.nearest(key, source, query.vector, most);
    return found === undefined ? undefined : { by: "memory", ...found };
  }

  #learn(
    tenant: string,
    { table }: StoredCollection,
    filter: Filter | undefined,
    row: HitRow | undefined,
  ): void {
    const key = scopeKey(table, tenant);
    this.#known.changed(key, this.#source(table, tenant), row?.changed ?? 0);
    // Without a row nothing is known but that hardly anything is left.
    if (row !== undefined && !row.insufficient) return;
    if (filter === undefined) this.#known.insufficient(key);
    else this.#unfitFilters.set(filterKey(key, filter), true);
  }

  #source(table: DocumentTable, tenant: string): VectorSource {
    const statements = this.#statements;
    return {
      dimension: table.dimension,
      count: async (atMost) =>
        Number(await statements.count(vectorCountStatement(table, tenant, atMost), undefined)),
      snapshot: async () => {
        const [row] = await statements.rows<{ snapshot: string }>(snapshotStatement(), undefined);
        if (row === undefined) throw new Error("the database tells no snapshot");
        return row.snapshot;
      },
      page: async (after, since, limit) => {
        const statement = vectorPageStatement(table, tenant, after, since, limit);
        const rows = await statements.rows<VectorRow>(statement, undefined);
        return rows.map(({ id, embedding }) => ({
          id,
          vector: embedding === null ? undefined : decodeVector(embedding),
        }));
      },
    };
  }
}

interface VectorRow {
  readonly id: string;
  readonly embedding: Buffer | null;
}

/** Cosine similarity is all that the memory knows, and vectors as they are sent. */
function remembers({ distance, vectorType }: DocumentTable): boolean {
  return distance === "cosine" && vectorType === "vector";
}

const scopeKey = ({ name }: DocumentTable, tenant: string) => `${name} ${tenant}`;
const filterKey = (scope: string, filter: Filter) => `${scope} ${fingerprint(filter)}`;
