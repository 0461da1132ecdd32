/**
 * Compares the vector store's search through gRPC with raw node-postgres on the same table, in one
 * run, and its answers by the index with the truth:
 * `node test/bench/vector-search.ts [--rows=20000] [--rounds=5] [--searches=300] [--callers=32]
 * [--tenants=0] [--index=hnsw|ivfflat] [--json]`, on the PostgreSQL that MAHAVISHNU_TEST_PG_URL names.
 *
 * The raw side sends the very statement that the service sends, prepared, with the vector as a
 * binary parameter, from as many connections. The service runs in a process of its own; the client
 * shares this process with the raw side. Ratios are what counts.
 */
import { parseArgs } from "node:util";
import pg from "pg";
import type { CollectionIndex } from "../../services/vector-store/collection.ts";
import { planNearest } from "../../services/vector-store/search-plan.ts";
import { documentTable } from "../../services/vector-store/sql/document-table.ts";
import { searchStatement } from "../../services/vector-store/sql/search-sql.ts";
import { IndexKind } from "../../shared/gen/mahavishnu/vectorstore/v1/collection_pb.js";
import { postgresMissing, testDatabase } from "../harness/postgres.ts";
import { inTurns, median, quantile, timed } from "./timing.ts";
import { load, queryVectors } from "./vector-search-data.ts";
import { tenantsFigures } from "./vector-search-tenants.ts";
import { startVectorStore } from "./vector-store-process.ts";

