/**
 * How much of what answers a question is found: recall and mean reciprocal rank of search by
 * vector, by text, by both, and of UnifiedSearch, over the running services.
 *
 * `node test/bench/retrieval.ts [--data=PATH] [--kinds] [--json]`
 *
 * Without --data on a small labelled set of our own; with it on BEAM's 100K chats, PATH being a
 * clone of github.com/mohammadtavakoli78/BEAM or its folder chats/100K. Each conversation is a
 * tenant of its own, so that a question is asked within one conversation. The method stands in
 * docs/retrieval-evaluation.md.
 */
import { parseArgs } from "node:util";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Client, createClient } from "@connectrpc/connect";
import { EmbeddingService } from "../../shared/gen/mahavishnu/embedding/v1/embedding_service_pb.js";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { EmbeddingState } from "../../shared/gen/mahavishnu/memory/v1/memory_pb.js";
import { MemoryService } from "../../shared/gen/mahavishnu/memory/v1/memory_service_pb.js";
import { SourceStatus } from "../../shared/gen/mahavishnu/memory/v1/search_pb.js";
import {
  SearchMode,
  VectorStoreService,
} from "../../shared/gen/mahavishnu/vectorstore/v1/vectorstore_service_pb.js";
import { Resources } from "../../shared/lifecycle.ts";
import { tenantHeader } from "../../shared/rpc/tenant.ts";
import { startBenchPlatform } from "./platform-on.ts";
import { beamSet } from "./retrieval/beam-set.ts";
import type { LabelledConversation } from "./retrieval/labelled-set.ts";
import { type Measures, mean, measure } from "./retrieval/measures.ts";
import { ownSet } from "./retrieval/own-set.ts";

const { values: args } = parseArgs({
  options: {
    data: { type: "string" },
    kinds: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const ways = ["vector", "text", "hybrid", "unified"] as const;
type Way = (typeof ways)[number];
const limit = 10;
const timeoutMs = 60_000;
/** Conversations that are stored at the same time; the turns of one follow each other. */
const storedAtOnce = 4;

interface Services {
  readonly memory: Client<typeof MemoryService>;
  readonly vectorStore: Client<typeof VectorStoreService>;
  readonly embedding: Client<typeof EmbeddingService>;
}

interface Row {
  readonly way: Way;
  /** Empty: all. */
  readonly kind: string;
  readonly questions: number;
  readonly measures: Measures;
}

/** Stores a conversation; the ids of the memories of its turns, by place. */
async function store(
  { memory }: Services,
  { name, sessions }: LabelledConversation,
): Promise<string[]> {
  const ids: string[] = [];
  for (const [index, session] of sessions.entries()) {
    for (const { role, content, time } of session) {
      const { memoryId, embeddingState } = await memory.storeConversationTurn(
        {
          agentId: "evaluation",
          sessionId: `${name}/${index}`,
          role: role === "user" ? Role.USER : Role.ASSISTANT,
          content,
          ...(time === undefined ? {} : { createTime: timestampFromDate(time) }),
        },
        { headers: { [tenantHeader]: tenantOf(name) }, timeoutMs },
      );
      if (embeddingState !== EmbeddingState.READY) throw new Error("a turn was not embedded");
      ids.push(memoryId);
    }
  }
  return ids;
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
    return results.map(({ memoryId }) => memoryId);
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
const bench = await startBenchPlatform();
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
