/**
 * BulkUpsert against raw binary `unnest` inserts by one connection, in one run:
 * `node test/bench/bulk-upsert.ts [--rows=10000] [--batch=500] [--words=20] [--indexed=2000]
 * [--documents=1000000] [--json]`.
 *
 * Raw inserts go into a table that has nothing but its primary key, and into `memories` itself,
 * with its trigger and all of its indexes, which is what the service has to write. Then both write
 * `--indexed` documents each where an HNSW index is present. At last `--documents` documents of 768
 * components stream through as fast as the service takes them (0: none), the same 20,000 over and
 * over, so that most are answered by de-duplication; the service's memory is sampled meanwhile.
 *
 * The service runs in a process of its own, on a database of its own on the PostgreSQL that
 * MAHAVISHNU_TEST_PG_URL names, else on the embedded one.
 */
import { parseArgs } from "node:util";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import pg from "pg";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import type { DocumentSchema } from "../../shared/gen/mahavishnu/vectorstore/v1/document_pb.js";
import { BulkUpsertRequestSchema } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { contentHash } from "../../shared/hash.ts";
import { encodeTextArray } from "../../shared/postgres/array-codec.ts";
import { encodeVectorArray } from "../../shared/postgres/vector-codec.ts";
import { postgresMissing, testDatabase } from "../harness/postgres.ts";
import { startVectorStore, type VectorStoreProcess } from "./vector-store-process.ts";
import { randomOf, randomVector, ZipfTexts } from "./zipf-text.ts";

const { values: args } = parseArgs({
  options: {
    rows: { type: "string", default: "10000" },
    batch: { type: "string", default: "500" },
    words: { type: "string", default: "20" },
    indexed: { type: "string", default: "2000" },
    documents: { type: "string", default: "1000000" },
    json: { type: "boolean", default: false },
  },
});
const rows = Number(args.rows);
const batch = Number(args.batch);
const indexed = Number(args.indexed);
const streamed = Number(args.documents);
const repeated = 20_000;
const model = "bench";

interface Sample {
  readonly id: string;
  readonly content: string;
  readonly vector: number[];
}

const random = randomOf(1);
const texts = new ZipfTexts(2);

function samples(count: number, prefix: string): Sample[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `${prefix}${i}`,
    content: `${prefix}${i} ${texts.text(Number(args.words)).words.join(" ")}`,
    vector: randomVector(random),
  }));
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

async function rawBare(client: pg.Client, list: readonly Sample[], oid: number) {
  for (const part of batches(list)) {
    await client.query({
      name: "raw_bare",
      text: `insert into bare (id, content, embedding)
        select * from unnest($1::text[], $2::text[], $3::vector[])`,
      values: [
        encodeTextArray(part.map((one) => one.id)),
        encodeTextArray(part.map((one) => one.content)),
        encodeVectorArray(
          part.map((one) => one.vector),
          oid,
        ),
      ],
    });
  }
}

async function rawMemories(client: pg.Client, list: readonly Sample[], oid: number) {
  for (const part of batches(list)) {
    await client.query({
      name: "raw_memories",
      text: `insert into memories
          (tenant, id, content, embedding, memory_type, source_system, content_hash, dedup_scope)
        select 'raw', id, content, embedding, 'rag', 'bench', hash, 'owner:'
        from unnest($1::text[], $2::text[], $3::vector[], $4::text[]) i(id, content, embedding, hash)`,
      values: [
        encodeTextArray(part.map((one) => one.id)),
        encodeTextArray(part.map((one) => one.content)),
        encodeVectorArray(
          part.map((one) => one.vector),
          oid,
        ),
        encodeTextArray(part.map((one) => contentHash(one.content))),
      ],
    });
  }
}

function documentOf({ id, content, vector }: Sample): MessageInitShape<typeof DocumentSchema> {
  return {
    id,
    content,
    vector: { values: vector },
    memoryType: MemoryType.RAG,
    sourceSystem: "bench",
  };
}

async function bulkUpsert(
  { client }: VectorStoreProcess,
  parts: Iterable<readonly Sample[]>,
  acknowledged: (count: number) => void = () => {},
): Promise<number> {
  async function* requests() {
    let sequence = 0n;
    for (const part of parts) {
      const documents = part.map(documentOf);
      yield create(BulkUpsertRequestSchema, { sequence: sequence++, documents, model });
    }
  }
  let stored = 0;
  for await (const { error, results } of client.bulkUpsert(requests())) {
    if (error !== undefined) throw new Error(error.message);
    for (const one of results) if (one.error !== undefined) throw new Error(one.error.message);
    stored += results.length;
    acknowledged(stored);
  }
  return stored;
}

