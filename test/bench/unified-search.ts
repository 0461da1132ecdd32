/**
 * What UnifiedSearch costs over the slower of its two sources asked alone, in one run:
 * `node test/bench/unified-search.ts [--memories=20000] [--reflections=5000] [--turns=0]
 * [--searches=200] [--callers=32] [--json]`. With turns, of whatever words, the vector store is
 * asked for more hits, since neighbours may bring lower ones up.
 *
 * All services run as processes of their own, on the PostgreSQL that MAHAVISHNU_TEST_PG_URL names,
 * else on the embedded one, with the built-in embedding model. Every text is new to the caches of
 * vectors. Alone, a source is asked by its own RPC with the query's vector given: for as many hits
 * as the caller of UnifiedSearch wants, and for as many as UnifiedSearch asks it for. UnifiedSearch
 * embeds the query and merges besides. Through UnifiedSearch, with the other source left out, either
 * is asked from text to results, as by a caller who has one source. Everything is asked some times
 * before it is measured, by one caller and by many.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { startService } from "../../services/memory/testing/running-service.ts";
import { makeFile } from "../../services/session-buddy/testing/session-buddy-files.ts";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import {
  BulkStoreRequestSchema,
  MemoryService,
} from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { Source, SourceStatus } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { VectorStoreService } from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { startBenchPlatform } from "./platform-on.ts";
import { ProcessorTime, partsOf } from "./processor-time.ts";

const { values: args } = parseArgs({
  options: {
    memories: { type: "string", default: "20000" },
    reflections: { type: "string", default: "5000" },
    turns: { type: "string", default: "0" },
    searches: { type: "string", default: "200" },
    callers: { type: "string", default: "32" },
    json: { type: "boolean", default: false },
  },
});
const memories = Number(args.memories);
const reflections = Number(args.reflections);
const turns = Number(args.turns);
const searches = Number(args.searches);
const callers = Number(args.callers);
const limit = 10;
const timeoutMs = 30_000;
const warmUpPerCaller = 10;
const batch = 500;
/** How long callers of the dead bridge are willing to wait. */
const deadlineMs = 2_000;

let state = 1;
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}

/** Words that are rare and common as in prose. */
function prose(words: number): string {
  const word = () =>
    Math.floor(random() ** 3 * 20_000)
      .toString(36)
      .padStart(5, "w");
  return Array.from({ length: words }, word).join(" ");
}

const question = () => prose(8);

