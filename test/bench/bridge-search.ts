/**
 * Searches of the Session-Buddy bridge over files of 1,000, 10,000 and 100,000 records, against
 * plain DuckDB on the same file, in one run:
 * `node test/bench/bridge-search.ts [--sizes=1000,10000,100000] [--dimension=384] [--searches=100]
 * [--json]`.
 *
 * The bridge runs in a process of its own, as deployed, over a file that holds the vectors too, and
 * with a side index that was filled before with the same vectors. The raw side is what
 * Session-Buddy's own search does, array_cosine_similarity over every row, and LIKE for the words.
 * Ratios are what counts, since absolute figures depend on the machine.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Client, createClient } from "@connectrpc/connect";
import { ARRAY, arrayValue, DuckDBInstance, FLOAT } from "@duckdb/node-api";
import { DuckDbSideIndex } from "../../services/session-buddy/side-index-store.ts";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { contentHash } from "../../shared/hash.ts";
import { silentLogger } from "../../shared/logging.ts";
import { createGrpcTransport } from "../../shared/rpc/client.ts";

const { values: args } = parseArgs({
  options: {
    sizes: { type: "string", default: "1000,10000,100000" },
    dimension: { type: "string", default: "384" },
    searches: { type: "string", default: "100" },
    json: { type: "boolean", default: false },
  },
});
const sizes = args.sizes.split(",").map(Number);
const dimension = Number(args.dimension);
const searches = Number(args.searches);
const limit = 20;
const topics = 500;

interface Result {
  readonly records: number;
  readonly what: string;
  /** Milliseconds. */
  readonly bridge: { readonly p50: number; readonly p95: number };
  readonly duckdb: { readonly p50: number; readonly p95: number };
  /** Above 1 the bridge is faster, at p95. */
  readonly ratio: number;
}

/** Even numbers between 0 and 1, the same in every run. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Words that are rare and common as in prose; the first one tells the record. */
function prose(at: number): string {
  const random = randomFrom(at + 1);
  const words = Array.from(
    { length: 60 },
    () => `w${Math.floor(random() ** 3 * 20_000).toString(36)}`,
  );
  return `record${at} ${words.join(" ")}`;
}

/** Near the centre of its topic, as texts of one subject are. */
function vectorOf(at: number): number[] {
  const centre = randomFrom((at % topics) * 7_919 + 3);
  const own = randomFrom(at * 104_729 + 11);
  return Array.from({ length: dimension }, () => centre() - 0.5 + (own() - 0.5));
}

async function makeFile(path: string, records: number): Promise<void> {
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  await connection.run(`create table reflections_v2 (id varchar primary key, content varchar not null,
    embedding float[${dimension}], category varchar default 'context', tags varchar[],
    namespace varchar default 'default', project varchar, created_at timestamp default now(),
    updated_at timestamp default now(), metadata json, insight_type varchar,
    confidence_score float default 0.5)`);
  await connection.run(
    `create table loading (id varchar, content varchar, embedding float[${dimension}])`,
  );
  const appender = await connection.createAppender("loading");
  for (let at = 0; at < records; at++) {
    appender.appendVarchar(`r${at}`);
    appender.appendVarchar(prose(at));
    appender.appendArray(arrayValue(vectorOf(at)), ARRAY(FLOAT, dimension));
    appender.endRow();
    if (at % 1_000 === 999) {
      appender.flushSync();
      await sleep(0);
    }
  }
  appender.closeSync();
  await connection.run(`insert into reflections_v2 (id, content, embedding)
    select id, content, embedding from loading; drop table loading; checkpoint`);
  connection.closeSync();
  instance.closeSync();
}

/** As the bridge fills it in the background. */
async function fillSideIndex(path: string, records: number): Promise<void> {
  await using index = await DuckDbSideIndex.open(path, silentLogger());
  await index.setModel("bench");
  for (let from = 0; from < records; from += 512) {
    const batch = Array.from({ length: Math.min(512, records - from) }, (_, i) => from + i);
    await index.add(batch.map((at) => ({ hash: contentHash(prose(at)), vector: vectorOf(at) })));
  }
}

