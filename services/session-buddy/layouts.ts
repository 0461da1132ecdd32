/** A table with its columns. */
export interface Table {
  readonly schema: string;
  readonly name: string;
  /** DuckDB's type by name. */
  readonly columns: ReadonlyMap<string, string>;
}

export interface RecognisedTable {
  readonly table: Table;
  /** `A` to `F`, `KG`, or empty where no known layout has it. */
  readonly era: string;
}

/** Session-Buddy's first layout, which its newest code still makes beside the newest one. */
const eraA = new Set([
  "conversations",
  "reflections",
  "project_groups",
  "project_dependencies",
  "session_links",
  "search_index",
  "search_facets",
  "reflection_tags",
  "access_log_v2",
  "code_graphs",
]);

/** Tables of the newest layout beside its records. */
const eraF = new Set([
  "conversations_v2",
  "reflections_v2",
  "memory_entities",
  "memory_relationships",
  "memory_promotions",
  "memory_access_log",
  "memory_provenance",
  "user_models",
  "causal_links",
  "distilled_skills",
  "session_windows",
  "cross_repo_work_v2",
  "category_evolution_snapshots",
  "archived_subcategories",
  "schema_meta",
  "schema_migrations",
]);

/** Made by every layout since January 2026; they hold caches and statistics. */
const shared = new Set([
  "query_cache_l2",
  "rewritten_queries",
  "content_fingerprints",
  "memory_subcategories",
  "result_interactions",
  "usage_metrics_summary",
]);

const graph = new Set(["kg_entities", "kg_relationships"]);

/** Without these a table of this name is somebody else's. */
const requiredColumns: Readonly<Record<string, readonly string[]>> = {
  conversations: ["id", "content"],
  reflections: ["id", "content"],
  conversations_v2: ["id", "content"],
  reflections_v2: ["id", "content"],
  kg_entities: ["id", "name", "entity_type"],
  kg_relationships: ["from_entity", "to_entity", "relation_type"],
};

/** Tables that hold records, by layout. */
const collectionTable = /^[A-Za-z0-9_]+_(conversations|reflections)$/;
const collectionColumns = ["id", "content", "metadata", "created_at", "embedding"];

/** Which layout each table belongs to. `fileName` tells per-collection files (D) from one file (E). */
export function recognise(tables: readonly Table[], fileName: string): RecognisedTable[] {
  const collections = tables.filter(isCollectionTable);
  const collectionEra = eraOfCollections(collections, fileName);
  const newest = tables.some(({ schema, name }) => schema === "main" && eraF.has(name));
  const sharedEra = newest ? "F" : collectionEra;
  return tables.map((table) => ({ table, era: eraOf(table, collectionEra, sharedEra) }));
}

function eraOf(table: Table, collectionEra: string, sharedEra: string): string {
  if (table.schema === "vectors") return has(table, ["id", "vector", "metadata"]) ? "B" : "";
  if (table.schema !== "main" || !has(table, requiredColumns[table.name] ?? [])) return "";
  if (eraF.has(table.name)) return "F";
  if (graph.has(table.name)) return "KG";
  if (eraA.has(table.name)) return "A";
  if (shared.has(table.name)) return sharedEra;
  return isCollectionTable(table) ? collectionEra : "";
}

function isCollectionTable(table: Table): boolean {
  return (
    table.schema === "main" && collectionTable.test(table.name) && has(table, collectionColumns)
  );
}

/** C has no columns for insights; D has a file per collection, E has one file for all. */
function eraOfCollections(tables: readonly Table[], fileName: string): string {
  const insights = tables.some(({ columns }) => columns.has("insight_type"));
  if (tables.length > 0 && !insights) return "C";
  return /^reflection_.+\.duckdb$/.test(fileName) ? "D" : "E";
}

function has(table: Table, columns: readonly string[]): boolean {
  return columns.every((column) => table.columns.has(column));
}

/** The layouts of recognised tables, each once, in order. */
export function erasOf(recognised: readonly RecognisedTable[]): string[] {
  return [...new Set(recognised.map(({ era }) => era))].filter((era) => era !== "").sort();
}

/** Names of indexes that are written with an extension only, from their `create index` statements. */
export function unwritableIndexes(
  indexes: readonly { readonly name: string; readonly sql: string }[],
): string[] {
  return indexes
    .filter(({ name, sql }) => /\busing\s+"?hnsw\b/i.test(sql) || /_hnsw$/i.test(name))
    .map(({ name }) => name)
    .sort();
}
