/**
 * How much of what answers a question is found: recall and mean reciprocal rank of search by
 * vector, by text, by both, and of UnifiedSearch, over the running services.
 *
 * `node test/bench/retrieval.ts [--data=PATH] [--split] [--kinds] [--json]`
 *
 * Without --data on a small labelled set of our own; with it on BEAM's 100K chats, PATH being a
 * clone of github.com/mohammadtavakoli78/BEAM or its folder chats/100K. Each conversation is a
 * tenant of its own, so that a question is asked within one conversation. With --split every second
 * session is told to Session-Buddy instead, as reflections, so that what answers a question stands
 * in two stores and UnifiedSearch has to merge. The method stands in docs/retrieval-evaluation.md.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Client, createClient } from "@connectrpc/connect";
import { makeFile } from "../../services/session-buddy/testing/session-buddy-files.ts";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { SourceStatus } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import { SessionBuddyService } from "../../shared/gen/mahavishnu/sessionbuddy/v1/sessionbuddy_service_pb.js";
import {
  SearchMode,
  VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { Resources, sleep } from "../../shared/lifecycle.ts";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
import { startBenchPlatform } from "./platform-on.ts";
import { beamSet } from "./retrieval/beam-set.ts";
import type { LabelledConversation } from "./retrieval/labelled-set.ts";
import { type Measures, mean, measure } from "./retrieval/measures.ts";
import { ownSet } from "./retrieval/own-set.ts";

const { values: args } = parseArgs({
  options: {
    data: { type: "string" },
    split: { type: "boolean", default: false },
    kinds: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

type Way = "vector" | "text" | "hybrid" | "unified";
/** The others see one store only. */
const ways: readonly Way[] = args.split ? ["unified"] : ["vector", "text", "hybrid", "unified"];
const limit = 10;
const timeoutMs = 60_000;
/** What a reflection may hold; a turn that holds more stays a turn. */
const mostOfReflection = 64 * 1_024;
/**
 * Conversations that are stored at the same time; the turns of one follow each other. The bridge is
 * asked once it has the vectors of all.
 */
const storedAtOnce = args.split ? 1 : 4;

interface Services {
  readonly memory: Client<typeof MemoryService>;
  readonly vectorStore: Client<typeof VectorStoreService>;
  readonly embedding: Client<typeof EmbeddingService>;
  readonly bridge: Client<typeof SessionBuddyService>;
}

interface Row {
  readonly way: Way;
  /** Empty: all. */
  readonly kind: string;
  readonly questions: number;
  readonly measures: Measures;
}

/** Stores a conversation; the ids of the memories or reflections of its turns, by place. */
async function store(
  { memory, bridge }: Services,
  { name, sessions }: LabelledConversation,
): Promise<string[]> {
  const ids: string[] = [];
  const headers = { [tenantHeader]: tenantOf(name) };
  for (const [index, session] of sessions.entries()) {
    for (const { role, content, time } of session) {
      if (args.split && index % 2 === 1 && Buffer.byteLength(content) <= mostOfReflection) {
        const { id } = await bridge.storeReflection({ content }, { headers, timeoutMs });
        ids.push(id);
        continue;
      }
      const { memoryId, embeddingState } = await memory.storeConversationTurn(
        {
          agentId: "evaluation",
          sessionId: `${name}/${index}`,
          role: role === "user" ? Role.USER : Role.ASSISTANT,
          content,
          ...(time === undefined ? {} : { createTime: timestampFromDate(time) }),
        },
        { headers, timeoutMs },
      );
      if (embeddingState !== EmbeddingState.READY) throw new Error("a turn was not embedded");
      ids.push(memoryId);
    }
  }
  if (args.split) await bridgeHasVectors(bridge);
  return ids;
}

async function bridgeHasVectors(bridge: Services["bridge"]): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const { indexedRecords, totalRecords } = await bridge.getStatus({}, { timeoutMs });
    if (indexedRecords >= totalRecords) return;
    await sleep(100);
  }
  throw new Error("the bridge did not make its vectors");
}

