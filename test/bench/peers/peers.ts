/**
 * The vector store against other vector stores, with the same vectors and queries:
 * `node test/bench/peers/peers.ts [--rows=20000] [--searches=300] [--callers=32] [--json]`.
 *
 * Chroma runs as its server and LanceDB within a Python process, both from PyPI in a virtual
 * environment that is made in a temporary folder; one that cannot be installed is left out by name.
 * Vectors of 768 components lie in clusters; a search asks for 20 documents with their contents.
 *
 * The vector store builds an HNSW index and is told to ask it for scopes of this size, as the peers
 * do with theirs; then it is asked once more as it is by default, exactly.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { create } from "@bufbuild/protobuf";
import pg from "pg";
import { MemoryType } from "../../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { IndexKind } from "../../../shared/gen/mahavishnu/vectorstore/v1/collection_pb.js";
import { BulkUpsertRequestSchema } from "../../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { postgresMissing, testDatabase } from "../../harness/postgres.ts";
import { startVectorStore } from "../vector-store-process.ts";
import { randomOf, ZipfTexts } from "../zipf-text.ts";
import { ChromaServer } from "./chroma.ts";
import { PythonEnvironment, run } from "./python.ts";

const { values: args } = parseArgs({
  options: {
    rows: { type: "string", default: "20000" },
    searches: { type: "string", default: "300" },
    callers: { type: "string", default: "32" },
    json: { type: "boolean", default: false },
  },
});
const rows = Number(args.rows);
const searches = Number(args.searches);
const callers = Number(args.callers);
const dimension = 768;
const limit = 20;
const clusters = 200;
const queryCount = 100;

interface Figures {
  /** Documents a second, the index included. */
  readonly load: number;
  readonly recall: number;
  readonly p50: number;
  /** Searches a second by one caller, and by many. */
  readonly one: number;
  readonly many: number;
}

const random = randomOf(1);
const texts = new ZipfTexts(2);
const centers = Array.from({ length: clusters }, () => unit(() => random() - 0.5));

function unit(component: (i: number) => number): Float32Array {
  const vector = Float32Array.from({ length: dimension }, (_, i) => component(i));
  const length = Math.hypot(...vector);
  return vector.map((one) => one / length);
}

function clustered(): Float32Array {
  const center = centers[Math.floor(random() * clusters)] ?? new Float32Array(dimension);
  return unit((i) => (center[i] ?? 0) + (random() - 0.5) * 0.08);
}

const vectors = Array.from({ length: rows }, clustered);
const queries = Array.from({ length: queryCount }, clustered);
const contents = vectors.map((_, i) => `${i} ${texts.text().words.join(" ").slice(0, 600)}`);
const truth = queries.map(nearest);

function nearest(query: Float32Array): string[] {
  const scored = vectors.map((vector, i) => {
    let dot = 0;
    for (let at = 0; at < dimension; at++) dot += (query[at] ?? 0) * (vector[at] ?? 0);
    return { id: String(i), dot };
  });
  return scored
    .sort((a, b) => b.dot - a.dot)
    .slice(0, limit)
    .map((one) => one.id);
}

