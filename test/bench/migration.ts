/**
 * The rate of a migration against embedding alone and upserting alone, in one run:
 * `node test/bench/migration.ts [--records=10000] [--characters=500] [--rounds=1]
 * [--embedder=ollama] [--json]`.
 *
 * All processes are real: the platform on the PostgreSQL that MAHAVISHNU_TEST_PG_URL names, else on
 * the embedded one, and a Session-Buddy file of the newest layout. Embedding alone and upserting
 * alone send the same texts in the same batches, as many at the same time; the slower of the two is
 * what a migration can reach at best. The embedder is a fake Ollama in another process that takes
 * 10 ms for a request and 5 ms for a text and works on four requests at once, or, with
 * `--embedder=builtin`, the built-in model, which competes with everything else for the processor.
 * The resident memory of the ingestion process is sampled.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createClient } from "@connectrpc/connect";
import { DuckDb } from "../../services/session-buddy/duckdb.ts";
import { makeFile } from "../../services/session-buddy/testing/session-buddy-files.ts";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { IngestionService } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { createGrpcTransport, type GrpcTransport } from "../../shared/rpc/client.ts";
import { startTestPlatform, type TestPlatform } from "../harness/platform.ts";
import { postgresMissing, testDatabase } from "../harness/postgres.ts";

const { values: args } = parseArgs({
  options: {
    records: { type: "string", default: "10000" },
    characters: { type: "string", default: "500" },
    rounds: { type: "string", default: "1" },
    embedder: { type: "string", default: "ollama" },
    json: { type: "boolean", default: false },
  },
});
const records = Number(args.records);
const characters = Number(args.characters);
const rounds = Number(args.rounds);
/** As ingestion does by default. */
const batchSize = 64;
const parallel = 4;
const sampleMs = 250;

interface Round {
  /** Records a second. */
  readonly embedding: number;
  readonly upserting: number;
  readonly migrating: number;
  readonly again: number;
  /** Of the slower of embedding and upserting alone. */
  readonly share: number;
  readonly rssMiB: { readonly before: number; readonly most: number; readonly quarters: number[] };
}

async function makeSource(path: string): Promise<void> {
  await makeFile(path, "adapter");
  await using duckdb = await DuckDb.open(path, "write");
  const words = Math.ceil(characters / 6);
  await duckdb.script(`
    insert into reflections_v2 (id, content, category, insight_type, tags, timestamp, created_at)
      select 'r' || i, 'Note ' || i || ': ' || array_to_string(
          [substr(md5(i || '-' || j), 1, 1 + j % 7) for j in range(${words})], ' '),
        'context', null, ['bench'], now()::timestamp, now()::timestamp from range(${records}) t(i);
    checkpoint`);
}

async function textsOf(path: string): Promise<string[]> {
  await using duckdb = await DuckDb.open(path, "read");
  const rows = await duckdb.rows("select content from reflections_v2");
  return rows.map((row) => String(row["content"]));
}

/** Works through batches, so many at the same time; records a second. */
async function rateOf<T>(
  batches: readonly T[],
  work: (batch: T, index: number) => Promise<unknown>,
): Promise<number> {
  const since = performance.now();
  let next = 0;
  const lane = async () => {
    for (let index = next++; index < batches.length; index = next++) {
      await work(batches[index] as T, index);
    }
  };
  await Promise.all(Array.from({ length: parallel }, lane));
  return (records * 1_000) / (performance.now() - since);
}

async function rssOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024;
}

async function migrate(running: TestPlatform, file: string, tenant: string) {
  using connection = connect(running, "ingestion", tenant);
  const client = createClient(IngestionService, connection.transport);
  const pid = running.platform.process("ingestion").pid ?? 0;
  const before = await rssOf(pid);
  const samples: number[] = [];
  const timer = setInterval(async () => samples.push(await rssOf(pid)), sampleMs);
  const since = performance.now();
  let verified = false;
  for await (const progress of client.migrateSessionBuddy({ path: file })) {
    verified = progress.verification?.verified ?? false;
  }
  clearInterval(timer);
  if (!verified) throw new Error("the migration was not verified");
  const quarters = [0, 1, 2, 3].map((quarter) => {
    const part = samples.slice(
      Math.floor((quarter * samples.length) / 4),
      Math.ceil(((quarter + 1) * samples.length) / 4),
    );
    return Math.round(part.reduce((sum, one) => sum + one, 0) / Math.max(1, part.length));
  });
  return {
    rate: (records * 1_000) / (performance.now() - since),
    rssMiB: {
      before: Math.round(before),
      most: Math.round(Math.max(before, ...samples)),
      quarters,
    },
  };
}