function quantile(times: readonly number[], q: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

await using resources = new Resources();
const folder = mkdtempSync(join(tmpdir(), "mahavishnu-bench-"));
resources.defer("folder", () => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "reflection.duckdb");
const values = Array.from({ length: reflections }, (_, n) => `('r${n}', '${prose(60)}', null)`);
await makeFile(
  file,
  "adapter",
  `insert into reflections_v2 (id, content, insight_type) values ${values.join(", ")}`,
);
const bench = await startBenchPlatform({ MAHAVISHNU_SESSION_BUDDY_FILE: file });
resources.use("platform", bench);
const connect = (name: string) => {
  const transport = bench.platform.connect(name);
  resources.defer(name, () => transport.close());
  return transport;
};
const memory = createClient(MemoryService, connect("memory"));
const vectorStore = createClient(VectorStoreService, connect("vector-store"));
const embedding = createClient(EmbeddingService, connect("embedding"));
const bridge = createClient(SessionBuddyService, connect("session-buddy"));

async function* requests() {
  for (let from = 0; from < memories; from += batch) {
    const count = Math.min(batch, memories - from);
    yield create(BulkStoreRequestSchema, {
      sequence: BigInt(from),
      memories: Array.from({ length: count }, (_, at) => ({
        content: `${from + at} ${prose(60)}`,
        memoryType: MemoryType.RAG,
        repoId: "bench",
      })),
    });
  }
}
for await (const { error } of memory.bulkStore(requests())) {
  if (error !== undefined) throw new Error(error.message);
}
for (let n = 0; n < turns; n++) {
  const [agentId, sessionId] = ["bench", "bench"];
  await memory.storeConversationTurn({ agentId, sessionId, role: Role.USER, content: prose(60) });
}
for (let tries = 0; ; tries++) {
  const { indexedRecords, totalRecords } = await bridge.getStatus({});
  if (totalRecords >= BigInt(reflections) && indexedRecords >= totalRecords) break;
  if (tries === 600) throw new Error("the bridge did not make its vectors");
  await sleep(100);
}

async function embedded(text: string) {
  const { embeddings, model } = await embedding.embed({
    task: EmbeddingTask.SEARCH_QUERY,
    texts: [text],
  });
  const result = embeddings[0]?.result;
  if (result?.case !== "vector") throw new Error("the question was not embedded");
  return { vector: result.value, model };
}

/** How many hits each source gave: as many as it was asked for, where it has them. */
async function unified(sources: readonly Source[] = []): Promise<readonly number[]> {
  const { results, sourceReports } = await memory.unifiedSearch(
    { query: question(), limit, sources: [...sources] },
    { timeoutMs },
  );
  const whole = sourceReports.every(
    ({ source, status }) =>
      status ===
      (sources.length === 0 || sources.includes(source) ? SourceStatus.OK : SourceStatus.SKIPPED),
  );
  if (!whole || results.length === 0) throw new Error("a source did not answer");
  return sourceReports.map(({ resultCount }) => resultCount);
}

let [storeHits = limit, bridgeHits = limit] = [limit, limit];
const sidesOfRound = [
  "store",
  "bridge",
  "storeAsked",
  "bridgeAsked",
  "onlyStore",
  "onlyBridge",
  "unified",
];
const times: Record<string, number[]> = Object.fromEntries(sidesOfRound.map((side) => [side, []]));
async function round(keep: boolean): Promise<void> {
  const text = question();
  const given = await embedded(text);
  const store = (hits: number) =>
    vectorStore.search({ ...given, text, limit: hits }, { timeoutMs });
  const reflections = (hits: number) =>
    bridge.searchReflections({ ...given, query: text, limit: hits }, { timeoutMs });
  const sides = {
    store: () => store(limit),
    bridge: () => reflections(limit),
    storeAsked: () => store(storeHits),
    bridgeAsked: () => reflections(bridgeHits),
    onlyStore: () => unified([Source.POSTGRESQL]),
    onlyBridge: () => unified([Source.SESSION_BUDDY]),
    unified: async () => {
      [storeHits = limit, bridgeHits = limit] = await unified();
    },
  };
  for (const [side, run] of Object.entries(sides)) {
    const took = await timed(run);
    if (keep) times[side]?.push(took);
  }
}
for (let n = 0; n < 30; n++) await round(false);
for (let n = 0; n < searches; n++) await round(true);

/** What a question goes through. */
const asked = partsOf(bench, ["memory", "embedding", "session-buddy", "vector-store"]);
async function manyCallers(questions: number): Promise<readonly number[]> {
  const took: number[] = [];
  let left = questions;
  const caller = async () => {
    while (left-- > 0) took.push(await timed(unified));
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return took;
}
// What many callers at once run through is compiled first, as above for one.
await manyCallers(warmUpPerCaller * callers);
const questions = Math.max(searches, callers) * 2;
const used = new ProcessorTime(asked);
const loaded = await manyCallers(questions);
const processor = used.sinceThen().map(([name, took]) => [name, took / questions] as const);

/** A port that takes connections and never says a word. */
const sockets = new Set<Socket>();
const silence = createServer((socket) => {
  sockets.add(socket);
  socket.on("error", () => {}).resume();
});
await new Promise<void>((resolve) => silence.listen(0, "127.0.0.1", resolve));
resources.defer("silence", () => {
  silence.close();
  for (const socket of sockets) socket.destroy();
});
const listening = silence.address();
const port = typeof listening === "object" && listening !== null ? listening.port : 0;
const alone = await startService({
  postgresUrl: bench.platform.postgresUrl,
  env: {
    MAHAVISHNU_EMBEDDING_ADDRESS: bench.platform.address("embedding"),
    MAHAVISHNU_VECTOR_STORE_ADDRESS: bench.platform.address("vector-store"),
    MAHAVISHNU_SESSION_BUDDY_ADDRESS: `127.0.0.1:${port}`,
  },
});
resources.use("memory beside a dead bridge", alone);
const beside = async (more: object = {}) => {
  let status: SourceStatus | undefined;
  const took = await timed(async () => {
    const { sourceReports } = await alone.client.unifiedSearch(
      { query: question(), limit, ...more },
      { timeoutMs: deadlineMs },
    );
    status = sourceReports[1]?.status;
  });
  return { took, status };
};
const failing: number[] = [];
const open: number[] = [];
const without: number[] = [];
for (let n = 0; n < 5; n++) await beside({ sources: [Source.POSTGRESQL] });
for (let n = 0; n < 100 && open.length < 50; n++) {
  const { took, status } = await beside();
  (status === SourceStatus.SKIPPED ? open : failing).push(took);
  if (status === SourceStatus.SKIPPED) {
    without.push((await beside({ sources: [Source.POSTGRESQL] })).took);
  }
}

const p50 = (side: string) => quantile(times[side] ?? [], 0.5);
const slower = Math.max(p50("store"), p50("bridge"));
const slowerAsked = Math.max(p50("storeAsked"), p50("bridgeAsked"));
const slowerThrough = Math.max(p50("onlyStore"), p50("onlyBridge"));
const figures = {
  store: bench.store,
  memories,
  reflections,
  turns,
  alone: { hits: limit, vectorStore: p50("store"), bridge: p50("bridge") },
  asAsked: {
    vectorStore: { hits: storeHits, p50: p50("storeAsked") },
    bridge: { hits: bridgeHits, p50: p50("bridgeAsked") },
  },
  unified: { p50: p50("unified"), p99: quantile(times["unified"] ?? [], 0.99) },
  timesTheSlower: p50("unified") / slower,
  timesTheSlowerAsAsked: p50("unified") / slowerAsked,
  ofOneSource: { vectorStore: p50("onlyStore"), bridge: p50("onlyBridge") },
  timesOneSource: p50("unified") / slowerThrough,
  loaded: { callers, p50: quantile(loaded, 0.5), p99: quantile(loaded, 0.99) },
  processorMsOfAQuestion: Object.fromEntries(processor),
  deadBridge: {
    deadlineMs,
    searchesThatWaited: failing.length,
    longestWait: Math.max(...failing),
    afterwards: quantile(open, 0.5),
    withoutTheBridge: quantile(without, 0.5),
    timesWithout: quantile(open, 0.5) / quantile(without, 0.5),
  },
};
if (args.json) console.log(JSON.stringify(figures, undefined, 2));
else {
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  const stored = `${memories} memories, ${reflections} reflections, ${turns} turns`;
  console.log(`${bench.store}, ${stored}, limit ${limit}`);
  console.log("| what | figure |\n|---|---|");
  const row = (what: string, figure: string) => console.log(`| ${what} | ${figure} |`);
  row(`vector store alone, hybrid, ${limit} hits, p50`, ms(figures.alone.vectorStore));
  row(`bridge alone, ${limit} hits, p50`, ms(figures.alone.bridge));
  row(`vector store as it is asked, ${storeHits} hits, p50`, ms(p50("storeAsked")));
  row(`bridge as it is asked, ${bridgeHits} hits, p50`, ms(p50("bridgeAsked")));
  row("UnifiedSearch, p50 / p99", `${ms(figures.unified.p50)} / ${ms(figures.unified.p99)}`);
  row("UnifiedSearch of the vector store alone, p50", ms(p50("onlyStore")));
  row("UnifiedSearch of the bridge alone, p50", ms(p50("onlyBridge")));
  row("times the slower of these two", figures.timesOneSource.toFixed(2));
  row("times the slower of both", figures.timesTheSlower.toFixed(2));
  row("times the slower of both as asked", figures.timesTheSlowerAsAsked.toFixed(2));
  row(`${callers} callers, p50 / p99`, `${ms(figures.loaded.p50)} / ${ms(figures.loaded.p99)}`);
  for (const [name, took] of processor) row(`processor in ${name}`, ms(took));
  const all = processor.reduce((sum, [, took]) => sum + took, 0);
  row("processor in all", ms(all));
  const { searchesThatWaited, longestWait, afterwards, timesWithout } = figures.deadBridge;
  row("dead bridge: searches that waited", String(searchesThatWaited));
  row(`their longest, of ${deadlineMs} ms`, ms(longestWait));
  row("searches once it is left alone, p50", ms(afterwards));
  row("times one that does not ask it", timesWithout.toFixed(2));
}
