import type { DuckDb } from "./duckdb.ts";
import { erasOf, recognise, type Table, unwritableIndexes } from "./layouts.ts";
import type { FileContents, TableRows } from "./store.ts";
import { v2RecordTables, v2RequiredColumns } from "./v2-layout.ts";

/** Layouts whose records this program reads. */
const readEras = new Set(["F"]);

/** Every table of the file, temporary and internal ones left out. */
export async function tablesOf(database: DuckDb, signal?: AbortSignal): Promise<Table[]> {
  const rows = await database.rows(
    `select schema_name, table_name, list(column_name) as columns
     from duckdb_columns() where not internal and database_name = current_database()
     group by all order by all`,
    [],
    signal,
  );
  return rows.map((row) => ({
    schema: String(row["schema_name"]),
    name: String(row["table_name"]),
    columns: new Set(Array.isArray(row["columns"]) ? row["columns"].map(String) : []),
  }));
}

/** The tables whose records are read. */
export function recordTables(tables: readonly Table[]): Table[] {
  return tables.filter(
    ({ schema, name, columns }) =>
      schema === "main" &&
      (v2RecordTables as readonly string[]).includes(name) &&
      v2RequiredColumns.every((column) => columns.has(column)),
  );
}

/** What the file holds beside its records. */
export async function readContents(
  database: DuckDb,
  tables: readonly Table[],
  fileName: string,
  signal?: AbortSignal,
): Promise<FileContents> {
  const recognised = recognise(tables, fileName);
  const counts: TableRows[] = [];
  for (const { table, era } of recognised) {
    const [row] = await database.rows(
      `select count(*) as rows from ${quoted(table.schema)}.${quoted(table.name)}`,
      [],
      signal,
    );
    counts.push({ table: displayName(table), era, rows: Number(row?.["rows"] ?? 0) });
  }
  const eras = erasOf(recognised);
  return {
    eras,
    tables: counts,
    unknownTables: counts.filter(({ era }) => era === "").map(({ table }) => table),
    unreadEras: eras.filter((era) => !readEras.has(era)),
    unwritableIndexes: await unwritableIndexesOf(database, signal),
  };
}

/** Names of indexes that must not be written to. */
export async function unwritableIndexesOf(
  database: DuckDb,
  signal?: AbortSignal,
): Promise<string[]> {
  const indexes = await database.rows(
    "select index_name, coalesce(sql, '') as sql from duckdb_indexes()",
    [],
    signal,
  );
  return unwritableIndexes(
    indexes.map((row) => ({ name: String(row["index_name"]), sql: String(row["sql"]) })),
  );
}

function displayName({ schema, name }: Table): string {
  return schema === "main" ? name : `${schema}.${name}`;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
