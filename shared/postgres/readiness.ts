import { DomainError } from "../errors.ts";
import { migrationsDirectory } from "./migration-files.ts";
import type { Queryable } from "./queryable.ts";
import { schemaState } from "./schema-state.ts";

export interface PostgresReadiness {
  readonly ready: boolean;
  /** For people; says what to do where it is not ready. */
  readonly message: string;
  /** Installed version of pgvector; undefined where it is not installed or not known. */
  readonly vectorVersion: string | undefined;
  /** What works and should be put right all the same. */
  readonly warning: string | undefined;
}

/** Whether the database answers, has the extension, and is at the revision that the code needs. */
export async function postgresReadiness(
  postgres: Queryable,
  { directory = migrationsDirectory, signal }: { directory?: string; signal?: AbortSignal } = {},
): Promise<PostgresReadiness> {
  try {
    const options = { directory, ...(signal === undefined ? {} : { signal }) };
    const schema = await schemaState(postgres, options);
    const vectorVersion = await readVectorVersion(postgres, signal);
    const warning = vectorVersion === undefined ? undefined : vectorWarning(vectorVersion);
    if (!schema.upToDate) return { ready: false, message: schema.message, vectorVersion, warning };
    if (vectorVersion === undefined) {
      const message = "the extension vector is not installed in the database";
      return { ready: false, message, vectorVersion, warning };
    }
    return { ready: true, message: schema.message, vectorVersion, warning };
  } catch (error) {
    if (signal?.aborted || !(error instanceof DomainError)) throw error;
    const { message } = error;
    return { ready: false, message, vectorVersion: undefined, warning: undefined };
  }
}

async function readVectorVersion(
  postgres: Queryable,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const { rows } = await postgres.query<{ version: string }>(
    "select extversion as version from pg_extension where extname = 'vector'",
    [],
    signal,
  );
  return rows[0]?.version;
}

/** What is wrong with a version of pgvector; undefined where nothing is known to be. */
export function vectorWarning(version: string): string | undefined {
  if (isVersionBefore(version, [0, 8, 2])) {
    return `pgvector ${version} has CVE-2026-3172 (parallel HNSW build): update to 0.8.4 or later`;
  }
  if (isVersionBefore(version, [0, 8, 4])) {
    return `pgvector ${version} can corrupt an index in vacuum: update to 0.8.4 or later`;
  }
  return undefined;
}

/** Whether a version as `0.8.1` is older than the bound. */
export function isVersionBefore(version: string, bound: readonly number[]): boolean {
  const parts = version.split(".").map(Number);
  for (const [i, limit] of bound.entries()) {
    const part = parts[i] ?? 0;
    if (part !== limit) return part < limit;
  }
  return false;
}
