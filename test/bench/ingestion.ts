/**
 * Measures the ingestion of a real tree: this repository and the Markdown and TypeScript of its
 * installed packages, by processes of their own:
 * `node test/bench/ingestion.ts [--json] [--files=5000] [--memory=5000,50000] [--only=tree|memory|chunking]
 * [--embedder=builtin|ollama] [--profile=folder]`.
 *
 * The built-in embedder works on the processor that all share; `ollama` is a fake one in another
 * process that takes 10 ms for a request and 5 ms for a text, on four requests at once.
 *
 * On the PostgreSQL that MAHAVISHNU_TEST_PG_URL names, in a database of its own, else on PGlite.
 * Embedding alone and storing alone do the same work with the same batches in the same run.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cp, glob, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { createClient } from "@connectrpc/connect";
import { Client as PgClient } from "pg";
import { chunkText } from "../../services/ingestion/chunking.ts";
import { textOf } from "../../services/ingestion/file-text.ts";
import { walkRepository } from "../../services/ingestion/repository-walk.ts";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import type { IngestionProgress } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_pb.js";
import { IngestionService } from "../../shared/gen/mahavishnu/ingestion/v1/ingestion_service_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { silentLogger } from "../../shared/logging.ts";
import { migrate } from "../../shared/postgres/migrate.ts";
import { migrationsDirectory } from "../../shared/postgres/migration-files.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";
import { startPglite } from "../harness/postgres-server.ts";

const { values: args } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    files: { type: "string", default: "5000" },
    memory: { type: "string", default: "5000,50000" },
    only: { type: "string", default: "" },
    profile: { type: "string", default: "" },
    embedder: { type: "string", default: "builtin" },
  },
});
const root = resolve(import.meta.dirname, "../..");
const embedBatch = 64;
const parallel = 4;
const wants = (part: string) => args.only === "" || args.only === part;

await using stack = new AsyncDisposableStack();
const result: Record<string, unknown> = {};
const folder = await mkdtemp(join(tmpdir(), "mahavishnu-bench-"));
stack.defer(() => rm(folder, { recursive: true, force: true }));

const tree = join(folder, "tree");
if (wants("tree") || wants("chunking")) await copyTree(tree, Number(args.files));
if (wants("chunking")) result["chunking"] = await measureChunking(tree);
if (wants("tree")) result["tree"] = await measureTree(tree);
if (wants("memory")) {
  const [few = 5_000, many = 50_000] = args.memory.split(",").map(Number);
  const small = await measureMemory(few);
  const large = await measureMemory(many);
  result["memory"] = { small, large, ratio: large.peakMiB / small.peakMiB };
}
process.stdout.write(`${JSON.stringify(result, null, args.json ? 0 : 2)}\n`);

/**
 * Real files, copied under names that are taken in: `node_modules` and `dist` would be passed over as
 * such.
 */
async function copyTree(to: string, most: number): Promise<void> {
  const own = await readdir(root);
  const sources = own.filter((name) => name !== "node_modules" && !name.startsWith("."));
  let copied = 0;
  for (const top of [...sources, "node_modules"]) {
    for await (const path of glob(`${top}/**/*.{md,ts,mts,cts}`, { cwd: root })) {
      if (copied >= most) return;
      const name = path.replace(/(^|\/)(node_modules|dist|build|out|target)(?=\/)/g, "$1$2-files");
      const target = join(to, name);
      await mkdir(dirname(target), { recursive: true });
      await cp(join(root, path), target).then(
        () => copied++,
        () => {},
      );
    }
  }
}

async function chunksOfTree(from: string) {
  const texts: string[] = [];
  let bytes = 0;
  let ms = 0;
  const options = { include: [], exclude: [], maxFileBytes: 2 * 1024 * 1024 };
  for (const event of walkRepository(from, options)) {
    if (event.kind !== "file") continue;
    const content = await readFile(join(from, event.path));
    const found = textOf({ path: event.path, bytes: content });
    if (found.kind !== "text") continue;
    const begun = performance.now();
    const { family } = found.language;
    const chunks = await chunkText(found.text, { family, chunkSize: 1_024, chunkOverlap: 20 });
    ms += performance.now() - begun;
    bytes += content.length;
    texts.push(...chunks.map((chunk) => chunk.content));
  }
  return { texts, bytes, ms };
}

