import { expect, test } from "vitest";
import { erasOf, recognise, type Table, unwritableIndexes } from "./layouts.ts";

const table = (name: string, columns: string, schema = "main"): Table => ({
  schema,
  name,
  columns: new Map(columns.split(" ").map((column) => [column, "VARCHAR"])),
});
const collection = "id content metadata created_at updated_at embedding";

test("every layout is recognised by its tables", () => {
  const tables = [
    table("conversations", "id content embedding project timestamp metadata"),
    table("default", "id vector metadata created_at", "vectors"),
    table("default_reflections", `${collection} insight_type`),
    table("reflections_v2", "id content"),
    table("query_cache_l2", "cache_key"),
    table("kg_entities", "id name entity_type"),
    table("shopping_list", "item"),
    table("other_reflections", "id note"),
  ];
  const recognised = recognise(tables, "reflection.duckdb");
  expect(recognised.map(({ era }) => era)).toEqual(["A", "B", "E", "F", "F", "KG", "", ""]);
  expect(erasOf(recognised)).toEqual(["A", "B", "E", "F", "KG"]);
});

test.each([
  ["reflection_mahavishnu.duckdb", `${collection} insight_type`, "D"],
  ["reflection.duckdb", `${collection} insight_type`, "E"],
  ["reflection.duckdb", collection, "C"],
])("collections in %s", (file, columns, era) => {
  expect(erasOf(recognise([table("x_conversations", columns)], file))).toEqual([era]);
});

test("an HNSW index is known by its statement or its name", () => {
  const indexes = [
    { name: "by_time", sql: 'create index by_time on t("timestamp")' },
    { name: "vectors", sql: "CREATE INDEX vectors ON t USING HNSW (embedding)" },
    { name: "idx_default_refl_embeddings_hnsw", sql: "" },
  ];
  expect(unwritableIndexes(indexes)).toEqual(["idx_default_refl_embeddings_hnsw", "vectors"]);
});
