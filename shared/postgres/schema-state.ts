import { migrationsDirectory, requiredRevision } from "./migration-files.ts";
import type { Queryable } from "./queryable.ts";
import { SqlError, sqlStates } from "./sql-errors.ts";

export interface SchemaState {
  /** The database's revision; 0 where nothing was ever applied. */
  readonly current: number;
  /** The revision that this code needs. */
  readonly required: number;
  readonly upToDate: boolean;
  /** For people: what is so, and what to run where it is not right. */
  readonly message: string;
}

/** Compares the database's revision with the one that the code needs. */
export async function schemaState(
  postgres: Queryable,
  { directory = migrationsDirectory, signal }: { directory?: string; signal?: AbortSignal } = {},
): Promise<SchemaState> {
  const required = requiredRevision(directory);
  const current = await currentRevision(postgres, signal);
  return {
    current,
    required,
    upToDate: current === required,
    message: describe(current, required),
  };
}

async function currentRevision(
  postgres: Queryable,
  signal: AbortSignal | undefined,
): Promise<number> {
  try {
    const { rows } = await postgres.query<{ revision: number }>(
      "select coalesce(max(version), 0) as revision from schema_migrations",
      [],
      signal,
    );
    return rows[0]?.revision ?? 0;
  } catch (error) {
    if (error instanceof SqlError && error.sqlState === sqlStates.undefinedTable) return 0;
    throw error;
  }
}

function describe(current: number, required: number): string {
  if (current === required) return `the schema is at revision ${current}`;
  if (current > required) {
    return `the schema is at revision ${current}, newer than this code (${required}): update it`;
  }
  return `the schema is at revision ${current}, ${required} is needed: run \`npm run migrate\``;
}