function connect(running: TestPlatform, name: string, tenant = "default") {
  const transport: GrpcTransport = createGrpcTransport({
    address: running.platform.address(name),
    tenant,
  });
  return { transport, [Symbol.dispose]: () => transport.close() };
}

async function measure(running: TestPlatform, file: string, texts: readonly string[]) {
  using toEmbedding = connect(running, "embedding");
  const embedding = createClient(EmbeddingService, toEmbedding.transport);
  using toStore = connect(running, "vector-store", "upserting");
  const store = createClient(VectorStoreService, toStore.transport);
  const batches = Array.from({ length: Math.ceil(texts.length / batchSize) }, (_, index) =>
    texts.slice(index * batchSize, (index + 1) * batchSize),
  );
  const vectors: number[][][] = [];
  let model = "";
  const embeddingRate = await rateOf(batches, async (batch, index) => {
    const answer = await embedding.embed({ texts: [...batch] });
    model = answer.model;
    vectors[index] = answer.embeddings.map(({ result }) =>
      result.case === "vector" ? result.value.values : [],
    );
  });
  const upsertingRate = await rateOf(batches, (batch, index) =>
    store.upsertDocuments({
      model,
      documents: batch.map((content, at) => ({
        id: `bench-${index}-${at}`,
        content,
        vector: { values: vectors[index]?.[at] ?? [] },
        memoryType: MemoryType.INSIGHT,
        sourceSystem: "bench",
      })),
    }),
  );
  await store.deleteDocuments({ all: true });
  const first = await migrate(running, file, "migrating");
  const again = await migrate(running, file, "migrating");
  using toTarget = connect(running, "vector-store", "migrating");
  await createClient(VectorStoreService, toTarget.transport).deleteDocuments({ all: true });
  return {
    embedding: Math.round(embeddingRate),
    upserting: Math.round(upsertingRate),
    migrating: Math.round(first.rate),
    again: Math.round(again.rate),
    share: Number((first.rate / Math.min(embeddingRate, upsertingRate)).toFixed(3)),
    rssMiB: first.rssMiB,
  } satisfies Round;
}

async function startOllama(): Promise<{ readonly url: string; stop(): void }> {
  const cost = { perRequestMs: 10, perTextMs: 5, parallel };
  const child = fork(join(import.meta.dirname, "embedding-server.ts"), [
    "ollama",
    JSON.stringify(cost),
  ]);
  const [{ address }] = await once(child, "message");
  return { url: address, stop: () => child.disconnect() };
}

const folder = await mkdtemp(join(tmpdir(), "mahavishnu-bench-"));
const kind = postgresMissing() === undefined ? "postgres" : "pglite";
const database =
  kind === "postgres" ? await testDatabase("postgres", { migrations: null }) : undefined;
try {
  const file = join(folder, "reflection.duckdb");
  await makeSource(file);
  const texts = await textsOf(file);
  const ollama = args.embedder === "ollama" ? await startOllama() : undefined;
  await using running = await startTestPlatform({
    postgresUrl: database?.url,
    env: {
      // What was embedded once would cost nothing the second time.
      MAHAVISHNU_EMBEDDING_CACHE_MB: "0",
      ...(ollama === undefined
        ? {}
        : { MAHAVISHNU_EMBEDDING_PROVIDER: "ollama", OLLAMA_BASE_URL: ollama.url }),
    },
  });
  using _ = { [Symbol.dispose]: () => ollama?.stop() };
  const results: Round[] = [];
  for (let round = 0; round < rounds; round++) results.push(await measure(running, file, texts));
  if (args.json) {
    process.stdout.write(
      `${JSON.stringify({ database: kind, embedder: args.embedder, records, characters, rounds: results })}\n`,
    );
  } else {
    process.stdout.write(
      `${records} records of about ${characters} characters on ${kind}, embedded by ${args.embedder}\n`,
    );
    for (const one of results) {
      process.stdout.write(
        `embedding alone ${one.embedding}/s, upserting alone ${one.upserting}/s, ` +
          `migrating ${one.migrating}/s: ${one.share} of the slower; again ${one.again}/s\n` +
          `  ingestion: ${one.rssMiB.before} MiB before, by quarters ${one.rssMiB.quarters.join(", ")}, at most ${one.rssMiB.most}\n`,
      );
    }
  }
} finally {
  await database?.close();
  await rm(folder, { recursive: true, force: true });
}
