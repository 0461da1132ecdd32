import { columnSource, type Layout } from "./layout.ts";

const columns = {
  tags: "tags",
  project: "project",
  insightType: "insight_type",
  confidence: "confidence_score",
  metadata: "metadata",
  created: ["created_at"],
  updated: "updated_at",
};

/**
 * C to E, of early 2026: `{collection}_conversations` and `{collection}_reflections`, in one file or
 * in a file for each collection. A project stands in the metadata only.
 */
export const collectionLayout: Layout = {
  sourcesOf(tables, era) {
    if (era !== "C" && era !== "D" && era !== "E") return [];
    return tables.flatMap((table) => {
      const [, collection, plural] = /^(.+)_(conversations|reflections)$/.exec(table.name) ?? [];
      if (collection === undefined) return [];
      const kind = plural === "conversations" ? "conversation" : "reflection";
      return [columnSource({ era, table, kind, columns, collection })];
    });
  },
};
