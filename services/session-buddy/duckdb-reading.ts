import { aLayout } from "./a-layout.ts";
import { bLayout } from "./b-layout.ts";
import { collectionLayout } from "./collection-layout.ts";
import { type DuckDb, DuckDbError, type Parameter } from "./duckdb.ts";
import { graphLayout } from "./graph-layout.ts";
import { displayName, isUnread, qualified, type RecordSource } from "./layout.ts";
import { erasOf, recognise, type Table, unwritableIndexes } from "./layouts.ts";
import type { Origin, RowFault, StoredRecord } from "./record.ts";
import type { FileContents, TableRows } from "./store.ts";
import { v2Layout } from "./v2-layout.ts";
import type { WallTime } from "./wall-time.ts";

/** Newest first: of equal records the newest layout's is the one that counts. */
const layouts = [v2Layout, collectionLayout, bLayout, aLayout, graphLayout];

/** Every table of the file, temporary and internal ones left out. */
export async function tablesOf(database: DuckDb, signal?: AbortSignal): Promise<Table[]> {
  const rows = await database.rows(
    `select schema_name, table_name, list(column_name order by column_index) as columns,
       list(data_type order by column_index) as types
     from duckdb_columns() where not internal and database_name = current_database()
     group by all order by all`,
    [],
    signal,
  );
  return rows.map((row) => {
    const types = textsOf(row["types"]);
    return {
      schema: String(row["schema_name"]),
      name: String(row["table_name"]),
      columns: new Map(textsOf(row["columns"]).map((name, at) => [name, types[at] ?? ""])),
    };
  });
}

/** Where the file's records are, newest layout first. */
export function recordSources(tables: readonly Table[], fileName: string): RecordSource[] {
  const recognised = recognise(tables, fileName);
  return layouts.flatMap((layout) =>
    erasOf(recognised)
      .reverse()
      .flatMap((era) => {
        const own = recognised.filter((one) => one.era === era).map(({ table }) => table);
        return layout.sourcesOf(own, era, fileName);
      }),
  );
}

/** Some rows, as records or as what they failed to be. */
export interface RecordBatch {
  readonly records: readonly StoredRecord[];
  readonly faults: readonly RowFault[];
}

/** Reads one source; a table that cannot be asked is a fault, a file that cannot be read throws. */
export async function* readSource(
  database: DuckDb,
  source: RecordSource,
  fileName: string,
  wallTime: WallTime,
  signal?: AbortSignal,
  parameters: readonly Parameter[] = [],
): AsyncGenerator<RecordBatch> {
  const { era } = source;
  const table = displayName(source.table);
  const origin = (id: string): Origin => ({ era, file: fileName, table, id });
  try {
    for await (const rows of database.chunks(source.sql, parameters, signal)) {
      const records: StoredRecord[] = [];
      const faults: RowFault[] = [];
      for (const row of rows) {
        const fields = source.toRecord(row, wallTime);
        const from = origin(fields.id);
        if (isUnread(fields)) faults.push({ ...from, reason: fields.reason });
        else records.push({ ...fields, era, origins: [from] });
      }
      yield { records, faults };
    }
  } catch (error) {
    if (!(error instanceof DuckDbError) || error.fault !== "other") throw error;
    yield { records: [], faults: [{ ...origin(""), reason: "the table cannot be read" }] };
  }
}

/** As many rows as `readSource` will tell of. */
export async function countRows(
  database: DuckDb,
  { sql }: RecordSource,
  signal?: AbortSignal,
): Promise<number> {
  try {
    const [row] = await database.rows(`select count(*) as rows from (${sql})`, [], signal);
    return Number(row?.["rows"] ?? 0);
  } catch (error) {
    if (!(error instanceof DuckDbError) || error.fault !== "other") throw error;
    return 1;
  }
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
      `select count(*) as rows from ${qualified(table)}`,
      [],
      signal,
    );
    counts.push({
      file: fileName,
      table: displayName(table),
      era,
      rows: Number(row?.["rows"] ?? 0),
    });
  }
  return {
    eras: erasOf(recognised),
    tables: counts,
    unknownTables: counts.filter(({ era }) => era === "").map(({ table }) => table),
    unwritableIndexes: await unwritableIndexesOf(database, signal),
    faults: 0,
    folded: 0,
    unreadFiles: [],
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

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
