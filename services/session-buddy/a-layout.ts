import { columnOf, columnSource, type Layout, qualified } from "./layout.ts";
import type { Table } from "./layouts.ts";

/**
 * A, since September 2025: `conversations` and `reflections`. Later versions keep tags in a table
 * beside them too.
 */
export const aLayout: Layout = {
  sourcesOf(tables, era) {
    if (era !== "A") return [];
    const columns = { project: "project", metadata: "metadata", created: ["timestamp"] };
    const tagTable = tables.find(({ name }) => name === "reflection_tags");
    return tables.flatMap((table) => {
      if (table.name === "conversations") {
        return [columnSource({ era, table, kind: "conversation", columns })];
      }
      if (table.name !== "reflections") return [];
      return [
        columnSource({
          era,
          table,
          kind: "reflection",
          columns: { ...columns, insightType: "insight_type", confidence: "confidence_score" },
          moreTags: tagsOfBoth(table, tagTable),
        }),
      ];
    });
  },
};

/** The tags of the row and those of the other table. */
function tagsOfBoth(table: Table, tagTable: Table | undefined): string {
  const own = columnOf(table, "tags");
  if (!tagTable?.columns.has("reflection_id") || !tagTable.columns.has("tag")) return own;
  return `list_concat(coalesce(${own}, []), coalesce((select list(more.tag order by more.tag)
    from ${qualified(tagTable)} more where more.reflection_id = ${qualified(table)}.id), []))`;
}
