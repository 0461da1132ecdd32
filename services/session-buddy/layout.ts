import type { Row } from "./duckdb.ts";
import type { Table } from "./layouts.ts";
import type { RecordKind, StoredRecord } from "./record.ts";
import { decodeStoredText, parseMetadata } from "./stored-text.ts";
import type { WallTime } from "./wall-time.ts";

/** What a row says; who reads it adds where it stands. */
export type RecordFields = Omit<StoredRecord, "era" | "origins">;

/** A row that is no record. */
export interface UnreadRow {
  readonly id: string;
  readonly reason: string;
}

/** Where records of one table are, and how its rows become records. */
export interface RecordSource {
  readonly era: string;
  readonly table: Table;
  /** Selects the rows of `toRecord`. */
  readonly sql: string;
  toRecord(row: Row, wallTime: WallTime): RecordFields | UnreadRow;
}

/** A layout of Session-Buddy: knows the tables that are its own. */
export interface Layout {
  /** Where records are in tables that were recognised as this layout's. */
  sourcesOf(tables: readonly Table[], era: string, fileName: string): readonly RecordSource[];
}

/** Which columns of a table say what; one that the table lacks says nothing. */
export interface ColumnNames {
  readonly tags?: string;
  readonly project?: string;
  readonly collection?: string;
  readonly insightType?: string;
  readonly confidence?: string;
  readonly metadata?: string;
  /** The first that holds a time counts. */
  readonly created: readonly string[];
  readonly updated?: string;
}

/** A table with a column for most things, as all layouts but B have. */
export function columnSource(parts: {
  readonly era: string;
  readonly table: Table;
  readonly kind: "conversation" | "reflection";
  readonly columns: ColumnNames;
  /** Where no column names it. */
  readonly collection?: string;
  /** SQL for tags that stand in another table; null where there are none. */
  readonly moreTags?: string;
}): RecordSource {
  const { era, table, kind, columns, collection = "", moreTags } = parts;
  const column = (name: string | undefined) => columnOf(table, name);
  const tags = moreTags ?? column(columns.tags);
  const times = [...columns.created, ...(columns.updated === undefined ? [] : [columns.updated])];
  const sql = `select "id"::varchar as id, "content"::varchar as content, ${tags} as tags,
    ${column(columns.project)}::varchar as project,
    ${column(columns.collection)}::varchar as collection,
    ${column(columns.insightType)}::varchar as insight_type,
    try_cast(${column(columns.confidence)} as double) as confidence,
    ${column(columns.metadata)}::varchar as metadata
    ${times.map((name) => `, ${selectTime(table, name)}`).join("")}
  from ${qualified(table)}`;
  return {
    era,
    table,
    sql,
    toRecord(row, wallTime) {
      const metadata = text(row["metadata"]);
      return recordOf({
        id: text(row["id"]),
        kind,
        content: decodeStoredText(text(row["content"])),
        tags: tagsOf(row["tags"]),
        project: decodeStoredText(text(row["project"])) || projectIn(metadata),
        collection: text(row["collection"]) || collection,
        insightType: text(row["insight_type"]),
        confidence: numberOf(row["confidence"]),
        metadata,
        createMicros: firstTime(row, columns.created, wallTime),
        updateMicros: firstTime(
          row,
          columns.updated === undefined ? [] : [columns.updated],
          wallTime,
        ),
      });
    },
  };
}

/** A reflection with a type is an insight; a text of nothing is no record. */
export function recordOf(fields: RecordFields): RecordFields | UnreadRow {
  if (fields.content.trim() === "") return { id: fields.id, reason: "it has no content" };
  const insight = fields.kind === "reflection" && fields.insightType !== "";
  return insight ? { ...fields, kind: "insight" satisfies RecordKind } : fields;
}

export function isUnread(row: RecordFields | UnreadRow): row is UnreadRow {
  return "reason" in row;
}

/** The column as SQL; null where the table lacks it. */
export function columnOf(table: Table, name: string | undefined): string {
  return name !== undefined && table.columns.has(name) ? quoted(name) : "null";
}

/**
 * Selects a time: local wall time from a TIMESTAMP, real time from a TIMESTAMP WITH TIME ZONE, and
 * text from anything else.
 */
export function selectTime(table: Table, name: string, column = quoted(name)): string {
  const type = table.columns.get(name);
  if (type === undefined) return `null as ${quoted(name)}`;
  if (type === "TIMESTAMP WITH TIME ZONE") return `epoch_us(${column}) as ${quoted(`${name} utc`)}`;
  if (/^(TIMESTAMP|DATE)/.test(type)) {
    return `epoch_us(try_cast(${column} as timestamp)) as ${quoted(name)}`;
  }
  return `${column}::varchar as ${quoted(name)}`;
}

/** The first of these times that the row has, as microseconds since 1970 UTC. */
export function firstTime(
  row: Row,
  names: readonly string[],
  wallTime: WallTime,
): number | undefined {
  for (const name of names) {
    const real = row[`${name} utc`];
    if (typeof real === "bigint") return Number(real);
    const wall = row[name];
    const micros =
      typeof wall === "bigint"
        ? wallTime.toMicros(wall)
        : typeof wall === "string"
          ? wallTime.parse(wall)
          : undefined;
    if (micros !== undefined) return micros;
  }
  return undefined;
}

/** Each once. */
export function tagsOf(value: unknown): string[] {
  const tags = Array.isArray(value) ? value.map((tag) => decodeStoredText(text(tag))) : [];
  return [...new Set(tags)].filter((tag) => tag !== "");
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

/** The project that metadata names. Most metadata names none and is not parsed. */
export function projectIn(metadata: string): string {
  return metadata.includes('"project') ? text(parseMetadata(metadata)["project"]) : "";
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function qualified({ schema, name }: Pick<Table, "schema" | "name">): string {
  return `${quoted(schema)}.${quoted(name)}`;
}

/** With its schema where that is not `main`. */
export function displayName({ schema, name }: Pick<Table, "schema" | "name">): string {
  return schema === "main" ? name : `${schema}.${name}`;
}