/** The same documents over and over, until so many have been given. */
function* stream(list: readonly Sample[]): Generator<readonly Sample[]> {
  const parts = batches(list);
  for (let given = 0, i = 0; given < streamed; i++) {
    const part = parts[i % parts.length] ?? [];
    yield part.slice(0, streamed - given);
    given += part.length;
  }
}

interface Figure {
  readonly what: string;
  readonly perSecond: number;
  readonly ofBare: number | undefined;
  readonly ofRaw: number | undefined;
}

const kind = postgresMissing() === undefined ? "postgres" : "pglite";
const database = await testDatabase(kind);
const raw = new pg.Client(database.url);
await raw.connect();
const service = await startVectorStore(database.url);
const figures: Figure[] = [];
const memory: { readonly documents: number; readonly megabytes: number }[] = [];
let streaming: number | undefined;
try {
  const { rows: facts } = await raw.query("select to_regtype('vector')::oid::int as oid");
  const oid = Number(facts[0]?.oid);
  await raw.query(`create table bare (id text primary key, content text, embedding vector(768));
    alter table bare alter column embedding set storage plain`);
  const warm = samples(4 * batch, "warm");
  await rawBare(raw, warm, oid);
  await rawMemories(raw, warm, oid);
  await bulkUpsert(service, batches(warm));

  const list = samples(rows, "doc");
  const bare = await perSecond(rows, () => rawBare(raw, list, oid));
  const rawRate = await perSecond(rows, () => rawMemories(raw, list, oid));
  const written = await perSecond(rows, () => bulkUpsert(service, batches(list)));
  const replayed = await perSecond(rows, () => bulkUpsert(service, batches(list)));
  figures.push(
    { what: "raw, bare table", perSecond: bare, ofBare: undefined, ofRaw: undefined },
    { what: "raw, memories", perSecond: rawRate, ofBare: rawRate / bare, ofRaw: undefined },
    { what: "BulkUpsert", perSecond: written, ofBare: written / bare, ofRaw: written / rawRate },
    {
      what: "BulkUpsert again, same ids",
      perSecond: replayed,
      ofBare: replayed / bare,
      ofRaw: replayed / rawRate,
    },
  );

  if (streamed > 0) {
    const anonymous = samples(Math.min(repeated, streamed), "stream").map((one) => ({
      ...one,
      id: "",
    }));
    memory.push({ documents: 0, megabytes: service.memory() / 2 ** 20 });
    let next = 0;
    streaming = await perSecond(streamed, () =>
      bulkUpsert(service, stream(anonymous), (count) => {
        if (count < next) return;
        next = count + streamed / 20;
        memory.push({ documents: count, megabytes: service.memory() / 2 ** 20 });
      }),
    );
  }

  if (indexed > 0) {
    await raw.query("set maintenance_work_mem = '512MB'");
    await raw.query(
      "create index memories_hnsw on memories using hnsw (embedding vector_cosine_ops)",
    );
    const ofRaw = samples(indexed, "hnsw-raw");
    const ofService = samples(indexed, "hnsw-service");
    const one = await perSecond(indexed, () => rawMemories(raw, ofRaw, oid));
    const many = await perSecond(indexed, () => bulkUpsert(service, batches(ofService)));
    figures.push(
      { what: "raw, HNSW present", perSecond: one, ofBare: undefined, ofRaw: undefined },
      { what: "BulkUpsert, HNSW present", perSecond: many, ofBare: undefined, ofRaw: many / one },
    );
  }
  report();
} finally {
  await service[Symbol.asyncDispose]();
  await raw.end();
  await database.close();
}

function report(): void {
  if (args.json) {
    const given = { kind, rows, batch, words: Number(args.words), indexed, streamed };
    console.log(JSON.stringify({ ...given, figures, streaming, memory }, undefined, 2));
    return;
  }
  console.log(`${kind}: ${rows} documents of ${args.words} words in requests of ${batch}\n`);
  console.log("| what | documents/s | of bare | of raw |\n|---|---|---|---|");
  const ratio = (value: number | undefined) => value?.toFixed(2) ?? "";
  for (const { what, perSecond: rate, ofBare, ofRaw } of figures) {
    console.log(`| ${what} | ${rate.toFixed(0)} | ${ratio(ofBare)} | ${ratio(ofRaw)} |`);
  }
  if (streaming === undefined) return;
  console.log(`\n${streamed} documents streamed through, ${streaming.toFixed(0)}/s; memory:`);
  console.log(memory.map((one) => `${one.documents}: ${one.megabytes.toFixed(0)} MB`).join(", "));
}
