/**
 * What storing a turn costs over the two calls that it cannot do without, Embed and
 * UpsertDocuments, in one run: `node test/bench/store-turn.ts [--turns=200] [--rounds=5]
 * [--callers=1,8] [--json]`.
 *
 * Both sides store contents of about 500 characters that were never there before, and take turns
 * round by round; what counts is the median of the rounds' ratios of p50. The goal is 1.5. By hand the
 * document is written twice: as any is, and with its id said to be new, as memory says. Beside them
 * stands what the processor did for a content in all processes, PostgreSQL's and the client's too:
 * that says more where the machine has other work.
 */
import { parseArgs } from "node:util";
import { EmbeddingTask } from "../../shared/gen/mahavishnu/embedding/v1/model_pb.js";
import { Role } from "../../shared/gen/mahavishnu/memory/v1/conversation_pb.js";
import { MemoryType } from "../../shared/gen/mahavishnu/type/v1/memory_type_pb.js";
import { newId } from "../../shared/ids.ts";
import { freshText, openPlatform, quantile, rounded } from "./memory-platform.ts";
import { ProcessorTime, partsOf } from "./processor-time.ts";

const { values: args } = parseArgs({
  options: {
    turns: { type: "string", default: "200" },
    rounds: { type: "string", default: "5" },
    callers: { type: "string", default: "1,8" },
    json: { type: "boolean", default: false },
  },
});
const turns = Number(args.turns);
const rounds = Number(args.rounds);
/** Two of the processes work for both sides, and would be warm before the third. */
const warmUp = 1_000;

await using platform = await openPlatform();
const { memory, embedding, vectorStore } = platform;

/** What a turn writes, by hand: the same document, under an id of the caller's. */
async function twoCalls(caller: number, idsAreNew = false): Promise<void> {
  const content = freshText();
  const sessionId = `session-${caller}`;
  const answer = await embedding.embed({ texts: [content], task: EmbeddingTask.SEARCH_DOCUMENT });
  const vector = answer.embeddings[0]?.result;
  if (vector?.case !== "vector") throw new Error("no vector came");
  const document = {
    id: newId(),
    content,
    vector: vector.value,
    memoryType: MemoryType.AGENT,
    sourceSystem: "bench",
    agentId: "bench",
    metadata: { session_id: sessionId, role: "user", turn_id: newId() },
    dedupScope: `by-hand ${sessionId}`,
  };
  const { results } = await vectorStore.upsertDocuments({
    documents: [document],
    model: answer.model,
    idsAreNew,
  });
  if (results[0]?.error !== undefined) throw new Error(results[0].error.message);
}

async function oneTurn(caller: number): Promise<void> {
  await memory.storeConversationTurn({
    agentId: "bench",
    sessionId: `session-${caller}`,
    role: Role.USER,
    content: freshText(),
  });
}

async function latencies(callers: number, work: (caller: number) => Promise<void>, count = turns) {
  const taken: number[] = [];
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let n = 0; n < count / callers; n++) {
        const begun = performance.now();
        await work(caller);
        taken.push(performance.now() - begun);
      }
    }),
  );
  return taken;
}

const parts = partsOf(platform, ["memory", "embedding", "vector-store"]);
/** As `latencies`, and the milliseconds of the processor in all processes meanwhile. */
async function measured(callers: number, work: (caller: number) => Promise<void>) {
  const used = new ProcessorTime(parts);
  const taken = await latencies(callers, work);
  const processorMs = used.sinceThen().reduce((sum, [, took]) => sum + took, 0);
  return { taken, processorMs };
}

// Until everything is compiled and every connection is open.
await latencies(8, twoCalls, warmUp);
await latencies(8, oneTurn, warmUp);
const results = [];
for (const callers of args.callers.split(",").map(Number)) {
  const base: number[] = [];
  const baseOfNew: number[] = [];
  const own: number[] = [];
  const ratios: number[] = [];
  const ratiosOfNew: number[] = [];
  const processorMs = { base: 0, own: 0 };
  for (let round = 0; round < rounds; round++) {
    const one = await measured(callers, twoCalls);
    const oneOfNew = await measured(callers, (caller) => twoCalls(caller, true));
    const other = await measured(callers, oneTurn);
    base.push(...one.taken);
    baseOfNew.push(...oneOfNew.taken);
    own.push(...other.taken);
    ratios.push(quantile(other.taken, 0.5) / quantile(one.taken, 0.5));
    ratiosOfNew.push(quantile(other.taken, 0.5) / quantile(oneOfNew.taken, 0.5));
    processorMs.base += one.processorMs;
    processorMs.own += other.processorMs;
  }
  results.push({
    callers,
    embedAndUpsertP50Ms: rounded(quantile(base, 0.5)),
    embedAndUpsertP99Ms: rounded(quantile(base, 0.99)),
    storeTurnP50Ms: rounded(quantile(own, 0.5)),
    storeTurnP99Ms: rounded(quantile(own, 0.99)),
    ratio: rounded(quantile(ratios, 0.5)),
    saidToBeNewP50Ms: rounded(quantile(baseOfNew, 0.5)),
    ratioToThat: rounded(quantile(ratiosOfNew, 0.5)),
    embedAndUpsertProcessorMs: rounded(processorMs.base / base.length),
    storeTurnProcessorMs: rounded(processorMs.own / own.length),
  });
}
if (args.json) console.log(JSON.stringify({ database: platform.database, results }));
else {
  console.log(platform.database);
  console.table(results);
}
