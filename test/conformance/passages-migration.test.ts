import { copyFileSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { silentLogger } from "../../shared/logging.ts";
import { migrate } from "../../shared/postgres/migrate.ts";
import { migrationsDirectory } from "../../shared/postgres/migration-files.ts";
import { describeEachStore } from "../harness/postgres.ts";
import { collection, model, newDocument, searchOf, vectorOf } from "./document-store-samples.ts";
import { randomVector } from "./vector-truth.ts";

describeEachStore(
  "a database from before there were passages",
  (_, database) => {
    test("gives them to every collection, and to new ones", async () => {
      const directory = mkdtempSync(join(tmpdir(), "mahavishnu-migrations-"));
      try {
        const older = readdirSync(migrationsDirectory).filter((name) => name < "0012");
        for (const name of older.filter((one) => one.endsWith(".sql"))) {
          copyFileSync(join(migrationsDirectory, name), join(directory, name));
        }
        await migrate({ url: database().url, directory, logger: silentLogger() });
      } finally {
        rmSync(directory, { recursive: true });
      }
      const postgres = database().open({ poolSize: 2 });
      await postgres.query(
        `insert into collections (name, dimension, distance, embedding_model, table_name)
        values ('large', 2100, 'euclidean', $1, 'documents_7000')`,
        [model],
      );
      await postgres.query("select create_collection_table('documents_7000', 2100, 'english')");
      await postgres.query(
        `insert into memories (tenant, id, content, memory_type, source_system, content_hash,
          dedup_scope, embedding)
        values ('t', 'old', 'text', 'agent', 'test', 'h', 'owner:', $1)`,
        [`[${vectorOf(1)}]`],
      );
      await migrate({
        url: database().url,
        directory: migrationsDirectory,
        logger: silentLogger(),
      });

      const store = new PostgresDocumentStore(postgres);
      await store.createCollection({
        name: "new",
        dimension: 2_100,
        distance: "cosine",
        embeddingModel: model,
        textLanguage: "english",
      });
      const find = (name: string, vector: number[]) =>
        store.search("t", name, searchOf({ mode: "vector", vector }));
      expect(await find(collection, vectorOf(1))).toMatchObject([{ document: { id: "old" } }]);
      for (const [name, dimension] of [
        [collection, 768],
        ["large", 2_100],
        ["new", 2_100],
      ] as const) {
        const made = (seed: number) => randomVector(dimension, seed);
        const passages = [{ vector: made(2), range: { start: 0, end: 3 } }];
        const document = newDocument("long", { id: "a", vector: made(1), passages });
        await store.write("t", { collection: name, model, documents: [document] });
        const [first] = await find(name, made(2));
        expect(first).toMatchObject({ document: { id: "a" }, passage: { start: 0, end: 3 } });
        await store.delete("t", name, { by: "ids", ids: ["a"] });
      }
      const { rows } = await postgres.query(
        "select 1 from memories_passages union all select 1 from documents_7000_passages",
      );
      expect(rows).toEqual([]);
    });
  },
  { migrations: null },
);
