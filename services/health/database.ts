import type { Component, Facts, Finding } from "./component-health.ts";

/** What the database says of itself. */
export interface DatabaseFacts {
  /** Such as `17.5`. */
  readonly serverVersion: string;
  /** The installed version of the extension `vector`; undefined where it is not installed. */
  readonly vectorVersion: string | undefined;
  readonly sizeBytes: number;
}

/** Earlier versions can corrupt an index in vacuum, and before 0.8.2 carry CVE-2026-3172. */
const soundVectorVersion = "0.8.4";

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
  const { serverVersion, vectorVersion, sizeBytes } = facts;
  const metadata: Facts = { version: serverVersion, database_bytes: sizeBytes };
  if (vectorVersion === undefined) {
    const message = "the extension vector is not installed; run the migrations";
    return { status: "unhealthy", message, metadata };
  }
  const answers = `PostgreSQL ${serverVersion}, pgvector ${vectorVersion}`;
  const old = isBefore(vectorVersion, soundVectorVersion);
  return {
    // What is old still works; the advice is for people.
    status: "healthy",
    message: old ? `${answers}; update pgvector to ${soundVectorVersion} or later` : answers,
    metadata: { ...metadata, pgvector_version: vectorVersion },
  };
}

/** Compares versions such as `0.8.10`, part by part as numbers. */
export function isBefore(version: string, other: string): boolean {
  const [a, b] = [version, other].map((one) =>
    one.split(".").map((part) => Number.parseInt(part, 10)),
  );
  for (let i = 0; i < 3; i++) {
    const difference = (a?.[i] || 0) - (b?.[i] || 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