async function measure(
  load: number,
  search: (query: Float32Array) => Promise<string[]>,
): Promise<Figures> {
  let right = 0;
  for (const [i, query] of queries.entries()) {
    const found = new Set(await search(query));
    right += (truth[i] ?? []).filter((id) => found.has(id)).length;
  }
  const queryOf = (i: number) => queries[i % queries.length] ?? new Float32Array(dimension);
  const times: number[] = [];
  for (let i = 0; i < searches; i++) {
    const started = performance.now();
    await search(queryOf(i));
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  let next = 0;
  const started = performance.now();
  const caller = async () => {
    while (next < 2 * searches) await search(queryOf(next++));
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return {
    load,
    recall: right / (limit * queries.length),
    p50: times[Math.floor(times.length / 2)] ?? Number.NaN,
    one: (1_000 * times.length) / times.reduce((sum, one) => sum + one, 0),
    many: (2_000 * searches) / (performance.now() - started),
  };
}

async function loadedPerSecond(load: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await load();
  return (1_000 * rows) / (performance.now() - started);
}

async function ours(): Promise<Map<string, Figures>> {
  const database = await testDatabase(postgresMissing() === undefined ? "postgres" : "pglite");
  try {
    const exactScope = { MAHAVISHNU_VECTOR_STORE_EXACT_SCOPE: "1000" };
    const byIndex = await searched(database.url, exactScope, true);
    const exactly = await searched(database.url, {}, false);
    return new Map([
      ["vector-store, HNSW", byIndex],
      ["vector-store, exact", { ...exactly, load: byIndex.load }],
    ]);
  } finally {
    await database.close();
  }
}

async function searched(
  url: string,
  env: Readonly<Record<string, string>>,
  loads: boolean,
): Promise<Figures> {
  await using service = await startVectorStore(url, env);
  const { client } = service;
  async function* requests() {
    const batch = 500;
    for (let at = 0; at < rows; at += batch) {
      const documents = contents.slice(at, at + batch).map((content, i) => ({
        id: String(at + i),
        content,
        vector: { values: [...(vectors[at + i] ?? [])] },
        memoryType: MemoryType.RAG,
        sourceSystem: "bench",
      }));
      yield create(BulkUpsertRequestSchema, { sequence: BigInt(at), documents, model: "bench" });
    }
  }
  const load = await loadedPerSecond(async () => {
    if (!loads) return;
    for await (const { error } of client.bulkUpsert(requests())) {
      if (error !== undefined) throw new Error(error.message);
    }
    for await (const _ of client.buildIndex({ index: { kind: IndexKind.HNSW } }));
  });
  const raw = new pg.Client(url);
  await raw.connect();
  await raw.query("vacuum analyze memories");
  await raw.end();
  return await measure(load, async (query) => {
    const vector = { values: [...query] };
    const { hits } = await client.search({ vector, limit, model: "bench" });
    return hits.map((one) => one.document?.id ?? "");
  });
}

async function chroma(python: PythonEnvironment, folder: string): Promise<Figures> {
  await python.install("chromadb");
  await using server = await ChromaServer.start(python.program("chroma"), folder);
  const load = await loadedPerSecond(() => server.load(contents, vectors));
  return await measure(load, (query) => server.search(query, limit));
}

async function lance(python: PythonEnvironment, folder: string): Promise<Figures> {
  await python.install("lancedb", "numpy", "pyarrow");
  await writeFile(join(folder, "vectors.f32"), floatsOf(vectors));
  await writeFile(join(folder, "queries.f32"), floatsOf(queries));
  await writeFile(join(folder, "contents.json"), JSON.stringify(contents));
  await writeFile(join(folder, "truth.json"), JSON.stringify(truth));
  const script = join(import.meta.dirname, "lance.py");
  const numbers = [dimension, limit, searches, callers].map(String);
  const output = await run(python.program("python"), [script, folder, ...numbers]);
  return JSON.parse(output.trim().split("\n").at(-1) ?? "") as Figures;
}

function floatsOf(list: readonly Float32Array[]): Buffer {
  return Buffer.concat(list.map((one) => Buffer.from(one.buffer, one.byteOffset, one.byteLength)));
}

const folder = await mkdtemp(join(tmpdir(), "mahavishnu-peers-"));
const results: { readonly who: string; readonly figures: Figures }[] = [];
const left: string[] = [];
try {
  for (const [who, figures] of await ours()) results.push({ who, figures });
  const peers = { Chroma: chroma, LanceDB: lance };
  const python = await PythonEnvironment.make(join(folder, "venv")).catch((error) => {
    left.push(`all peers: ${error.message}`);
  });
  for (const [who, peer] of Object.entries(peers)) {
    if (python === undefined) continue;
    try {
      results.push({ who, figures: await peer(python, folder) });
    } catch (error) {
      left.push(`${who}: ${error instanceof Error ? error.message : error}`);
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
for (const one of left) process.stderr.write(`SKIPPED: ${one}\n`);
if (args.json) console.log(JSON.stringify({ rows, searches, callers, results }, undefined, 2));
else {
  console.log(`${rows} vectors of ${dimension} components, ${limit} hits with content\n`);
  console.log(
    `| store | load, documents/s | recall | p50, ms | 1 caller, searches/s | ${callers} |`,
  );
  console.log("|---|---|---|---|---|---|");
  for (const { who, figures } of results) {
    const { load, recall, p50, one, many } = figures;
    const cells = [
      load.toFixed(0),
      recall.toFixed(3),
      p50.toFixed(2),
      one.toFixed(0),
      many.toFixed(0),
    ];
    console.log(`| ${who} | ${cells.join(" | ")} |`);
  }
}
