/**
 * What a durable cache of vectors would cost, against the cache in memory:
 * `node test/bench/embedding-cache.ts [--json]`.
 *
 * On the embedded PostgreSQL, and on the one that MAHAVISHNU_TEST_PG_URL names. Batches of 64
 * vectors of 768 components among 20,000; medians. See docs/decisions.
 */
import { hash } from "node:crypto";
import { parseArgs } from "node:util";
import { BuiltinEmbedder } from "../../services/embedding/builtin-embedder.ts";
import { VectorCache } from "../../services/embedding/vector-cache.ts";
import { Postgres } from "../../shared/postgres/postgres.ts";
import { startPglite } from "../harness/postgres-server.ts";

const { values: args } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const batch = 64;
const stored = 20_000;
const runs = 60;

interface Measured {
  readonly where: string;
  /** Milliseconds of one batch. */
  readonly hitsMs: number;
  readonly missesMs: number;
  readonly storeMs: number;
  readonly bytesPerVector: number;
}

const vector = new Float32Array(768).map((_, i) => Math.sin(i));
const textOf = (i: number) => `text ${i} `.padEnd(500, "words of a passage ");
const keyOf = (text: string) => Buffer.from(hash("sha256", text, "hex"), "hex");
const someTexts = (from: number) => Array.from({ length: batch }, (_, i) => textOf(from + i));

async function median(work: (run: number) => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < runs; run++) {
    const begun = performance.now();
    await work(run);
    times.push(performance.now() - begun);
  }
  times.sort((a, b) => a - b);
  return Number((times[runs / 2] ?? Number.NaN).toFixed(2));
}

async function inPostgres(where: string, url: string): Promise<Measured> {
  await using postgres = new Postgres({
    url,
    // A temporary table belongs to one connection.
    poolSize: 1,
    statementTimeoutMs: 0,
    applicationName: "embedding-cache",
  });
  await postgres.query(
    "create temporary table vectors (key bytea primary key, vector bytea not null, used_at timestamptz not null default now())",
  );
  const bytes = Buffer.from(vector.buffer);
  const insert = {
    name: "store",
    text: "insert into vectors (key, vector) select * from unnest($1::bytea[], $2::bytea[]) on conflict do nothing",
  };
  const find = {
    name: "find",
    text: "select key, vector from vectors where key = any($1::bytea[])",
  };
  const store = (from: number) =>
    postgres.query(insert, [someTexts(from).map(keyOf), Array(batch).fill(bytes)]);
  for (let from = 0; from < stored; from += batch) await store(from);
  const spread = (run: number) => Math.floor((run * stored) / runs / batch) * batch;
  const hitsMs = await median(async (run) => {
    const { rowCount } = await postgres.query(find, [someTexts(spread(run)).map(keyOf)]);
    if (rowCount !== batch) throw new Error(`${rowCount} hits`);
  });
  const missesMs = await median((run) =>
    postgres.query(find, [someTexts(1_000_000 + run * batch).map(keyOf)]),
  );
  const storeMs = await median((run) => store(stored + batch * (run + 1)));
  const { rows } = await postgres.query<{ size: string }>(
    "select pg_total_relation_size('vectors')::float8 / (select count(*) from vectors) as size",
  );
  const bytesPerVector = Math.round(Number(rows[0]?.size));
  return { where, hitsMs, missesMs, storeMs, bytesPerVector };
}

async function inMemory(): Promise<Measured> {
  using cache = new VectorCache(256 * 1024 * 1024);
  const scope = cache.scope("model");
  const store = (from: number) => {
    for (const text of someTexts(from)) scope.set("document", text, { vector, truncated: false });
  };
  const find = (from: number) => someTexts(from).map((text) => scope.get("document", text));
  for (let from = 0; from < stored; from += batch) store(from);
  return {
    where: "memory",
    hitsMs: await median(async (run) => find(run * batch)),
    missesMs: await median(async (run) => find(1_000_000 + run * batch)),
    storeMs: await median(async (run) => store(stored + run * batch)),
    bytesPerVector: Math.round(cache.bytes / (stored + runs * batch)),
  };
}

const measured = [await inMemory()];
{
  await using pglite = await startPglite();
  measured.push(await inPostgres("embedded PostgreSQL", pglite.url));
}
const url = process.env["MAHAVISHNU_TEST_PG_URL"];
if (url) measured.push(await inPostgres("PostgreSQL", url));
else if (!args.json) console.log("skipped: PostgreSQL (set MAHAVISHNU_TEST_PG_URL)");
const builtin = new BuiltinEmbedder();
const builtinMs = await median((run) => builtin.embed(someTexts(run * batch), "document"));
if (args.json) console.log(JSON.stringify({ measured, builtinMs }, null, 2));
else {
  console.table(measured);
  console.log(`the built-in model embeds ${batch} texts of 500 characters in ${builtinMs} ms`);
}