async function measureChunking(from: string) {
  const { texts, bytes, ms } = await chunksOfTree(from);
  return {
    chunks: texts.length,
    mebibytes: bytes / 2 ** 20,
    perSecond: bytes / 2 ** 20 / (ms / 1e3),
  };
}

async function measureTree(path: string) {
  await using platform = await startPlatform();
  const { texts } = await chunksOfTree(path);
  const vectors: (readonly number[])[] = [];
  const embedding = await rate(texts.length, () =>
    inBatches(texts.length, async (from, to) => {
      const { embeddings } = await platform.embedding.embed({ texts: texts.slice(from, to) });
      embeddings.forEach(({ result: one }, at) => {
        if (one.case === "vector") vectors[from + at] = one.value.values;
      });
    }),
  );
  const { models } = await platform.embedding.listModels({});
  const model = models.find(({ isDefault }) => isDefault)?.name ?? "";
  const storing = await rate(texts.length, () =>
    inBatches(texts.length, async (from, to) => {
      const documents = texts.slice(from, to).map((content, at) => ({
        id: `alone-${from + at}`,
        content,
        vector: { values: [...(vectors[from + at] ?? [])] },
        memoryType: MemoryType.RAG,
        sourceSystem: "bench",
        repoId: "alone",
        dedupScope: `alone-${from + at}`,
        metadata: { file_path: "some/path.ts", start_line: 1, end_line: 100 },
      }));
      const { results } = await platform.vectors.upsertDocuments({ model, documents });
      const refused = results.find(({ error }) => error !== undefined);
      if (refused !== undefined) throw new Error(refused.error?.message);
    }),
  );
  const before = await platform.cpuSeconds();
  const first = await ingest(platform, path);
  const after = await platform.cpuSeconds();
  const second = await ingest(platform, path);
  const chunks = Number(first.progress.chunksStored);
  const perSecond = chunks / first.seconds;
  return {
    files: Number(first.progress.filesDone),
    chunks,
    embeddingAlone: embedding,
    storingAlone: storing,
    ingestion: perSecond,
    shareOfSlower: perSecond / Math.min(embedding, storing),
    slowest: first.progress.slowest,
    busySeconds: Object.fromEntries(
      Object.entries(first.progress.busy).map(([stage, { seconds, nanos }]) => [
        stage,
        Number(seconds) + nanos / 1e9,
      ]),
    ),
    // Of the processes that shared the machine while it went on; the database is not among them.
    cpuSeconds: Object.fromEntries(
      Object.entries(after).map(([name, seconds]) => [name, seconds - (before[name] ?? 0)]),
    ),
    firstSeconds: first.seconds,
    secondSeconds: second.seconds,
    secondChanged: Number(second.progress.chunksStored + second.progress.chunksDeleted),
    timesFaster: first.seconds / second.seconds,
  };
}

/** The peak resident size of a fresh ingestion process that takes in so many small files. */
async function measureMemory(files: number) {
  const path = join(folder, `generated-${files}`);
  for (let n = 0; n < files; n++) {
    const name = join(path, `d${n % 100}`, `${n}.md`);
    if (n < 100) await mkdir(dirname(name), { recursive: true });
    await writeFile(name, `# File ${n}\n\n${`Words of file ${n}, some prose. `.repeat(20)}\n`);
  }
  await using platform = await startPlatform();
  const { seconds, progress } = await ingest(platform, path);
  const status = await readFile(`/proc/${platform.ingestionPid}/status`, "utf8");
  const peakMiB = Number(status.match(/VmHWM:\s+(\d+)/)?.[1] ?? 0) / 1024;
  return { files: Number(progress.filesDone), peakMiB, seconds };
}

type Platform = Awaited<ReturnType<typeof startPlatform>>;

async function ingest({ ingestion }: Platform, path: string) {
  const begun = performance.now();
  let last: IngestionProgress | undefined;
  for await (const { progress } of ingestion.ingestRepository({ path, repoId: "bench" })) {
    last = progress;
  }
  if (last === undefined || last.message !== "") throw new Error(last?.message ?? "no progress");
  return { progress: last, seconds: (performance.now() - begun) / 1_000 };
}

