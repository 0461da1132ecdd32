/**
 * Searches by words, and by both words and vector, through gRPC in a large scope:
 * `node test/bench/text-search.ts [--rows=150000] [--queries=200] [--callers=8] [--index] [--json]`.
 *
 * Texts of about 100 words whose words are as common as those of prose, and questions of 3 to 8
 * words, half of them common ones. In the same run on the same table: ts_rank over any word, which is
 * what full text in PostgreSQL comes to without an index of its own, and the mere count of the
 * documents with any word. With --index an approximate index is built first, for the vector leg of
 * HYBRID; where the service builds none, that is said and the leg compares all vectors.
 *
 * The database is on the PostgreSQL that MAHAVISHNU_TEST_PG_URL names, else embedded.
 */
import { parseArgs } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import pg from "pg";
import { SearchMode } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { contentHash } from "../../shared/hash.ts";
import { encodeTextArray } from "../../shared/postgres/array-codec.ts";
import { encodeVectorArray } from "../../shared/postgres/vector-codec.ts";
import { postgresMissing, testDatabase } from "../harness/postgres.ts";
import { startVectorStore, type VectorStoreProcess } from "./vector-store-process.ts";
import { randomOf, randomVector, ZipfTexts } from "./zipf-text.ts";

const { values: args } = parseArgs({
  options: {
    rows: { type: "string", default: "150000" },
    queries: { type: "string", default: "200" },
    callers: { type: "string", default: "8" },
    index: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const rows = Number(args.rows);
const asked = Number(args.queries);
const callers = Number(args.callers);
const tenant = "bench";
const limit = 20;
const headers = { "x-mahavishnu-tenant": tenant };

const random = randomOf(1);
const texts = new ZipfTexts(2);

async function load(client: pg.Client): Promise<void> {
  const { rows: facts } = await client.query("select to_regtype('vector')::oid::int as oid");
  const oid = Number(facts[0]?.oid);
  const batch = 500;
  for (let at = 0; at < rows; at += batch) {
    const list = Array.from({ length: Math.min(batch, rows - at) }, (_, i) => ({
      id: `d${at + i}`,
      content: `${at + i} ${texts.text().words.join(" ")}`,
      vector: randomVector(random),
    }));
    await client.query({
      name: "load",
      text: `insert into memories
          (tenant, id, content, embedding, memory_type, source_system, content_hash, dedup_scope)
        select $1, id, content, embedding, 'rag', 'bench', hash, 'owner:'
        from unnest($2::text[], $3::text[], $4::vector[], $5::text[]) i(id, content, embedding, hash)`,
      values: [
        tenant,
        encodeTextArray(list.map((one) => one.id)),
        encodeTextArray(list.map((one) => one.content)),
        encodeVectorArray(
          list.map((one) => one.vector),
          oid,
        ),
        encodeTextArray(list.map((one) => contentHash(one.content))),
      ],
    });
  }
  await client.query("vacuum analyze memories");
}

async function buildIndex({ client }: VectorStoreProcess): Promise<string> {
  try {
    for await (const { done } of client.buildIndex({})) if (done) return "built";
    return "not finished";
  } catch (error) {
    if (ConnectError.from(error).code !== Code.Unimplemented) throw error;
    return "BuildIndex is not served: every vector is compared";
  }
}

interface Times {
  readonly what: string;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

async function times(
  what: string,
  inFlight: number,
  run: (query: string) => Promise<unknown>,
): Promise<Times> {
  const queries = Array.from({ length: asked }, () => texts.query());
  const taken: number[] = [];
  const next = queries.values();
  const caller = async () => {
    for (const query of next) {
      const started = performance.now();
      await run(query);
      taken.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, caller));
  taken.sort((a, b) => a - b);
  const at = (share: number) => taken[Math.floor(share * (taken.length - 1))] ?? Number.NaN;
  return { what, p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}

const anyWord = "replace(plainto_tsquery('english', $2)::text, '&', '|')::tsquery";
const kind = postgresMissing() === undefined ? "postgres" : "pglite";
const database = await testDatabase(kind);
const raw = new pg.Client(database.url);
await raw.connect();
const service = await startVectorStore(database.url);
try {
  await load(raw);
  const index = args.index ? await buildIndex(service) : "none: every vector is compared";
  const count = (query: string) =>
    raw.query({
      name: "count",
      text: `select count(*) from memories where tenant = $1 and lexemes @@ ${anyWord}`,
      values: [tenant, query],
    });
  const rank = (query: string) =>
    raw.query({
      name: "rank",
      text: `select id, content, ts_rank(lexemes, ${anyWord}) as score
        from memories where tenant = $1 and lexemes @@ ${anyWord}
        order by score desc, id limit ${limit}`,
      values: [tenant, query],
    });
  const text = async (query: string) => {
    const { hits } = await service.client.search(
      { mode: SearchMode.TEXT, text: query, limit },
      { headers },
    );
    if (hits.length === 0) throw new Error(`nothing was found for ${query}`);
  };
  const hybrid = (query: string) =>
    service.client.search(
      { vector: { values: randomVector(random) }, text: query, limit },
      { headers },
    );

  const started = performance.now();
  await text(texts.query());
  const first = performance.now() - started;
  await times("warm", 2, text);
  const results = [
    await times("count of documents with any word", 1, count),
    await times("ts_rank, any word", 1, rank),
    await times("TEXT", 1, text),
    await times(`TEXT, ${callers} callers`, callers, text),
    await times("HYBRID", 1, hybrid),
    await times(`HYBRID, ${callers} callers`, callers, hybrid),
  ];
  report(first, index, results);
} finally {
  await service[Symbol.asyncDispose]();
  await raw.end();
  await database.close();
}

function report(first: number, index: string, results: readonly Times[]): void {
  if (args.json) {
    console.log(JSON.stringify({ kind, rows, asked, first, index, results }, undefined, 2));
    return;
  }
  const ranked = results.find((one) => one.what.startsWith("ts_rank"))?.p50 ?? Number.NaN;
  console.log(`${kind}: ${rows} documents, ${asked} queries a line, ${limit} hits`);
  console.log(`index of vectors: ${index}`);
  console.log(`the first search, which measures the scope: ${first.toFixed(0)} ms\n`);
  console.log("| what | p50, ms | p90, ms | p99, ms | times as fast as ts_rank |");
  console.log("|---|---|---|---|---|");
  for (const { what, p50, p90, p99 } of results) {
    const cells = [p50, p90, p99].map((one) => one.toFixed(1));
    console.log(`| ${what} | ${cells.join(" | ")} | ${(ranked / p50).toFixed(1)} |`);
  }
}
