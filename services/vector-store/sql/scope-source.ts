import { decodeTid } from "../../../shared/postgres/array-codec.ts";
import type { ScopeSource } from "../known-scopes.ts";
import type { DocumentTable } from "./document-table.ts";
import {
  adoptStatement,
  placesStatement,
  readDocumentOfRow,
  type ScopeRow,
  scopePageStatement,
  scopeRowsStatement,
  snapshotStatement,
} from "./known-scope-sql.ts";
import type { Statements } from "./statements.ts";

/** Rows of one statement that makes a restored database's rows its own. */
const adoptedAtOnce = 500;

/** A tenant's documents in a table. */
export function scopeSource(
  statements: Statements,
  table: DocumentTable,
  tenant: string,
): ScopeSource {
  return {
    dimension: table.dimension,
    count: async (atMost) =>
      Number(await statements.count(scopeRowsStatement(table, tenant, atMost), undefined)),
    adopt: async () => {
      const adopt = adoptStatement(table, tenant, adoptedAtOnce);
      while ((await statements.count(adopt, undefined)) > 0n);
    },
    snapshot: async () => {
      const [row] = await statements.rows<{ snapshot: string }>(snapshotStatement(), undefined);
      if (row === undefined) throw new Error("the database tells no snapshot");
      return row.snapshot;
    },
    page: async (after, since, limit) => {
      const statement = scopePageStatement(table, tenant, after, since, limit);
      return (await statements.rows<ScopeRow>(statement, undefined)).map(readDocumentOfRow);
    },
    places: async (ids) => {
      const statement = placesStatement(table, tenant, ids);
      const rows = await statements.rows<{ id: string; place: string }>(statement, undefined);
      return new Map(rows.map(({ id, place }) => [id, decodeTid(place)]));
    },
  };
}
