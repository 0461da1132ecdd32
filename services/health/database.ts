import type { Component, Facts, Finding } from "./component-health.ts";

/** What the database says of itself. */
export interface DatabaseFacts {
  /** Such as `17.5`. */
  readonly serverVersion: string;
  /** The installed version of the extension `vector`; undefined where it is not installed. */
  readonly vectorVersion: string | undefined;
  /** What is wrong with that version, though it works. */
  readonly warning: string | undefined;
  /** Whether the schema is the one that this build needs, and for people what to run if not. */
  readonly schema: { readonly upToDate: boolean; readonly message: string };
  readonly sizeBytes: number;
}

/** The database as a component: `read` asks it and throws where it does not answer. */
export function databaseComponent(
  facts: Facts,
  read: (signal: AbortSignal) => Promise<DatabaseFacts>,
): Component {
  return {
    name: "postgresql",
    facts,
    probe: async (signal) => judgeDatabase(await read(signal)),
  };
}

export function judgeDatabase(facts: DatabaseFacts): Finding {
  const { serverVersion, vectorVersion, warning, schema, sizeBytes } = facts;
  const metadata: Facts = {
    version: serverVersion,
    database_bytes: sizeBytes,
    ...(vectorVersion === undefined ? {} : { pgvector_version: vectorVersion }),
  };
  // No service works on another schema, or without the extension.
  if (!schema.upToDate) return { status: "unhealthy", message: schema.message, metadata };
  if (vectorVersion === undefined) {
    return { status: "unhealthy", message: "the extension vector is not installed", metadata };
  }
  // What is old still works; the advice is for people.
  const advice = warning === undefined ? "" : `; ${warning}`;
  const message = `PostgreSQL ${serverVersion}, pgvector ${vectorVersion}${advice}`;
  return { status: "healthy", message, metadata };
}