/** A bridge in its own process that tells how long its event loop was held up, and its memory. */
async function startBridge(folder: string, file: string) {
  const main = fileURLToPath(new URL("./bridge-process.ts", import.meta.url));
  const child = spawn(process.execPath, [main], {
    env: {
      ...process.env,
      MAHAVISHNU_DATA_DIR: join(folder, "data"),
      MAHAVISHNU_SESSION_BUDDY_FILE: file,
      MAHAVISHNU_SESSION_BUDDY_PORT: "0",
      MAHAVISHNU_EMBEDDING_ADDRESS: "127.0.0.1:1",
    },
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  if (child.stdout === null) throw new Error("the bridge has no output");
  for await (const line of createInterface({ input: child.stdout })) {
    const { address, msg } = JSON.parse(line) as { address?: string; msg: string };
    if (msg === "listening" && address !== undefined) {
      child.stdout.resume();
      return { address, child };
    }
  }
  throw new Error("the bridge did not start");
}

interface Vitals {
  readonly longestDelayMs: number;
  readonly heapMb: number;
  readonly rssMb: number;
}

async function vitalsOf(child: Awaited<ReturnType<typeof startBridge>>["child"]): Promise<Vitals> {
  child.send("vitals");
  const [vitals] = await once(child, "message");
  return vitals as Vitals;
}

async function indexed(bridge: Client<typeof SessionBuddyService>, records: number) {
  for (;;) {
    const status = await bridge.getStatus({});
    if (Number(status.indexedRecords) === records) return;
    await sleep(250);
  }
}

async function timed(work: (at: number) => Promise<unknown>) {
  for (let at = 0; at < 5; at++) await work(at);
  const times: number[] = [];
  for (let at = 0; at < searches; at++) {
    const from = performance.now();
    await work(at);
    times.push(performance.now() - from);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))];
  return { p50: at(0.5) ?? 0, p95: at(0.95) ?? 0 };
}

async function measure(records: number): Promise<{ results: Result[]; vitals: object }> {
  await using life = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "bridge-search-"));
  life.defer(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "reflection.duckdb");
  await makeFile(file, records);
  await fillSideIndex(join(folder, "data", "session-buddy", "side-index.duckdb"), records);
  const from = performance.now();
  const { address, child } = await startBridge(folder, file);
  life.defer(async () => {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  });
  const transport = createGrpcTransport({ address });
  life.defer(() => transport.close());
  const bridge = createClient(SessionBuddyService, transport);
  await indexed(bridge, records);
  const startSeconds = (performance.now() - from) / 1_000;
  const starting = await vitalsOf(child);

  const at = (search: number) => (search * 7_919) % records;
  const wordsOf = (search: number) => prose(at(search)).split(" ").slice(3, 9).join(" ");
  const byWords = await timed((search) =>
    bridge.searchReflections({ query: wordsOf(search), limit }),
  );
  const hybrid = await timed((search) =>
    bridge.searchReflections({
      query: wordsOf(search),
      vector: { values: vectorOf(at(search)) },
      model: "bench",
      limit,
    }),
  );
  const searching = await vitalsOf(child);
  const instance = await DuckDBInstance.create(file, { access_mode: "READ_ONLY" });
  const connection = await instance.connect();
  life.defer(() => {
    connection.closeSync();
    instance.closeSync();
  });
  const like = await timed((search) =>
    connection.runAndReadAll(
      "select id, content from reflections_v2 where content like $1 limit 20",
      [`%${wordsOf(search).split(" ")[0]}%`],
    ),
  );
  const cosine = await timed((search) =>
    connection.runAndReadAll(
      `select id, content, array_cosine_similarity(embedding,
         [${vectorOf(at(search)).join(",")}]::float[${dimension}]) as similarity
       from reflections_v2 order by similarity desc limit 20`,
    ),
  );
  const result = (what: string, ours: Result["bridge"], raw: Result["duckdb"]): Result => ({
    records,
    what,
    bridge: ours,
    duckdb: raw,
    ratio: raw.p95 / ours.p95,
  });
  return {
    results: [
      result("words (DuckDB: LIKE of one)", byWords, like),
      result("words and vector (DuckDB: cosine)", hybrid, cosine),
    ],
    vitals: { records, startSeconds, starting, searching },
  };
}

const measured: Awaited<ReturnType<typeof measure>>[] = [];
for (const size of sizes) measured.push(await measure(size));
const results = measured.flatMap((one) => one.results);
const vitals = measured.map((one) => one.vitals);
if (args.json) console.log(JSON.stringify({ dimension, results, vitals }, null, 2));
else {
  const ms = (value: number) => value.toFixed(1);
  console.table(
    results.map(({ records, what, bridge, duckdb, ratio }) => ({
      records,
      what,
      "bridge p50 ms": ms(bridge.p50),
      "bridge p95 ms": ms(bridge.p95),
      "DuckDB p95 ms": ms(duckdb.p95),
      ratio: ratio.toFixed(2),
    })),
  );
  console.dir(vitals, { depth: 4 });
}