async function rate(count: number, work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return count / ((performance.now() - begun) / 1_000);
}

async function inBatches(count: number, work: (from: number, to: number) => Promise<void>) {
  let next = 0;
  const one = async () => {
    while (next < count) {
      const from = next;
      next += embedBatch;
      await work(from, Math.min(count, from + embedBatch));
    }
  };
  await Promise.all(Array.from({ length: parallel }, one));
}

async function startPlatform() {
  const open = new AsyncDisposableStack();
  const url = await openDatabase(open);
  await migrate({ url, directory: migrationsDirectory, logger: silentLogger() });
  const base = {
    MAHAVISHNU_PG_URL: url,
    ...(args.embedder === "ollama"
      ? { MAHAVISHNU_EMBEDDING_PROVIDER: "ollama", OLLAMA_BASE_URL: await startOllama(open) }
      : { MAHAVISHNU_EMBEDDING_PROVIDER: "builtin" }),
    // The ingestion would meet the texts that were embedded alone.
    MAHAVISHNU_EMBEDDING_CACHE_MB: "0",
  };
  const embedding = await startService(open, "embedding", {
    ...base,
    MAHAVISHNU_EMBEDDING_PORT: "0",
  });
  const vectors = await startService(open, "vector-store", {
    ...base,
    MAHAVISHNU_VECTOR_STORE_PORT: "0",
  });
  const ingestion = await startService(open, "ingestion", {
    ...base,
    MAHAVISHNU_INGESTION_PORT: "0",
    MAHAVISHNU_EMBEDDING_ADDRESS: embedding.address,
    MAHAVISHNU_VECTOR_STORE_ADDRESS: vectors.address,
  });
  const connect = (address: string) => open.use(createGrpcTransport({ address }));
  return {
    embedding: createClient(EmbeddingService, connect(embedding.address)),
    vectors: createClient(VectorStoreService, connect(vectors.address)),
    ingestion: createClient(IngestionService, connect(ingestion.address)),
    ingestionPid: ingestion.child.pid,
    cpuSeconds: async (): Promise<Record<string, number>> => ({
      embedding: await cpuSecondsOf(embedding.child.pid),
      "vector-store": await cpuSecondsOf(vectors.child.pid),
      ingestion: await cpuSecondsOf(ingestion.child.pid),
    }),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

async function startOllama(open: AsyncDisposableStack): Promise<string> {
  const cost = { perRequestMs: 10, perTextMs: 5, parallel };
  const child = fork(join(root, "test/bench/embedding-server.ts"), [
    "ollama",
    JSON.stringify(cost),
  ]);
  open.defer(() => child.disconnect());
  const [{ address }] = await once(child, "message");
  return address;
}

async function openDatabase(open: AsyncDisposableStack): Promise<string> {
  const server = process.env["MAHAVISHNU_TEST_PG_URL"];
  if (!server) return open.use(await startPglite()).url;
  const name = `mahavishnu_bench_${randomBytes(6).toString("hex")}`;
  await administrate(server, `create database ${name}`);
  open.defer(() => administrate(server, `drop database ${name} with (force)`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

async function administrate(connectionString: string, statement: string): Promise<void> {
  const client = new PgClient({ connectionString });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}

async function cpuSecondsOf(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const [user, system] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return (Number(user) + Number(system)) / 100;
}

/** With `--profile`, each thread leaves a CPU profile when it ends. */
function profiling(name: string): string[] {
  if (args.profile === "") return [];
  return ["--cpu-prof", `--cpu-prof-dir=${join(args.profile, name)}`];
}

async function startService(
  open: AsyncDisposableStack,
  name: string,
  env: Readonly<Record<string, string>>,
): Promise<{ address: string; child: ChildProcess }> {
  const main = join(root, "services", name, "main.ts");
  const child = spawn(process.execPath, [...profiling(name), main], {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const gone = once(child, "exit");
  open.defer(async () => {
    child.kill("SIGTERM");
    await gone;
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, address } = JSON.parse(line) as Record<string, string>;
    if (msg !== "listening" || address === undefined) continue;
    child.stdout.resume();
    return { address, child };
  }
  throw new Error(`${name} ended before it listened`);
}
