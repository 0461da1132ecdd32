import type { Queryable } from "../../../shared/postgres/postgres.ts";
import type { DistanceName } from "../collection.ts";
import { vectorIndex } from "./collection-row.ts";
import type { DocumentTable } from "./document-table.ts";

/** Sets our locks apart from those of others in the same database. */
const lockSpace = 0x6d76_7873;

const operatorClasses: Readonly<Record<DistanceName, string>> = {
  cosine: "cosine_ops",
  euclidean: "l2_ops",
  dot_product: "ip_ops",
};

/**
 * Takes the lock of who builds the table's index, for a session or for a transaction; false where
 * somebody else has it. On the embedded server all clients are one session and nobody is kept out;
 * there a build is one transaction, which keeps everybody out.
 */
export async function tryBuildLock(
  on: Queryable,
  { name }: DocumentTable,
  lasts: "session" | "transaction",
  signal?: AbortSignal,
): Promise<boolean> {
  const lock = lasts === "session" ? "pg_try_advisory_lock" : "pg_try_advisory_xact_lock";
  const { rows } = await on.query<{ taken: boolean }>(
    `select ${lock}($1, hashtext($2)) as taken`,
    [lockSpace, name],
    signal,
  );
  return rows[0]?.taken === true;
}

/** An index to build, with all its parameters. */
export type IndexSpec =
  | { readonly kind: "hnsw"; readonly m: number; readonly efConstruction: number }
  | { readonly kind: "ivfflat"; readonly lists: number };

/** Names of the index that is built, and of the one whose place it took. */
export const newIndex = (table: string) => `${vectorIndex(table)}_new`;
const oldIndex = (table: string) => `${vectorIndex(table)}_old`;

export function createIndexStatement(
  { name, vectorType, distance }: DocumentTable,
  spec: IndexSpec,
  concurrently: boolean,
): string {
  const options =
    spec.kind === "hnsw"
      ? `m = ${spec.m}, ef_construction = ${spec.efConstruction}`
      : `lists = ${spec.lists}`;
  return `create index ${concurrently ? "concurrently " : ""}${newIndex(name)} on ${name}
    using ${spec.kind} (embedding ${vectorType}_${operatorClasses[distance]}) with (${options})`;
}

/** What a build that ended half-way, or could not drop the index before, has left. */
export function dropLeftoversStatements({ name }: DocumentTable, concurrently: boolean): string[] {
  const drop = concurrently ? "drop index concurrently if exists" : "drop index if exists";
  return [`${drop} ${newIndex(name)}`, `${drop} ${oldIndex(name)}`];
}

/** Puts the new index in the place of the one that is there; in one transaction. */
export function swapStatements({ name }: DocumentTable): string[] {
  return [
    `alter index if exists ${vectorIndex(name)} rename to ${oldIndex(name)}`,
    `alter index ${newIndex(name)} rename to ${vectorIndex(name)}`,
  ];
}