function tenantOf(name: string): string {
  return `evaluation-${name}`;
}

/** The ids of the memories found, best first. */
async function find(services: Services, way: Way, name: string, query: string): Promise<string[]> {
  const options = { headers: { [tenantHeader]: tenantOf(name) }, timeoutMs };
  if (way === "unified") {
    const { results, sourceReports } = await services.memory.unifiedSearch(
      { query, limit },
      options,
    );
    const all = sourceReports.every(({ status }) => status === SourceStatus.OK);
    if (!all) throw new Error(sourceReports.map(({ message }) => message).join("; "));
    return results.map(({ memoryId, id }) => memoryId || id);
  }
  const task = EmbeddingTask.SEARCH_QUERY;
  const { embeddings } = await services.embedding.embed({ task, texts: [query] }, options);
  const result = embeddings[0]?.result;
  if (result?.case !== "vector") throw new Error("the question was not embedded");
  const { hits } = await services.vectorStore.search(
    {
      limit,
      text: query,
      vector: result.value,
      mode: { vector: SearchMode.VECTOR, text: SearchMode.TEXT, hybrid: SearchMode.HYBRID }[way],
    },
    options,
  );
  return hits.map(({ document }) => document?.id ?? "");
}

const conversations = args.data === undefined ? ownSet() : beamSet(args.data);
await using resources = new Resources();
const folder = mkdtempSync(join(tmpdir(), "mahavishnu-bench-"));
resources.defer("folder", () => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "reflection.duckdb");
if (args.split) await makeFile(file, "adapter");
const bench = await startBenchPlatform(args.split ? { MAHAVISHNU_SESSION_BUDDY_FILE: file } : {});
resources.use("platform", bench);
const connect = (name: string) => {
  const transport = bench.platform.connect(name);
  resources.defer(name, () => transport.close());
  return transport;
};
const services: Services = {
  memory: createClient(MemoryService, connect("memory")),
  vectorStore: createClient(VectorStoreService, connect("vector-store")),
  embedding: createClient(EmbeddingService, connect("embedding")),
  bridge: createClient(SessionBuddyService, connect("session-buddy")),
};
const { models } = await services.embedding.listModels({}, { timeoutMs });
const model = models.find(({ isDefault }) => isDefault)?.name ?? "";

const measured: { readonly way: Way; readonly kind: string; readonly measures: Measures }[] = [];
const waiting = [...conversations];
async function evaluateNext(): Promise<void> {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const ids = await store(services, next);
    for (const { kind, question, evidence } of next.questions) {
      const wanted = new Set(evidence.map((place) => ids[place] ?? ""));
      for (const way of ways) {
        const found = await find(services, way, next.name, question);
        measured.push({ way, kind, measures: measure(found, wanted) });
      }
    }
  }
}
await Promise.all(Array.from({ length: storedAtOnce }, evaluateNext));

const kinds = args.kinds ? [...new Set(measured.map(({ kind }) => kind))].sort() : [];
const rows: Row[] = ["", ...kinds].flatMap((kind) =>
  ways.map((way) => {
    const list = measured.filter((one) => one.way === way && (kind === "" || one.kind === kind));
    return { way, kind, questions: list.length, measures: mean(list.map((one) => one.measures)) };
  }),
);
const turns = conversations.flatMap(({ sessions }) => sessions.flat()).length;
if (args.json) {
  const { store: where } = bench;
  const set = args.data === undefined ? "own" : "BEAM 100K";
  console.log(JSON.stringify({ set, model, store: where, turns, rows }, undefined, 2));
} else {
  console.log(`${conversations.length} conversations, ${turns} turns, model ${model}`);
  console.log("| questions | | way | recall@5 | recall@10 | MRR |\n|---|---|---|---|---|---|");
  for (const { way, kind, questions, measures } of rows) {
    const [a, b, c] = [measures.recall5, measures.recall10, measures.mrr].map((x) => x.toFixed(3));
    console.log(`| ${kind || "all"} | ${questions} | ${way} | ${a} | ${b} | ${c} |`);
  }
}
