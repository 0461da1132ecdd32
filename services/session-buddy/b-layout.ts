import {
  columnOf,
  firstTime,
  type Layout,
  qualified,
  type RecordFields,
  recordOf,
  selectTime,
  tagsOf,
  text,
  type UnreadRow,
} from "./layout.ts";
import type { Table } from "./layouts.ts";
import type { JsonObject, JsonValue } from "./record.ts";
import { decodeStoredText, isJsonObject, parseMetadata } from "./stored-text.ts";
import { parseUtc, type WallTime } from "./wall-time.ts";

/** What B keeps in its metadata that is not metadata. */
const ownKeys = new Set([
  "id",
  "content",
  "project",
  "tags",
  "timestamp",
  "metadata",
  "type",
  "insight_type",
  "confidence_score",
]);

/**
 * B, of late 2025: `vectors.{collection}`, a vector with everything else in its metadata, where a
 * conversation's own metadata is JSON in a text once more. Its times are UTC.
 */
export const bLayout: Layout = {
  sourcesOf(tables, era) {
    if (era !== "B") return [];
    return tables.map((table) => ({
      era,
      table,
      sql: `select "id"::varchar as id, ${columnOf(table, "metadata")}::varchar as metadata,
        ${selectTime(table, "created_at")} from ${qualified(table)}`,
      toRecord: (row, wallTime) => toRecord(row, table, wallTime),
    }));
  },
};

function toRecord(
  row: Readonly<Record<string, unknown>>,
  table: Table,
  wallTime: WallTime,
): RecordFields | UnreadRow {
  const stored = parseMetadata(text(row["metadata"]));
  const content = contentOf(stored);
  const inner = innerMetadata(stored["metadata"]);
  const others = Object.fromEntries(Object.entries(stored).filter(([key]) => !ownKeys.has(key)));
  const metadata = { ...others, ...inner };
  const { unparsed_text: _unparsed, ...kept } = metadata;
  const rest = content.unparsed ? kept : metadata;
  const confidence = stored["confidence_score"];
  return recordOf({
    id: text(row["id"]) || text(stored["id"]),
    kind: stored["type"] === "reflection" ? "reflection" : "conversation",
    content: content.text,
    tags: tagsOf(stored["tags"]),
    project: decodeStoredText(text(stored["project"])) || text(inner["project"]),
    collection: table.name,
    insightType: text(stored["insight_type"]),
    confidence: typeof confidence === "number" ? confidence : undefined,
    metadata: Object.keys(rest).length === 0 ? "" : JSON.stringify(rest),
    createMicros: parseUtc(text(stored["timestamp"])) ?? firstTime(row, ["created_at"], wallTime),
    updateMicros: undefined,
  });
}

/** Metadata that is no JSON is the only text there is of the record. */
function contentOf(stored: JsonObject): { readonly text: string; readonly unparsed: boolean } {
  const content = text(stored["content"]);
  if (content !== "") return { text: decodeStoredText(content), unparsed: false };
  return { text: decodeStoredText(text(stored["unparsed_text"])), unparsed: true };
}

function innerMetadata(value: JsonValue | undefined): JsonObject {
  if (typeof value === "string") return parseMetadata(value);
  return isJsonObject(value) ? value : {};
}