const { values: args } = parseArgs({
  options: {
    rows: { type: "string", default: "20000" },
    rounds: { type: "string", default: "5" },
    searches: { type: "string", default: "300" },
    callers: { type: "string", default: "32" },
    tenants: { type: "string", default: "0" },
    index: { type: "string", default: "hnsw" },
    profile: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const rows = Number(args.rows);
const rounds = Number(args.rounds);
const searches = Number(args.searches);
const callers = Number(args.callers);
const limit = 20;
const dimension = 768;
/** As many connections as the service has. */
const poolSize = 20;
const threshold = 50_000;

interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** What it is compared with, where it is. */
  readonly raw?: number;
  /** Of the medians of the rounds; above 1 the service is the better one. */
  readonly ratio?: number;
  readonly goal?: string;
}

const missing = postgresMissing();
if (missing !== undefined) throw new Error(missing);
const database = await testDatabase("postgres");
const raw = new pg.Client(database.url);
await raw.connect();
const pool = new pg.Pool({ connectionString: database.url, max: poolSize });
const profile = args.profile ? ["--cpu-prof", "--cpu-prof-dir=/tmp"] : [];
const service = await startVectorStore(database.url, {}, profile);
const { client } = service;
const headers = { "x-mahavishnu-tenant": "bench" };
const figures: Figure[] = [];
const note = (text: string) => process.stderr.write(`${text}\n`);
try {
  await raw.query("update collections set embedding_model = 'bench' where name = 'memories'");
  await load(raw, { table: "memories", rows, dimension, tenantOf: () => "bench" });
  await raw.query("vacuum analyze memories");
  note(`${rows} rows are loaded`);
  const began = performance.now();
  const kind = args.index === "ivfflat" ? IndexKind.IVFFLAT : IndexKind.HNSW;
  let lists = 0;
  for await (const { phase, progress, index } of client.buildIndex({ index: { kind } })) {
    note(`${phase}: ${(100 * progress).toFixed(0)} %`);
    lists = index?.lists ?? 0;
  }
  const built = (performance.now() - began) / 1_000;
  const name = lists === 0 ? "HNSW" : `IVFFlat (${lists} lists)`;
  figures.push({ what: `build of the ${name} index`, value: built, unit: "s" });

  const queries = queryVectors(200, dimension);
  const queryOf = (i: number) => queries[i % queries.length] ?? [];
  const index: CollectionIndex =
    lists === 0
      ? { kind: "hnsw", m: 16, efConstruction: 64, lists: undefined }
      : { kind: "ivfflat", m: undefined, efConstruction: undefined, lists };
  const plan = planNearest({ index, exact: false, wanted: limit, threshold, rows }, rows);
  const statement = (i: number) =>
    searchStatement(
      documentTable("memories", dimension, "cosine"),
      "bench",
      {
        mode: "vector",
        vector: queryOf(i),
        filter: undefined,
        limit,
        minScore: 0,
        model: undefined,
        includeVectors: false,
        maxBytes: 12 * 2 ** 20,
      },
      plan,
      undefined,
    );
  const { text } = statement(0);
  const rawOn = (on: pg.Client | pg.Pool) => (i: number) =>
    on.query({ name: "raw", text, values: statement(i).parameters.values });
  const search = (i: number) =>
    client.search({ vector: { values: queryOf(i) }, limit }, { headers });
  // Every connection of both sides has the statement prepared, and the pages are read.
  for (const side of [rawOn(pool), search]) await timed(side, { count: 600, callers });

  const one = { count: searches, callers: 1 };
  const single = await inTurns(rounds, {
    raw: async () => median((await timed(rawOn(raw), one)).times),
    service: async () => median((await timed(search, one)).times),
  });
  figures.push({
    what: "search, 1 caller, p50",
    raw: median(single.map((round) => round.raw)),
    value: median(single.map((round) => round.service)),
    ratio: median(single.map((round) => round.raw / round.service)),
    unit: "ms",
    goal: "at least 0.59 (1.7 times)",
  });
  const many = { count: 3 * searches, callers };
  const crowd = await inTurns(rounds, {
    raw: async () => (await timed(rawOn(pool), many)).perSecond,
    service: async () => (await timed(search, many)).perSecond,
  });
  figures.push({
    what: `search, ${callers} callers`,
    raw: median(crowd.map((round) => round.raw)),
    value: median(crowd.map((round) => round.service)),
    ratio: median(crowd.map((round) => round.service / round.raw)),
    unit: "searches/s",
    goal: "at least 0.6",
  });
  const eight = await timed(search, { count: 3 * searches, callers: 8 });
  figures.push({
    what: "search, 8 callers, p99",
    value: quantile(eight.times, 0.99),
    unit: "ms",
    goal: "below 100",
  });
  let errors = 0;
  const thousand = await timed((i) => search(i).catch(() => errors++), {
    count: 4_000,
    callers: 1_000,
  });
  figures.push(
    { what: "1,000 callers, errors", value: errors, unit: "of 4,000", goal: "0" },
    { what: "1,000 callers, p50", value: median(thousand.times), unit: "ms" },
    { what: "1,000 callers, p99", value: quantile(thousand.times, 0.99), unit: "ms" },
  );
  await recalls();
  if (Number(args.tenants) > 0) {
    figures.push(...(await tenantsFigures(client, raw, Number(args.tenants))));
  }
  report();
} finally {
  await service[Symbol.asyncDispose]();
  await pool.end();
  await raw.end();
  await database.close();
}

/** What the service finds, against what comparing every vector finds. */
async function recalls(): Promise<void> {
  const queries = queryVectors(60, dimension);
  for (const percent of [100, 50, 5, 0.5]) {
    const range = { lt: { kind: { case: "numberValue" as const, value: percent * 10 } } };
    const condition = { field: "metadata.share", test: { case: "range" as const, value: range } };
    const filter =
      percent === 100 ? {} : { filter: { node: { case: "condition" as const, value: condition } } };
    let found = 0;
    let wanted = 0;
    let short = 0;
    const times: number[] = [];
    for (const values of queries) {
      const ask = { vector: { values }, limit, ...filter };
      const { hits: truth } = await client.search({ ...ask, exact: true }, { headers });
      const started = performance.now();
      const { hits } = await client.search(ask, { headers });
      times.push(performance.now() - started);
      const ids = new Set(hits.map((hit) => hit.document?.id));
      found += truth.filter((hit) => ids.has(hit.document?.id)).length;
      wanted += truth.length;
      if (hits.length < truth.length) short += 1;
    }
    const what = percent === 100 ? "no filter" : `filter of ${percent} %`;
    const exact = (rows * percent) / 100 <= threshold;
    figures.push(
      {
        what: `${what}, recall`,
        value: found / wanted,
        unit: exact ? "(exact)" : "(by index)",
        goal: exact ? "1.000" : "at least .98",
      },
      { what: `${what}, p50`, value: median(times), unit: "ms" },
      { what: `${what}, short results`, value: short, unit: `of ${queries.length}`, goal: "0" },
    );
  }
}

function report(): void {
  if (args.json) {
    console.log(JSON.stringify({ rows, dimension, limit, figures }, undefined, 2));
    return;
  }
  console.log(`${rows} rows, ${dimension} dimensions, ${limit} hits with content\n`);
  console.log("| what | raw | service | unit | ratio | goal |\n|---|---|---|---|---|---|");
  for (const { what, value, unit, raw: compared, ratio, goal } of figures) {
    const shown = (number: number | undefined) =>
      number === undefined ? "" : number.toFixed(number >= 100 || number === 0 ? 0 : 3);
    const cells = [what, shown(compared), shown(value), unit, ratio?.toFixed(2) ?? "", goal ?? ""];
    console.log(`| ${cells.join(" | ")} |`);
  }
}
