/**
 * Compares the vector store's gRPC with raw node-postgres on the same table, in one run:
 * `node test/bench/vector-store.ts [--rows=6000] [--scope=1000] [--batch=500] [--searches=400]
 * [--callers=32] [--json]`.
 *
 * The service runs in a process of its own, on a database of its own: on the PostgreSQL that
 * MAHAVISHNU_TEST_PG_URL names, else on the embedded one. The raw side sends what a careful caller
 * would: one prepared statement, vectors as binary parameters, batches as binary arrays. Ratios
 * are what counts, since absolute figures depend on the machine.
 */
import { parseArgs } from "node:util";
import { create } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import pg from "pg";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import {
  BulkUpsertRequestSchema,
  type VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { contentHash } from "../../shared/hash.ts";
import { encodeTextArray } from "../../shared/postgres/array-codec.ts";
import { encodeVector, encodeVectorArray } from "../../shared/postgres/vector-codec.ts";
import { postgresMissing, testDatabase } from "../harness/postgres.ts";
import { startVectorStore } from "./vector-store-process.ts";

const { values: args } = parseArgs({
  options: {
    rows: { type: "string", default: "6000" },
    scope: { type: "string", default: "1000" },
    batch: { type: "string", default: "500" },
    searches: { type: "string", default: "400" },
    callers: { type: "string", default: "32" },
    json: { type: "boolean", default: false },
  },
});
const rows = Number(args.rows);
const scope = Number(args.scope);
const batch = Number(args.batch);
const searches = Number(args.searches);
const callers = Number(args.callers);
const model = "bench";
const limit = 20;
const poolSize = 20;

interface Result {
  readonly what: string;
  readonly raw: number;
  readonly service: number;
  readonly unit: string;
  /** Above 1 the service is better. */
  readonly ratio: number;
}

interface Sample {
  readonly id: string;
  readonly content: string;
  readonly vector: number[];
}

/** Words that are rare and common as in prose. */
function prose(random: () => number): string {
  const words = Array.from({ length: 90 }, () =>
    Math.floor(random() ** 3 * 20_000)
      .toString(36)
      .padStart(5, "w"),
  );
  return words.join(" ");
}

function samples(count: number, prefix: string): Sample[] {
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from({ length: count }, (_, i) => ({
    id: `${prefix}${i}`,
    content: `${prefix}${i} ${prose(random)}`,
    vector: Array.from({ length: 768 }, () => random() - 0.5),
  }));
}

function rawInsert(client: pg.Client, tenant: string, list: readonly Sample[], oid: number) {
  return client.query({
    name: "raw_insert",
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

function rawSearch(client: pg.Client | pg.Pool, vector: readonly number[]) {
  return client.query({
    name: "raw_search",
    text: `select id, content, memory_type, source_system, metadata, created_at, updated_at,
        1 - (embedding <=> $2::vector) as score
      from memories where tenant = $1 and embedding is not null
      order by embedding <=> $2::vector limit ${limit}`,
    values: ["scope", encodeVector(vector)],
  });
}

function batches<T>(list: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(list.length / batch) }, (_, i) =>
    list.slice(i * batch, (i + 1) * batch),
  );
}

async function perSecond(count: number, work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (count * 1_000) / (performance.now() - started);
}

async function bulkUpsert(
  client: Client<typeof VectorStoreService>,
  tenant: string,
  list: readonly Sample[],
): Promise<void> {
  async function* requests() {
    let sequence = 0n;
    for (const part of batches(list)) {
      const documents = part.map(({ id, content, vector }) => ({
        id,
        content,
        vector: { values: vector },
        memoryType: MemoryType.RAG,
        sourceSystem: "bench",
      }));
      yield create(BulkUpsertRequestSchema, { sequence: sequence++, documents, model });
    }
  }
  const headers = { "x-mahavishnu-tenant": tenant };
  let stored = 0;
  for await (const { error, results } of client.bulkUpsert(requests(), { headers })) {
    if (error !== undefined) throw new Error(error.message);
    stored += results.filter((one) => one.error === undefined).length;
  }
  if (stored !== list.length) throw new Error(`${stored} of ${list.length} were stored`);
}

/** Runs the searches one after the other; the median time of one, in milliseconds. */
async function p50(run: (i: number) => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < searches; i++) {
    const started = performance.now();
    await run(i);
    times.push(performance.now() - started);
  }
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}

async function throughput(run: (i: number) => Promise<unknown>): Promise<number> {
  const total = searches * 2;
  let next = 0;
  const caller = async () => {
    while (next < total) await run(next++);
  };
  return await perSecond(total, () => Promise.all(Array.from({ length: callers }, caller)));
}

const kind = postgresMissing() === undefined ? "postgres" : "pglite";
const database = await testDatabase(kind);
const raw = new pg.Client(database.url);
await raw.connect();
const pool = new pg.Pool({ connectionString: database.url, max: poolSize });
const service = await startVectorStore(database.url);
const { client } = service;
const results: Result[] = [];
try {
  const { rows: facts } = await raw.query("select to_regtype('vector')::oid::int as oid");
  const oid = Number(facts[0]?.oid);
  const warm = samples(batch * 2, "warm");
  for (const part of batches(warm)) await rawInsert(raw, "warm-raw", part, oid);
  await bulkUpsert(client, "warm-service", warm);

  const list = samples(rows, "doc");
  const rawWrites = await perSecond(rows, async () => {
    for (const part of batches(list)) await rawInsert(raw, "raw", part, oid);
  });
  const serviceWrites = await perSecond(rows, () => bulkUpsert(client, "service", list));
  const replays = await perSecond(rows, () => bulkUpsert(client, "service", list));
  results.push(
    higher("write (raw: one connection)", rawWrites, serviceWrites, "documents/s"),
    higher("write again, same ids", rawWrites, replays, "documents/s"),
  );

  for (const part of batches(samples(scope, "scope"))) await rawInsert(raw, "scope", part, oid);
  await raw.query("analyze memories");
  const queries = samples(64, "query").map((one) => one.vector);
  const queryOf = (i: number) => queries[i % queries.length] ?? [];
  const headers = { "x-mahavishnu-tenant": "scope" };
  const search = (i: number) =>
    client.search({ vector: { values: queryOf(i) }, limit, model }, { headers });
  const rawOne = (i: number) => rawSearch(raw, queryOf(i));
  const rawMany = (i: number) => rawSearch(pool, queryOf(i));
  for (let i = 0; i < 100; i++) await Promise.all([rawMany(i), search(i)]);
  results.push(
    lower("search, 1 caller, p50", await p50(rawOne), await p50(search), "ms"),
    higher(
      `search, ${callers} callers`,
      await throughput(rawMany),
      await throughput(search),
      "searches/s",
    ),
  );
  const text = (i: number) =>
    client.search({ text: samples(1, `query${i % 8}`)[0]?.content ?? "", limit }, { headers });
  const hybrid = (i: number) =>
    client.search({ vector: { values: queryOf(i) }, text: "wwwab wwwcd", limit }, { headers });
  const vectorMs = await p50(search);
  results.push(
    lower("text of 90 words against vector search, p50", vectorMs, await p50(text), "ms"),
    lower("hybrid against vector search, p50", vectorMs, await p50(hybrid), "ms"),
  );
  report();
} finally {
  await service[Symbol.asyncDispose]();
  await pool.end();
  await raw.end();
  await database.close();
}

function higher(what: string, rawValue: number, service: number, unit: string): Result {
  return { what, raw: rawValue, service, unit, ratio: service / rawValue };
}

function lower(what: string, rawValue: number, service: number, unit: string): Result {
  return { what, raw: rawValue, service, unit, ratio: rawValue / service };
}

function report(): void {
  if (args.json) {
    console.log(JSON.stringify({ kind, rows, scope, batch, callers, results }, undefined, 2));
    return;
  }
  console.log(
    `${kind}: ${rows} documents in requests of ${batch}, scope of ${scope}, ${limit} hits`,
  );
  console.log("| what | raw | service | unit | ratio |\n|---|---|---|---|---|");
  for (const { what, raw: rawValue, service, unit, ratio } of results) {
    const digits = unit === "ms" ? 2 : 0;
    const [a, b] = [rawValue.toFixed(digits), service.toFixed(digits)];
    console.log(`| ${what} | ${a} | ${b} | ${unit} | ${ratio.toFixed(2)} |`);
  }
}
