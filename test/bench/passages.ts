/**
 * What passages cost a search, on the PostgreSQL that MAHAVISHNU_TEST_PG_URL names:
 * `node test/bench/passages.ts [--documents=5000] [--passages=0,1000,10000] [--searches=300]
 * [--against=FOLDER]`.
 *
 * Sends the very statements that the service sends, prepared, from one connection, in turns: of a
 * tenant without passages, and of one with so many. `--against` names the project's folder as it was
 * at another time, whose statement runs in the same turns.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { PostgresDocumentStore } from "../../services/vector-store/postgres-store.ts";
import { documentTable } from "../../services/vector-store/sql/document-table.ts";
import { searchStatement } from "../../services/vector-store/sql/search-sql.ts";
import {
  collection,
  model,
  newDocument,
  searchOf,
  vectorOf,
} from "../conformance/document-store-samples.ts";
import { postgresMissing, testDatabase } from "../harness/postgres.ts";
import { median } from "./timing.ts";

const { values: args } = parseArgs({
  options: {
    documents: { type: "string", default: "5000" },
    passages: { type: "string", default: "0,1000,10000" },
    searches: { type: "string", default: "300" },
    against: { type: "string" },
  },
});
const missing = postgresMissing();
if (missing !== undefined) throw new Error(missing);
const searches = Number(args.searches);
const table = documentTable("memories", 768, "cosine");

/** Passages of one long document. */
const perDocument = 50;

const database = await testDatabase("postgres");
const client = new pg.Client(database.url);
try {
  await client.connect();
  const statements = new Map([["now", searchStatement]]);
  if (args.against !== undefined) {
    const file = join(args.against, "services/vector-store/sql/search-sql.ts");
    statements.set("against", (await import(file)).searchStatement);
  }
  const store = new PostgresDocumentStore(database.open());
  for (const size of [200, Number(args.documents)]) {
    for (const passages of args.passages.split(",").map(Number)) {
      const tenant = `t${size}-${passages}`;
      await fill(store, tenant, size, passages);
      await client.query("vacuum analyze memories, memories_passages");
      for (const mode of ["vector", "hybrid"] as const) await compare(tenant, mode, size, passages);
    }
  }

  async function compare(tenant: string, mode: "vector" | "hybrid", size: number, count: number) {
    const times = new Map([...statements.keys()].map((name) => [name, [] as number[]]));
    for (let i = -30; i < searches; i++) {
      for (const [name, statementOf] of statements) {
        const query = searchOf({ mode, vector: vectorOf(1_000_000 + i), text: "word3 word5" });
        const words = { way: "counted", language: "english" } as const;
        const { text, parameters } = statementOf(
          table,
          tenant,
          query,
          { by: "scan" },
          mode === "vector" ? undefined : words,
          count > 0,
        );
        const began = performance.now();
        await client.query({ name: `${name} ${mode} ${tenant}`, text, values: parameters.values });
        if (i >= 0) times.get(name)?.push(performance.now() - began);
      }
    }
    const figures = [...times].map(([name, all]) => `${name} ${median(all).toFixed(2)} ms`);
    console.log(`${mode} of ${size} documents, ${count} passages: ${figures.join(", ")}`);
  }
} finally {
  await client.end();
  await database.close();
}

async function fill(to: PostgresDocumentStore, tenant: string, size: number, passages: number) {
  for (let from = 0; from < size; from += 100) {
    const documents = Array.from({ length: Math.min(100, size - from) }, (_, n) => {
      const i = from + n;
      const own = Math.max(0, Math.min(perDocument, passages - i * perDocument));
      return newDocument(`word${i % 7} and text ${i}`, {
        id: `d${i}`,
        vector: vectorOf(i),
        passages: Array.from({ length: own }, (__, p) => ({
          vector: vectorOf(100_000 + i * perDocument + p),
          range: { start: 0, end: 4 },
        })),
      });
    });
    await to.write(tenant, { collection, model, documents });
  }
}
