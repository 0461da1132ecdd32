import { beforeAll, expect, test } from "vitest";
import type { NewDocument } from "../../services/vector-store/document.ts";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { documentTable } from "../../services/vector-store/sql/document-table.ts";
import { DocumentWrites } from "../../services/vector-store/sql/document-writes.ts";
import { deleteStatement } from "../../services/vector-store/sql/read-sql.ts";
import { writeVectors } from "../../services/vector-store/sql/vector-writes.ts";
import type { Postgres, Queryable } from "../../shared/postgres/postgres.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, newDocument, vectorOf, writeOf } from "./document-store-samples.ts";

const tenant = "t";
const stored = 1_000;
const written = 20;
/** Some reads of each document: by id, by content, and to lock or change what was found. */
const mostReads = 6 * written;

/**
 * A table that nobody has analyzed, as it is during its first load and always on the embedded
 * server: PostgreSQL takes a tenant for a small part of it, and would read all of that.
 */
describeEachStore("writes to a table without statistics", (_, database) => {
  const table = documentTable(collection, 768, "cosine");
  let postgres: Postgres;
  let oid: number;

  beforeAll(async () => {
    postgres = database().open();
    oid = await postgres.vectorOid();
    await postgres.query("alter table memories set (autovacuum_enabled = off)");
    const store = new PostgresDocumentStore(postgres);
    for (let from = 0; from < stored; from += 250) {
      await store.write(tenant, writeOf(...documents(from, 250)));
    }
  });

  /** Rows of the table that the work reads. */
  async function reads(work: (tx: Queryable) => Promise<unknown>): Promise<number> {
    return await postgres.transaction(async (tx) => {
      const read = async () => {
        const { rows } = await tx.query<{ read: number }>(
          `select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as read
          from pg_stat_xact_user_tables where relname = 'memories'`,
        );
        return rows[0]?.read ?? 0;
      };
      const before = await read();
      await work(tx);
      return (await read()) - before;
    });
  }

  const write = (list: readonly NewDocument[]) =>
    reads(async (tx) => {
      const results = await new DocumentWrites(tx, table, tenant, oid).run(list);
      expect(results).toHaveLength(list.length);
    });

  test("new documents are looked up one by one", async () => {
    expect(await write(documents(stored, written))).toBeLessThan(mostReads);
  });

  test("so are those that are there, changed or not", async () => {
    expect(await write(documents(10, written))).toBeLessThan(mostReads);
    const changed = documents(10, written).map(({ id }) => named(id, `${id} is another`));
    expect(await write(changed)).toBeLessThan(mostReads);
  });

  test("so are contents that are there under other ids", async () => {
    const anonymous = documents(100, written).map((one) => newDocument(one.content));
    expect(await write(anonymous)).toBeLessThan(mostReads);
  });

  test("so are documents that get their vectors, and those that are deleted", async () => {
    const vectors = documents(200, written).map(({ id, contentHash }, i) => ({
      id,
      contentHash,
      vector: vectorOf(5_000 + i),
      passages: [],
    }));
    const given = await reads(async (tx) => {
      const outcomes = await writeVectors(tx, table, tenant, vectors, oid);
      expect(new Set(outcomes)).toEqual(new Set(["updated"]));
    });
    expect(given).toBeLessThan(mostReads);
    const gone = await reads(async (tx) => {
      const ids = documents(300, written).map(({ id }) => id);
      const { text, parameters } = deleteStatement(table, tenant, { by: "ids", ids });
      const { rows } = await tx.query<{ count: string }>(text, parameters.values);
      expect(Number(rows[0]?.count)).toBe(written);
    });
    expect(gone).toBeLessThan(mostReads);
  });
});

function named(id: string, content: string): NewDocument {
  return newDocument(content, { id, vector: vectorOf(id.length) });
}

function documents(from: number, count: number): NewDocument[] {
  return Array.from({ length: count }, (_, i) =>
    named(`d${from + i}`, `d${from + i} is a document`),
  );
}
